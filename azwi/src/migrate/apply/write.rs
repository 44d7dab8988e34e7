//! Requests to the API server that change something.

use std::time::Duration;

use http::{Request, header};
use kube::{Client, Error};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

/// A change that the API server refused, or that did not reach it.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Its answer.
    #[error("{0}: {1}")]
    Answer(String, Box<Error>),
    /// No answer in time.
    #[error("{0}: no answer within {seconds} s", seconds = TIMEOUT.as_secs())]
    Timeout(String),
}

/// Changes objects.
pub(super) struct Writer {
    client: Client,
}

impl Writer {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Patches an object.
    pub(super) async fn patch(&self, path: &str, patch: &Value) -> Result<(), WriteError> {
        let request = Request::patch(format!("{path}?fieldManager={MANAGER}"))
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        self.send(path, request).await
    }

    /// Makes an object, or patches the one that is there.
    pub(super) async fn ensure(&self, object: &Value) -> Result<(), WriteError> {
        let text = |path| object.pointer(path).and_then(Value::as_str).unwrap_or("");
        let kind = text("/kind").to_ascii_lowercase();
        let namespace = text("/metadata/namespace");
        let place = match namespace {
            "" => String::new(),
            _ => format!("/namespaces/{namespace}"),
        };
        let version = text("/apiVersion");
        let root = if version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let list = format!("{root}/{version}{place}/{kind}s");
        let request = Request::post(format!("{list}?fieldManager={MANAGER}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes());
        match self.send(&list, request).await {
            Err(WriteError::Answer(_, error)) if is_conflict(&error) => {
                self.patch(&format!("{list}/{}", text("/metadata/name")), object)
                    .await
            }
            other => other,
        }
    }

    /// Deletes an object that may be gone already.
    pub(super) async fn delete(&self, path: &str) -> Result<(), WriteError> {
        let request = Request::delete(path).body(Vec::new());
        match self.send(path, request).await {
            Err(WriteError::Answer(_, error)) if is(&error, 404) => Ok(()),
            other => other,
        }
    }

    async fn send(
        &self,
        path: &str,
        request: http::Result<Request<Vec<u8>>>,
    ) -> Result<(), WriteError> {
        let failed = |error| WriteError::Answer(path.to_owned(), Box::new(error));
        let request = request.map_err(|error| failed(Error::HttpError(error)))?;
        match timeout(TIMEOUT, self.client.request_text(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(WriteError::Timeout(path.to_owned())),
        }
    }
}

fn is_conflict(error: &Error) -> bool {
    is(error, 409)
}

fn is(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

const MANAGER: &str = "azwi-migrate";
const TIMEOUT: Duration = Duration::from_secs(30);
