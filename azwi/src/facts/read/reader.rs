//! Requests to the API server: lists in pages, and what cannot be read as a [`Gap`].

use std::time::Duration;

use http::Request;
use kube::{Client, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;
use webhook::reason::reason;

use crate::facts::Gap;

/// A resource of the API.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    /// Group and version, such as `apps/v1`; `v1` for the core group.
    pub(crate) version: &'static str,
    /// The name in paths, such as `deployments`.
    pub(crate) plural: &'static str,
    /// The kind, such as `Deployment`.
    pub(crate) kind: &'static str,
}

impl Resource {
    /// A resource, by its group and version, its name in paths, and its kind.
    pub(crate) const fn new(
        version: &'static str,
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self {
            version,
            plural,
            kind,
        }
    }

    fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let mut path = format!("{root}/{}", self.version);
        let namespace = namespace.into_iter().flat_map(|it| ["namespaces", it]);
        for part in namespace.chain([self.plural]).chain(name) {
            path.push('/');
            path.push_str(part);
        }
        path
    }

    /// The resource as rights name it: `deployments.apps`.
    fn right(&self) -> String {
        match self.version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.to_owned(),
        }
    }
}

/// Reads from the API server, and remembers what it could not.
pub(crate) struct Reader {
    client: Client,
    pub(crate) gaps: Vec<Gap>,
}

impl Reader {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            gaps: Vec::new(),
        }
    }

    /// Calls `each` with every object, a page at a time. `false` when not all could be read. A kind that the
    /// API server does not serve has no objects.
    pub(crate) async fn list(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        each: impl FnMut(&RawValue) -> Result<(), serde_json::Error>,
    ) -> bool {
        let path = resource.path(namespace, None);
        self.list_at(&path, &resource.right(), namespace, each)
            .await
    }

    /// The same for a path. `right` is the resource as rights name it.
    pub(crate) async fn list_at(
        &mut self,
        path: &str,
        right: &str,
        namespace: Option<&str>,
        mut each: impl FnMut(&RawValue) -> Result<(), serde_json::Error>,
    ) -> bool {
        let mut next = String::new();
        loop {
            let escaped: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let page = self
                .text(&format!("{path}?limit={PAGE}&continue={escaped}"))
                .await;
            let read = page.and_then(|text| {
                let page: Page<'_> = serde_json::from_str(&text)?;
                for object in page.items {
                    each(object)?;
                }
                Ok(page.metadata.next)
            });
            match read {
                Ok(Some(token)) if !token.is_empty() => next = token,
                Ok(_) => return true,
                // For a group that it does not serve, the API server answers with a page instead of a status with a reason.
                Err(ReadError::Answer(Error::Api(status))) if status.code == 404 => return true,
                // The list has expired meanwhile: the answer has a token for the rest of a newer one.
                Err(ReadError::Answer(Error::Api(status))) if status.code == 410 => {
                    let token = status.metadata.as_ref().and_then(|it| it.continue_.clone());
                    let Some(token) = token.filter(|it| *it != next) else {
                        self.miss(
                            "list",
                            right.to_owned(),
                            namespace,
                            &Error::Api(status).into(),
                        );
                        return false;
                    };
                    next = token;
                }
                Err(error) => {
                    self.miss("list", right.to_owned(), namespace, &error);
                    return false;
                }
            }
        }
    }

    /// The same for objects that are only a help: what cannot be read is no gap.
    pub(super) async fn list_optional(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        each: impl FnMut(&RawValue) -> Result<(), serde_json::Error>,
    ) {
        let known = self.gaps.len();
        self.list(resource, namespace, each).await;
        self.gaps.truncate(known);
    }

    /// The JSON of one object: `Ok(None)` when it does not exist, `Err` when that is not known.
    pub(crate) async fn get(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<String>, Unknown> {
        match self.text(&resource.path(namespace, Some(name))).await {
            Ok(text) => Ok(Some(text)),
            Err(ReadError::Answer(Error::Api(status))) if status.is_not_found() => Ok(None),
            Err(error) => {
                self.miss("get", resource.right(), namespace, &error);
                Err(Unknown)
            }
        }
    }

    /// A document at a path of the API server.
    pub(crate) async fn document(&mut self, path: &str) -> Option<String> {
        match self.text(path).await {
            Ok(text) => Some(text),
            Err(error) => {
                self.miss("get", path.to_owned(), None, &error);
                None
            }
        }
    }

    /// The same, parsed.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        match self.parsed(path).await {
            Ok(document) => Some(document),
            Err(error) => {
                self.miss("get", path.to_owned(), None, &error);
                None
            }
        }
    }

    /// The same, or why it cannot be read.
    pub(super) async fn parsed<T: DeserializeOwned>(&self, path: &str) -> Result<T, ReadError> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    /// Posts to a path.
    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<String, ReadError> {
        let request = Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(Error::HttpError)?;
        self.send(request).await
    }

    /// Remembers what could not be read.
    pub(crate) fn miss(
        &mut self,
        verb: &'static str,
        resource: String,
        namespace: Option<&str>,
        error: &ReadError,
    ) {
        let (is_forbidden, reason) = match error {
            ReadError::Answer(Error::Api(status)) => {
                (status.is_forbidden(), status.message.clone())
            }
            other => (false, other.to_string()),
        };
        self.gaps.push(Gap {
            verb,
            resource,
            namespace: namespace.map(str::to_owned),
            is_forbidden,
            reason,
        });
    }

    /// Remembers what could not be read outside of the cluster.
    pub(super) fn miss_elsewhere(&mut self, verb: &'static str, resource: String, reason: String) {
        self.gaps.push(Gap {
            verb,
            resource,
            namespace: None,
            is_forbidden: false,
            reason,
        });
    }

    async fn text(&self, path: &str) -> Result<String, ReadError> {
        self.send(
            Request::get(path)
                .body(Vec::new())
                .map_err(Error::HttpError)?,
        )
        .await
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<String, ReadError> {
        match timeout(TIMEOUT, self.client.request_text(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ReadError::Timeout),
        }
    }
}

/// Whether an object exists could not be found out.
#[derive(Debug)]
pub(crate) struct Unknown;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server refuses, or the connection fails.
    #[error("{}", reason(.0))]
    Answer(#[from] Error),
    /// The answer is something else.
    #[error("the answer is not what the API server documents: {0}")]
    Json(#[from] serde_json::Error),
    /// The token is something else.
    #[error("the API server's token is not a JSON Web Token")]
    NoToken,
    /// There is no answer.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// A page of a list. Its objects stay text until each is read.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// Objects of a page. One of pods takes some 3 MB.
const PAGE: usize = 250;
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
