//! The body of a relayed answer, which keeps the relay's place until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{self, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// The body of an answer of IMDS, as a stream.
#[derive(Debug)]
pub struct Body {
    pub(super) body: Incoming,
    pub(super) _place: OwnedSemaphorePermit,
}

impl body::Body for Body {
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
