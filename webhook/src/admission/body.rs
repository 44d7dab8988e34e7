//! Reads the body of a review into memory that is counted as it arrives.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use service_kit::listener;
use thiserror::Error;
use tokio::time::timeout;

use crate::memory::{MadeWay, Memory, SMALL, Share};

/// A body, and its share of the memory unless it is small.
#[derive(Debug)]
pub(super) struct ReviewBody {
    pub(super) bytes: Bytes,
    pub(super) share: Option<Share>,
}

/// Why a body is not read to its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Other reviews need the memory.
    #[error(transparent)]
    MadeWay(#[from] MadeWay),
    /// The body is larger than `MAX_BODY`.
    #[error("the body is larger than {} MiB", MAX_BODY / MIB)]
    TooLarge,
    /// The body took longer than `BODY_TIMEOUT`, or was below the listener's minimum rate.
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    /// The client closed the connection, or sent malformed chunks.
    #[error("the body could not be read")]
    Unreadable,
}

/// Reads a body to its end.
pub(super) async fn read(body: Body, memory: &Arc<Memory>) -> Result<ReviewBody, BodyError> {
    let reading = timeout(BODY_TIMEOUT, collect(body, memory)).await;
    reading.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut body: Body, memory: &Arc<Memory>) -> Result<ReviewBody, BodyError> {
    let most = length(&body);
    let first = next(&mut body).await?.unwrap_or_default();
    if body.is_end_stream() && first.len() <= SMALL {
        return Ok(ReviewBody {
            bytes: first,
            share: None,
        });
    }
    let share = (most > SMALL).then(|| memory.share());
    let mut whole = Vec::new();
    append(&mut whole, &first, most, share.as_ref())?;
    drop(first);
    let rest = async {
        while let Some(data) = next(&mut body).await? {
            append(&mut whole, &data, most, share.as_ref())?;
        }
        Ok::<_, BodyError>(())
    };
    match &share {
        None => rest.await?,
        Some(share) => {
            tokio::select! {
                biased;
                () = share.made_way() => return Err(MadeWay.into()),
                rest = rest => rest?,
            }
            // From here on it waits for this program alone.
            share.set_may_make_way(false)?;
        }
    }
    Ok(ReviewBody {
        bytes: whole.into(),
        share,
    })
}

/// The next bytes of a body, `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers are not read.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) if listener::is_slow(&error as &(dyn Error + 'static)) => {
                return Err(BodyError::TooSlow);
            }
            Some(Err(_)) => return Err(BodyError::Unreadable),
        }
    }
}

/// Appends to a body whose length is at most `most`, as far as is known.
fn append(
    whole: &mut Vec<u8>,
    data: &[u8],
    most: usize,
    share: Option<&Share>,
) -> Result<(), BodyError> {
    let needed = whole.len() + data.len();
    if needed > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    if needed > whole.capacity() {
        // Doubled, so that a body is not copied for each piece.
        let capacity = (2 * whole.capacity()).min(most).max(needed);
        if let Some(share) = share {
            share.resize(capacity)?;
        }
        whole.reserve_exact(capacity - whole.len());
    }
    whole.extend_from_slice(data);
    Ok(())
}

/// An upper bound of the body's bytes. API servers always send a `Content-Length`.
fn length(body: &Body) -> usize {
    let length = body.size_hint().exact();
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.unwrap_or(MAX_BODY).min(MAX_BODY)
}

pub(super) const MIB: usize = 1024 * 1024;

/// Twice the API server's own limit of 3 MB for an object, and the envelope, in bytes.
pub(super) const MAX_BODY: usize = 7 * MIB;

/// How long a body may take.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
