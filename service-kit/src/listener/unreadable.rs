//! Answers to bytes that are not a request.
//!
//! hyper refuses those itself, with a bare status, before any service gets a request. Clients that parse
//! each answer as JSON fail at such a status, so its bytes are dropped and [`Service::refuse`] answers.
//! Nothing here depends on how hyper writes its refusal: while no answer is under way, hyper has nothing
//! else to write.
//!
//! [`Service::refuse`]: super::service::Service::refuse

use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::activity::Activity;

/// Why the head of a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It is not HTTP/1.1.
    NotHttp,
    /// It is larger than [`Limits::head_size`](super::Limits::head_size).
    TooLarge,
}

impl HeadError {
    /// The status that hyper answers with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotHttp => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }

    /// Reads the error with which hyper ended a connection. `None` if the head is not the reason, or if
    /// the client cannot be answered, because earlier answers are not written. `has_dropped` is whether
    /// a refusal of hyper's was dropped.
    pub(super) fn of(error: &hyper::Error, has_dropped: bool, activity: &Activity) -> Option<Self> {
        // hyper ends HTTP/2 without a refusal.
        let is_unanswered = has_dropped || error.is_parse_version_h2();
        if !is_unanswered || activity.is_answering() {
            None
        } else if error.is_parse_too_large() {
            Some(Self::TooLarge)
        } else {
            error.is_parse().then_some(Self::NotHttp)
        }
    }
}

/// Writes the last answer of a connection, and closes it.
pub(super) async fn write(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Response<Bytes>,
) -> io::Result<()> {
    let (parts, body) = answer.into_parts();
    let mut bytes = format!("HTTP/1.1 {}\r\nconnection: close\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let (length, date) = (body.len(), httpdate::fmt_http_date(SystemTime::now()));
    bytes.extend(format!("content-length: {length}\r\ndate: {date}\r\n\r\n").into_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    // The kernel would reset a connection with unread bytes, and the client lose the answer.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}
