//! Mutated HTTP requests: targets in every spelling, heads and bodies that readers disagree about, and
//! connections that are slow, pipelined or cut.

use std::time::Duration;

use fastrand::Rng;

use crate::imds::PATH_HEADERS;
use crate::json::{hostile, pick, size};
use crate::review::damage;
use crate::script::{Script, Step};

/// What a connection to the proxy, or to a port of the webhook without TLS, does.
pub fn connection(rng: &mut Rng) -> Script {
    let count = if rng.u8(..4) == 0 {
        1 + rng.usize(..20)
    } else {
        1
    };
    let mut bytes = Vec::new();
    for _ in 0..count {
        let target = target(rng);
        bytes.extend(request(&target, rng));
    }
    sent(bytes, rng)
}

/// What a connection to the webhook does that sends this review.
pub fn with_review(review: &[u8], rng: &mut Rng) -> Script {
    let mut bytes = if rng.u8(..8) == 0 {
        head(b"/mutate-v1-pod?timeout=10s", rng)
    } else {
        b"POST /mutate-v1-pod?timeout=10s HTTP/1.1\r\nHost: webhook.svc\r\nContent-Type: application/json\r\n".to_vec()
    };
    if rng.u8(..12) == 0 {
        bytes.extend(framed(review, rng));
    } else {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", review.len()).into_bytes());
        bytes.extend(review);
    }
    sent(bytes, rng)
}

/// A connection that sends a review as an API server does.
pub fn whole(review: &[u8]) -> Script {
    let head = format!(
        "POST /mutate-v1-pod?timeout=10s HTTP/1.1\r\nHost: webhook.svc\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        review.len()
    );
    let bytes = [head.as_bytes(), review].concat();
    Script {
        steps: vec![Step::Send(bytes)],
        has_head: false,
    }
}

fn request(target: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = head(target, rng);
    if rng.u8(..3) == 0 {
        let body = match rng.u8(..3) {
            0 => NODE.as_bytes().to_vec(),
            1 => hostile(rng),
            _ => b"hello".to_vec(),
        };
        bytes.extend(framed(&body, rng));
    } else {
        bytes.extend(b"\r\n");
    }
    if rng.u8(..10) == 0 {
        damage(&mut bytes, rng);
    }
    bytes
}

/// The request line and headers, without the empty line.
fn head(target: &[u8], rng: &mut Rng) -> Vec<u8> {
    let method = match rng.u8(..4) {
        0 => pick(rng, &METHODS),
        _ => b"GET".to_vec(),
    };
    let version = match rng.u8(..8) {
        0 => pick(rng, &VERSIONS),
        _ => b"HTTP/1.1".to_vec(),
    };
    let mut bytes = [&method, &b" "[..], target, b" ", &version, b"\r\n"].concat();
    if rng.u8(..16) > 0 {
        bytes.extend(b"Host: 169.254.169.254\r\n");
    }
    if rng.u8(..8) > 0 {
        bytes.extend(b"Metadata: true\r\n");
    }
    for _ in 0..rng.usize(..3) {
        bytes.extend(header(rng));
    }
    bytes
}

/// A header line, or what may be taken for one.
fn header(rng: &mut Rng) -> Vec<u8> {
    let line = match rng.u8(..8) {
        0 => {
            let name = PATH_HEADERS[rng.usize(..PATH_HEADERS.len())];
            [name.as_bytes(), b": ", &target(rng)].concat()
        }
        1 => [b"X-Long: ".to_vec(), b"x".repeat(size(rng).min(200_000))].concat(),
        2 => return b"X-Many: 1\r\n".repeat(size(rng).min(5_000)),
        3 => {
            let mut line = pick(rng, &HEADERS);
            damage(&mut line, rng);
            line
        }
        _ => pick(rng, &HEADERS),
    };
    let end: &[u8] = match rng.u8(..20) {
        0 => b"\n",
        1 => b"\r",
        2 => b"\r\n \t",
        _ => b"\r\n",
    };
    [&line, end].concat()
}

/// Headers about a body's length, the empty line, and the body.
fn framed(body: &[u8], rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(..6) {
        0 => rng.usize(..2 * body.len() + 2).to_string(),
        1 => pick_text(rng, &LENGTHS).to_owned(),
        _ => body.len().to_string(),
    };
    let announced = format!("Content-Length: {length}\r\n").into_bytes();
    let coding = format!("{}\r\n", pick_text(rng, &CODINGS)).into_bytes();
    let chunks = chunked(body, rng);
    let (lines, body) = match rng.u8(..6) {
        0 => (coding, chunks),
        1 => ([announced, coding].concat(), chunks),
        2 => ([coding, announced].concat(), body.to_vec()),
        3 => (announced.repeat(2), body.to_vec()),
        _ => (announced, body.to_vec()),
    };
    [lines, b"\r\n".to_vec(), body].concat()
}

fn chunked(body: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = 1 + rng.usize(..body.len() + 1).max(body.len() / 1_000);
    for chunk in body.chunks(length) {
        let size = match rng.u8(..30) {
            0 => pick_text(
                rng,
                &[
                    "FFFFFFFFFFFFFFFF5",
                    "-5",
                    "0x5",
                    "",
                    "g",
                    "00000000000000000005",
                ],
            )
            .to_owned(),
            1 => format!("{:x};{}", chunk.len(), "x".repeat(size(rng).min(50_000))),
            2 => format!("{:x}", chunk.len() + 1),
            _ => format!("{:X}", chunk.len()),
        };
        bytes.extend([size.as_bytes(), b"\r\n", chunk, b"\r\n"].concat());
    }
    let end: &[u8] = match rng.u8(..8) {
        0 => b"0\r\nContent-Length: 5\r\nX: y\r\n\r\n",
        1 => b"0\n\n",
        2 => b"",
        _ => b"0\r\n\r\n",
    };
    [&bytes, end].concat()
}

/// A target: one of [`TARGETS`], spelled in another way.
fn target(rng: &mut Rng) -> Vec<u8> {
    let mut target = pick(rng, &TARGETS);
    for _ in 0..rng.usize(..4) {
        respell(&mut target, rng);
    }
    target
}

fn respell(target: &mut Vec<u8>, rng: &mut Rng) {
    let slashes: Vec<usize> = (0..target.len())
        .filter(|nth| target[*nth] == b'/')
        .collect();
    match rng.u8(..9) {
        0 | 1 if !target.is_empty() => {
            let at = rng.usize(..target.len());
            let byte = target[at];
            let escape = match rng.u8(..4) {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                2 => format!("%25{byte:02x}"),
                _ => format!("%2525{byte:02X}"),
            };
            target.splice(at..=at, escape.into_bytes());
        }
        2 if !target.is_empty() => {
            let at = rng.usize(..target.len());
            target[at] = target[at].to_ascii_uppercase();
        }
        3 | 4 if !slashes.is_empty() => {
            let at = slashes[rng.usize(..slashes.len())];
            target.splice(at..=at, pick(rng, &SEPARATORS));
        }
        5 => drop(target.splice(0..0, pick(rng, &PREFIXES))),
        6 => target.extend(pick(rng, &SUFFIXES)),
        7 => {
            target.extend(b"&x=");
            target.extend(b"y".repeat(size(rng).min(100_000)));
        }
        _ => target.make_ascii_uppercase(),
    }
}

/// The steps that send these bytes: at once, in pieces, slowly, or not to the end.
fn sent(bytes: Vec<u8>, rng: &mut Rng) -> Script {
    let has_head = bytes
        .windows(5)
        .any(|window| window.eq_ignore_ascii_case(b"HEAD "));
    let cut = rng.usize(..bytes.len() + 1);
    let (first, rest) = bytes.split_at(cut);
    let (first, rest) = (Step::Send(first.to_vec()), Step::Send(rest.to_vec()));
    let pause = Step::Pause(Duration::from_millis(rng.u64(..200)));
    let steps = match rng.u8(..24) {
        0 => vec![first, Step::Cut],
        1 => vec![first, pause, Step::Cut],
        2 => vec![first, Step::Finish],
        3 => vec![first, pause, rest],
        4 => vec![Step::Send(bytes), Step::Finish],
        5 => vec![Step::Send(bytes), Step::Cut],
        6 => vec![first],
        7 => slowly(&bytes),
        _ => vec![Step::Send(bytes)],
    };
    Script { steps, has_head }
}

/// The first bytes one by one, each in a packet of its own.
fn slowly(bytes: &[u8]) -> Vec<Step> {
    let (slow, rest) = bytes.split_at(bytes.len().min(100));
    let pause = Step::Pause(Duration::from_millis(2));
    let mut steps: Vec<_> = slow
        .iter()
        .flat_map(|byte| [Step::Send(vec![*byte]), pause.clone()])
        .collect();
    steps.push(Step::Send(rest.to_vec()));
    steps
}

fn pick_text<'a>(rng: &mut Rng, texts: &[&'a str]) -> &'a str {
    texts[rng.usize(..texts.len())]
}

/// A request for the node's token, for a reader that takes a body for a second request.
const NODE: &str =
    "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n\r\n";

const TARGETS: [&str; 24] = [
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F",
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net",
    "/metadata/identity/oauth2/token?resource=unknown&client_id=91be0000-1111-2222-3333-444455556666",
    "/metadata/identity/oauth2/token?resource=a&resource=b",
    "/metadata/identity/oauth2/token",
    "/metadata/identity/info?api-version=2018-02-01",
    "/metadata/identity",
    "/metadata/instance?api-version=2021-02-01",
    "/metadata/instance/compute/../../identity/oauth2/token?resource=a",
    "/metadata/attested/document",
    "/metadata/scheduledevents",
    "/metadata/versions",
    "/readyz",
    "/healthz",
    "/metrics",
    "/mutate-v1-pod",
    "/latest/meta-data/iam/security-credentials/role",
    "/latest/meta-data/instance-id",
    "/latest/meta-data/ram/security-credentials/role",
    "/computeMetadata/v1/instance/service-accounts/default/token",
    "/opc/v2/identity/cert.pem",
    "/msi/token?resource=a",
    "/",
    "*",
];

const SEPARATORS: [&str; 20] = [
    "//",
    "/./",
    "/x/../",
    "\\",
    "/%2e%2e/",
    "/;a=b/",
    "%2f",
    "%5c",
    "/%2e/",
    "/\t",
    "/%00",
    "/%09",
    "/%0d%0a",
    "/x/%2e%2e/",
    ";x/",
    "/%c0%af",
    "/..;/",
    "/%u002f",
    "\u{ff0f}",
    "/%20",
];

const PREFIXES: [&str; 16] = [
    "//x",
    "/\\x",
    "/http://h",
    "http://169.254.169.254",
    "http://u:p@h",
    "HTTP://h:80",
    "https:/",
    "x:",
    "/.",
    "/..",
    "///",
    "/metadata",
    "/metadata/identity/..",
    "#",
    "?",
    "/%2f%2fh",
];

const SUFFIXES: [&str; 12] = [
    "/",
    "/..",
    "?",
    "#",
    "#/identity",
    "?/../identity",
    "%00",
    ";x",
    "&resource=c",
    "&client_id=",
    "%",
    "&object_id=1&mi_res_id=2",
];

const METHODS: [&str; 14] = [
    "POST",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "",
    "G\0T",
    "PRI",
    "GET\t",
    // Longer than any method.
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
];

const VERSIONS: [&str; 8] = [
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/1.1 ",
    "",
    "HTTP/1.1 x HTTP/1.1",
    "HTTP/9999999999.1",
];

const HEADERS: [&str; 28] = [
    "Host: other",
    "Host:",
    "Host: a b",
    "Metadata: true",
    "Metadata: false",
    "metadata:\ttrue",
    "X-Forwarded-For: 1",
    "X-IDENTITY-HEADER: x",
    "X-HTTP-Method-Override: POST",
    "Forwarded: for=1",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Metadata, Host",
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "HTTP2-Settings: AAMAAABk",
    "Expect: 100-continue",
    "TE: trailers",
    "Trailer: Metadata",
    "Content-Type: application/json",
    "Content-Encoding: gzip",
    "Range: bytes=0-1",
    "If-None-Match: *",
    "Accept-Encoding: gzip",
    "Authorization: Bearer x",
    "Cookie: Metadata=true",
    " Metadata: true",
];

const LENGTHS: [&str; 10] = [
    "+5",
    "-5",
    "0x5",
    "5, 6",
    "",
    "99999999999999999999999",
    "18446744073709551615",
    "7000000",
    "0",
    "5 5",
];

const CODINGS: [&str; 9] = [
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_connection() {
        for seed in 0..200 {
            let again = || connection(&mut Rng::with_seed(seed)).bytes();
            assert_eq!(again(), again());
        }
    }

    #[test]
    fn head_is_noted() {
        for seed in 0..500 {
            let script = connection(&mut Rng::with_seed(seed));
            assert!(script.has_head || !script.bytes().starts_with(b"HEAD "));
        }
    }
}
