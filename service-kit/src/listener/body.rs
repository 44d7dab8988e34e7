//! The body of a request, with a minimum rate.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::Activity;
use super::limits::BodyRate;

/// The body of a request. It ends with [`BodyError::Slow`] when its client is slower than
/// [`BodyRate`].
#[derive(Debug)]
pub struct RequestBody<B = Incoming> {
    activity: Arc<Activity>,
    body: B,
    rate: BodyRate,
    received: u64,
    /// The time of all waits that are over.
    waited: Duration,
    wait: Option<Arc<Wait>>,
    end: Option<Pin<Box<Sleep>>>,
}

/// Why a request's body ended early.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The client closed the connection, or sent malformed chunks.
    #[error("the request's body cannot be read: {0}")]
    Read(#[from] hyper::Error),
    /// The client was slower than [`BodyRate`].
    #[error("the request's body is too slow: less than {bytes_per_second} bytes per second")]
    Slow {
        /// The minimum rate.
        bytes_per_second: u32,
    },
}

/// Whether an error of reading a body is caused by [`BodyError::Slow`], which is answered with 408.
/// Adapters wrap it in other errors.
#[must_use]
pub fn is_slow(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(BodyError::Slow { .. }) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The service waits for the client, until the body wakes it. It may read much later.
#[derive(Debug)]
struct Wait {
    since: Instant,
    woken: OnceLock<Instant>,
    waker: Waker,
}

impl Wait {
    fn duration(&self) -> Duration {
        let end = self.woken.get().copied().unwrap_or_else(Instant::now);
        end.saturating_duration_since(self.since)
    }
}

impl Wake for Wait {
    fn wake(self: Arc<Self>) {
        self.woken.get_or_init(Instant::now);
        self.waker.wake_by_ref();
    }
}

impl<B> RequestBody<B> {
    /// The body's end, complete or not, is recorded in `activity`.
    pub(super) fn new(body: B, rate: BodyRate, activity: Arc<Activity>) -> Self {
        Self {
            activity,
            body,
            rate,
            received: 0,
            waited: Duration::ZERO,
            wait: None,
            end: None,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    BodyError: From<B::Error>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(wait) = this.wait.take() {
            this.waited += wait.duration();
        }
        // A wait is only noted when there is one: most frames are there already.
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(this.record(frame));
        }
        let wait = Arc::new(Wait {
            since: Instant::now(),
            woken: OnceLock::new(),
            waker: context.waker().clone(),
        });
        let waker = Waker::from(Arc::clone(&wait));
        let polled = Pin::new(&mut this.body).poll_frame(&mut Context::from_waker(&waker));
        if let Poll::Ready(frame) = polled {
            return Poll::Ready(this.record(frame));
        }
        let allowance = this.rate.allowance(this.received);
        let left = allowance.saturating_sub(this.waited);
        let late = wait.since + left;
        this.wait = Some(wait);
        // A timer fires a moment late: then no time is left.
        if !left.is_zero() {
            let end = this.end.get_or_insert_with(|| Box::pin(sleep_until(late)));
            if end.deadline() != late {
                end.as_mut().reset(late);
            }
            ready!(end.as_mut().poll(context));
        }
        Poll::Ready(Some(Err(BodyError::Slow {
            bytes_per_second: this.rate.bytes_per_second,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes>,
    BodyError: From<B::Error>,
{
    /// Counts a frame, and notes the end of the body.
    fn record(
        &mut self,
        frame: Option<Result<Frame<Bytes>, B::Error>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        if frame.is_none() || self.body.is_end_stream() {
            self.activity.received();
        }
        let data = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.received += data.map_or(0, |data| data.len() as u64);
        frame.map(|frame| frame.map_err(BodyError::from))
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.activity.received();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use http_body_util::BodyExt;

    const RATE: BodyRate = BodyRate {
        grace: Duration::from_secs(5),
        bytes_per_second: 1000,
    };

    /// Pieces of so many bytes, each after so many milliseconds.
    struct Pieces {
        left: VecDeque<(u64, usize)>,
        pause: Option<Pin<Box<Sleep>>>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            let Some((millis, size)) = self.left.front().copied() else {
                return Poll::Ready(None);
            };
            let end = Instant::now() + Duration::from_millis(millis);
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep_until(end)));
            ready!(pause.as_mut().poll(context));
            (self.pause, _) = (None, self.left.pop_front());
            Poll::Ready(Some(Ok(Frame::data(vec![0; size].into()))))
        }
    }

    fn body(pieces: impl IntoIterator<Item = (u64, usize)>) -> RequestBody<Pieces> {
        let left = pieces.into_iter().collect();
        let activity = Activity::new(Instant::now(), Arc::default());
        RequestBody::new(Pieces { left, pause: None }, RATE, Arc::new(activity))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_bytes_ends_after_the_grace() {
        let start = Instant::now();
        let error = body([(60_000, 1)]).collect().await.unwrap_err();
        assert!(is_slow(&error), "{error}");
        assert_eq!(start.elapsed(), RATE.grace);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_ends_soon_after_the_grace() {
        let start = Instant::now();
        let error = body([(100, 10); 1_000]).collect().await.unwrap_err();
        assert!(is_slow(&error), "{error}");
        // 100 bytes per second come, and 1,000 are wanted: 5 s / (1 - 0.1).
        let took = start.elapsed();
        assert!(
            took.abs_diff(Duration::from_millis(5_555)) < Duration::from_millis(100),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_the_lowest_rate_is_read_to_its_end() {
        let whole = body([(100, 100); 1_000]).collect().await.unwrap();
        assert_eq!(whole.to_bytes().len(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_service_does_not_read_is_not_counted() {
        let mut body = body([(4_000, 1), (0, 1), (900, 1)]);
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_the_arrival_of_bytes_and_their_reading_is_not_counted() {
        let mut body = body([(1_000, 1), (3_900, 1)]);
        for _ in 0..2 {
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
            tokio::time::sleep(Duration::from_secs(60)).await;
            body.frame().await.unwrap().unwrap();
        }
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn finds_slowness_in_wrapped_errors() {
        #[derive(Debug, Error)]
        #[error("outer")]
        struct Outer(#[source] Box<dyn Error + Send + Sync>);
        let slow = BodyError::Slow {
            bytes_per_second: 1,
        };
        assert!(is_slow(&Outer(Box::new(Outer(slow.into())))));
        assert!(!is_slow(&Outer("other".into())));
    }
}
