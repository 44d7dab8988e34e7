//! How far a connection is with its answer: whether the bytes that hyper writes belong to one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// The progress of the answer under way. One task has a connection, so nothing races.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

/// The body of an answer. Its end is noted.
#[derive(Debug)]
pub(super) struct Tracked<B> {
    body: B,
    progress: Arc<Progress>,
}

impl Progress {
    /// A request was read.
    pub(super) fn begin(&self) {
        self.0.store(ANSWERING, Ordering::Relaxed);
    }

    /// Everything that hyper has to write is written.
    pub(super) fn flushed(&self) {
        if self.0.load(Ordering::Relaxed) == BUFFERED {
            self.0.store(BETWEEN, Ordering::Relaxed);
        }
    }

    /// Whether a request is read and its answer not yet complete.
    pub(super) fn is_answering(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ANSWERING
    }

    /// Whether all answers are written, and no request is read.
    pub(super) fn is_between_answers(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BETWEEN
    }
}

impl<B> Tracked<B> {
    /// `body`, whose end is noted in `progress`.
    pub(super) fn new(body: B, progress: &Arc<Progress>) -> Self {
        Self {
            body,
            progress: Arc::clone(progress),
        }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// hyper drops a body when all of it, and the head before it, is in the buffer that it writes from.
impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.progress.0.store(BUFFERED, Ordering::Relaxed);
    }
}

/// No answer is under way.
const BETWEEN: u8 = 0;
/// A request was read, and its answer is not complete.
const ANSWERING: u8 = 1;
/// The answer is complete and may not be written yet.
const BUFFERED: u8 = 2;
