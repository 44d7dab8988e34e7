//! The body of a relayed answer, which keeps the relay's place until its end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{self, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;

use super::places::{MakeWay, Place};

/// The body of an answer of IMDS, as a stream.
#[derive(Debug)]
pub struct Body {
    answer: Arc<Answer>,
    place: Place,
}

/// Why an answer is cut short.
#[derive(Debug, Error)]
pub enum BodyError {
    /// IMDS broke it off.
    #[error("the instance metadata service broke off its answer: {0}")]
    Http(#[from] hyper::Error),
    /// It waited, for IMDS or for its reader, longer than all others when a place was needed.
    #[error("this answer was slower than others")]
    MadeWay,
}

#[derive(Debug)]
struct Answer(Mutex<Open>);

#[derive(Debug)]
struct Open {
    /// `None` once it has made way.
    body: Option<Incoming>,
    permit: Option<OwnedSemaphorePermit>,
    reader: Option<Waker>,
}

impl Body {
    /// The body in its place, `None` if that has made way.
    pub(super) fn new(body: Incoming, place: Place, permit: OwnedSemaphorePermit) -> Option<Self> {
        let answer = Arc::new(Answer(Mutex::new(Open {
            body: Some(body),
            permit: Some(permit),
            reader: None,
        })));
        let held: Weak<Answer> = Arc::downgrade(&answer);
        place.hold(held).then_some(Self { answer, place })
    }
}

impl Answer {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MakeWay for Answer {
    /// Closes the connection to IMDS, even while the answer's reader reads nothing.
    fn make_way(&self) {
        let mut open = self.open();
        let (body, permit, reader) = (open.body.take(), open.permit.take(), open.reader.take());
        drop(open);
        drop(body);
        drop(permit);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut open = this.answer.open();
        let Some(body) = &mut open.body else {
            return Poll::Ready(Some(Err(BodyError::MadeWay)));
        };
        let polled = Pin::new(body).poll_frame(context);
        if polled.is_pending() {
            open.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(open);
        this.place.progressed();
        polled.map_err(BodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        let open = self.answer.open();
        open.body.as_ref().is_some_and(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let open = self.answer.open();
        open.body
            .as_ref()
            .map(Incoming::size_hint)
            .unwrap_or_default()
    }
}
