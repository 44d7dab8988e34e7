//! AdmissionReview, versions v1 and v1beta1: reads the request and writes the answer.

use std::collections::BTreeMap;

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::inject::{Injection, Pod, Text};
use crate::memory::LARGE;
use crate::reason::excerpt;

/// A request of the API server, borrowed from its body.
#[derive(Debug)]
pub struct Review<'a> {
    api_version: Text<'a>,
    request: Request<'a>,
}

impl<'a> Review<'a> {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// When the body is not an AdmissionReview of a known version.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReviewError> {
        let Envelope {
            api_version,
            kind,
            request,
        } = serde_json::from_str(std::str::from_utf8(body)?)
            .map_err(|error| ReviewError::Json(excerpt(&error)))?;
        if kind.as_str() != "AdmissionReview" {
            return Err(ReviewError::Kind(excerpt(&kind.as_str())));
        }
        if !API_VERSIONS.contains(&api_version.as_str()) {
            return Err(ReviewError::Version(excerpt(&api_version.as_str())));
        }
        let request = request.ok_or(ReviewError::NoRequest)?;
        if !(1..=MAX_UID).contains(&request.uid.as_str().len()) {
            return Err(ReviewError::Uid);
        }
        Ok(Self {
            api_version,
            request,
        })
    }

    /// The namespace of the object. The object itself may not have it yet.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.request.namespace.as_str()
    }

    /// Whether the request will not be carried out.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.request.dry_run == Some(true)
    }

    /// The pod, when the review is about the creation of one.
    #[must_use]
    pub fn pod(&self) -> Option<&Pod<'a>> {
        let request = &self.request;
        let is_creation = request.resource.group.as_str().is_empty()
            && request.resource.resource.as_str() == "pods"
            && request.sub_resource.as_str().is_empty()
            && request.operation.as_str() == "CREATE";
        request.object.as_ref().filter(|_| is_creation)
    }

    /// The body of the answer.
    ///
    /// # Errors
    ///
    /// Never in practice: every map key is a string.
    pub fn answer(&self, verdict: &Verdict<'_>) -> Result<Vec<u8>, serde_json::Error> {
        let mut patch = None;
        let mut response = Response {
            uid: self.request.uid.as_str(),
            allowed: true,
            patch_type: None,
            status: None,
            warnings: &[],
            audit_annotations: None,
        };
        match verdict {
            Verdict::Admitted { warnings } => response.warnings = warnings,
            Verdict::Injected(injection) => {
                patch = injection.patch.as_deref();
                response.patch_type = patch.map(|_| "JSONPatch");
                response.warnings = &injection.warnings;
                response.audit_annotations = Some(&injection.audit);
            }
            Verdict::Refused {
                code,
                reason,
                message,
            } => {
                response.allowed = false;
                response.status = Some(Status {
                    status: "Failure",
                    message,
                    reason,
                    code: *code,
                });
            }
        }
        let answer = Answer {
            api_version: self.api_version.as_str(),
            kind: "AdmissionReview",
            response,
        };
        let length =
            ENVELOPE_LENGTH + patch.map_or(0, |patch| STANDARD.encoded_length(patch.len()));
        let mut text = Vec::with_capacity(length);
        serde_json::to_writer(&mut text, &answer)?;
        let Some(patch) = patch else { return Ok(text) };
        // The patch is most of the answer. Encoding it in place, as the last field, saves a copy.
        const END: &str = "}}";
        text.truncate(text.len() - END.len());
        text.extend_from_slice(br#","patch":""#);
        STANDARD.encode_append(patch, &mut text);
        text.extend_from_slice(br#"""#);
        text.extend_from_slice(END.as_bytes());
        Ok(text)
    }
}

/// Upper bounds of what a body holds, which bound the memory of the parsed review. They are found before
/// any of it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the body.
    pub body: usize,
    /// Bytes of its longest string, each escape counted as one, or an upper bound of some KiB. In a small body, all of
    /// its bytes.
    pub longest: usize,
    /// Its JSON objects and lists. Brackets in strings count, too.
    pub objects: usize,
}

impl Size {
    /// Reads a body.
    ///
    /// An object of two bytes, `{}`, becomes a container of some 150: a body of 7 MiB could take hundreds
    /// of MiB. A string where the parser expects an object is quoted in its error, each character with
    /// up to eight bytes.
    ///
    /// # Errors
    ///
    /// When there are more than 50,000 objects, or a string is longer than 512 KiB.
    pub fn of(body: &[u8]) -> Result<Self, ReviewError> {
        let objects = count_brackets(body);
        if objects > MAX_OBJECTS {
            return Err(ReviewError::Objects);
        }
        let longest = if body.len() > LARGE {
            longest_string(body)
        } else {
            body.len()
        };
        if longest > MAX_STRING {
            return Err(ReviewError::LongString);
        }
        Ok(Self {
            body: body.len(),
            longest,
            objects,
        })
    }

    /// Bytes that the parsed review and its answer may take.
    #[must_use]
    pub fn parsed(&self) -> usize {
        // A string with escapes is copied.
        self.body + 8 * self.longest + 400 * self.objects
    }
}

/// How many objects and lists a body begins. A list, too, reads as an object without names.
fn count_brackets(body: &[u8]) -> usize {
    // `[` and `{` differ in this bit alone.
    let is_bracket = |byte: &u8| u8::from(byte | 0x20 == b'{');
    // As bytes, of which the compiler adds many at a time. A chunk has no more brackets than a byte can count.
    let chunks = body.chunks(usize::from(u8::MAX));
    let counts = chunks.map(|chunk| chunk.iter().map(is_bracket).sum::<u8>());
    counts.map(usize::from).sum()
}

/// At least the length of the longest string in a body in bytes, each escape counted as one, and exactly that when it is
/// over [`SHORT`].
fn longest_string(body: &[u8]) -> usize {
    match longest_gap(body) {
        length @ ..=SHORT => length,
        _ => exactly_longest_string(body),
    }
}

/// At least the length of the longest string of a JSON text: the most bytes between two quotes, in whole blocks. A quote
/// after a backslash may be part of a string, and does not count.
fn longest_gap(body: &[u8]) -> usize {
    let (mut longest, mut blocks) = (0, 0);
    // Without the first byte, which has none before it: that makes the bound no smaller.
    let (bytes, _) = body.get(1..).unwrap_or_default().as_chunks::<BLOCK>();
    let (before, _) = body.as_chunks::<BLOCK>();
    // As arrays of bytes, of which the compiler compares many at a time.
    for (before, block) in before.iter().zip(bytes) {
        let pairs = before.iter().zip(block);
        let quotes =
            pairs.map(|(before, byte)| u8::from(*byte == b'"') & u8::from(*before != b'\\'));
        let has_quote = quotes.fold(0, |any, is| any | is) != 0;
        blocks = if has_quote { 0 } else { blocks + 1 };
        longest = longest.max(blocks);
    }
    // The string begins and ends in the blocks around them.
    (longest + 2) * BLOCK
}

fn exactly_longest_string(body: &[u8]) -> usize {
    let (mut longest, mut current) = (0, None);
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        current = match (current, byte) {
            (None, b'"') => Some(0),
            (None, _) => None,
            (Some(length), b'"') => {
                longest = longest.max(length);
                None
            }
            (Some(length), b'\\') => {
                if bytes.next() == Some(&b'u') {
                    bytes.nth(3);
                }
                Some(length + 1)
            }
            (Some(length), _) => Some(length + 1),
        };
    }
    longest.max(current.unwrap_or_default())
}

/// The answer to a review.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// The pod passes unchanged.
    Admitted {
        /// Sentences for the user, shown by kubectl.
        warnings: Vec<String>,
    },
    /// The pod passes with additions.
    Injected(Injection<'a>),
    /// The pod is refused.
    Refused {
        /// The HTTP status that the API server answers with: 4xx for a mistake of the user, 5xx for
        /// an error in the cluster.
        code: u16,
        /// The `reason` of a Kubernetes Status that belongs to the code.
        reason: &'static str,
        /// A sentence for the user.
        message: String,
    },
}

/// Why a body is not accepted as a review.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// More objects than the parser is given memory for.
    #[error("the AdmissionReview has more than {MAX_OBJECTS} objects and lists in it")]
    Objects,
    /// A string that no container could start with.
    #[error("the AdmissionReview has a string of more than {} KiB in it", MAX_STRING / 1024)]
    LongString,
    /// Not JSON, or not of the right shape: the parser's error, shortened.
    #[error("the body is not an AdmissionReview: {0}")]
    Json(String),
    /// Not UTF-8, as JSON is (RFC 8259 section 8.1).
    #[error("the body is not an AdmissionReview: {0}")]
    Text(#[from] std::str::Utf8Error),
    /// Another kind of object.
    #[error("the body is not an AdmissionReview: its kind is {0:?}")]
    Kind(String),
    /// No `request`: perhaps it is an answer.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// No `uid`, or one that is no UUID: the API server could not match the answer.
    #[error("the AdmissionReview's request has no uid of 1 to {MAX_UID} bytes")]
    Uid,
    /// An unknown `apiVersion`.
    #[error("AdmissionReview has apiVersion {0:?}: only admission.k8s.io/v1 and v1beta1 are known")]
    Version(String),
}

/// Any pod that etcd can store (1.5 MiB) has fewer.
const MAX_OBJECTS: usize = 50_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    api_version: Text<'a>,
    #[serde(borrow, default)]
    kind: Text<'a>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request<'a> {
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    resource: Resource<'a>,
    #[serde(borrow)]
    sub_resource: Text<'a>,
    #[serde(borrow)]
    operation: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    object: Option<Pod<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    group: Text<'a>,
    #[serde(borrow)]
    resource: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<&'a BTreeMap<&'static str, &'a str>>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

/// Bytes of a string. Linux starts no program with one of more than 128 KiB, and Kubernetes allows
/// 256 KiB for all annotations.
const MAX_STRING: usize = 512 * 1024;

/// Bytes of a string that is not worth measuring exactly.
const SHORT: usize = 4 * 1024;

/// Bytes that [`longest_gap`] looks at together.
const BLOCK: usize = 64;

/// Bytes. A UUID has 36.
const MAX_UID: usize = 128;

/// Bytes of an answer without its patch, rounded up.
const ENVELOPE_LENGTH: usize = 1024;

const API_VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_the_objects_and_lists_of_a_body() {
        for byte in 0..=u8::MAX {
            let expected = usize::from(byte == b'{' || byte == b'[');
            assert_eq!(count_brackets(&[byte]), expected, "{byte}");
        }
        for length in [0, 1, 254, 255, 256, 1_000] {
            assert_eq!(count_brackets(&b"{[".repeat(length)), 2 * length);
        }
    }

    #[test]
    fn finds_the_longest_string_of_a_large_body() {
        for (text, length) in [
            (r#"{"a":"bcd","ef":[1,"g"]}"#, 3),
            (r#"["\\","\"\"\"","x"]"#, 3),
            (r#"["\u00e9\u00e9","x"]"#, 2),
            (r#"["a","unfinished"#, 10),
            (r#"["a\"#, 2),
            (r#"["a\u"#, 2),
            ("{}", 0),
        ] {
            assert_eq!(exactly_longest_string(text.as_bytes()), length, "{text}");
        }
    }

    proptest! {
        /// Strings of backslashes and quotes too, at all places of a block.
        #[test]
        fn bounds_the_longest_string(texts in vec(r#"[a"\\\n]{0,9}"#, 1..40), times in 0..1000_usize) {
            let mut texts = texts;
            texts.push("\\\"x".repeat(times));
            let body = serde_json::to_vec(&texts)?;
            let exact = exactly_longest_string(&body);
            let found = longest_string(&body);
            prop_assert!(found >= exact);
            prop_assert!(found == exact || found <= SHORT);
        }
    }
}
