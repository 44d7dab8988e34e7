//! Whether the bytes of an answer are those of IMDS.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Where what is being written to a connection comes from.
#[derive(Debug, Default)]
pub(super) struct Origin(AtomicU8);

/// A body of IMDS on its way through. Its end is noted.
#[derive(Debug)]
pub(super) struct Relayed {
    body: Incoming,
    origin: Arc<Origin>,
}

impl Origin {
    /// An answer of IMDS begins.
    pub(super) fn relay(self: &Arc<Self>, body: Incoming) -> Relayed {
        self.0.store(UNDER_WAY, Ordering::Relaxed);
        Relayed {
            body,
            origin: Arc::clone(self),
        }
    }

    /// Whether what is written next may be of IMDS.
    pub(super) fn is_imds(&self) -> bool {
        self.0.load(Ordering::Relaxed) != OWN
    }

    /// Whether some of it is still to come.
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNDER_WAY
    }

    /// All that there was to write is written. What is to come after the end of a body is ours.
    pub(super) fn flushed(&self) {
        // One task has a connection, and nearly always nothing is to be changed.
        if self.0.load(Ordering::Relaxed) == ENDED {
            self.0.store(OWN, Ordering::Relaxed);
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper drops a body when it has put all of it, or the head of one that is empty, where it writes
/// from.
impl Drop for Relayed {
    fn drop(&mut self) {
        self.origin.0.store(ENDED, Ordering::Relaxed);
    }
}

/// The answers are our own.
const OWN: u8 = 0;
/// An answer of IMDS is being read.
const UNDER_WAY: u8 = 1;
/// It was read, and may not be written yet.
const ENDED: u8 = 2;
