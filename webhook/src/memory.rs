//! Memory that clients share, so that none fills that of a replica.
//!
//! There are two bounds. One is for bodies while they arrive and wait, together with answers that are not
//! written yet ([`Share`]). The other is for all that is made of a body while it is reviewed
//! ([`Memory::turn`]).
//!
//! A share is counted as it fills, and not as it is announced. A client that is slow to send a body or to
//! read an answer does not keep others waiting: the oldest of those makes way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

/// The memory of a port's clients.
#[derive(Debug)]
pub(crate) struct Memory {
    bounds: Bounds,
    held: Mutex<Held>,
    /// KiB that reviews may use while they are parsed and answered.
    turns: Semaphore,
}

/// Bytes that clients may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bodies and answers.
    pub(crate) held: usize,
    /// The same, while one that is larger than [`LARGE`] grows.
    pub(crate) held_by_large: usize,
    /// All that is made of them at once.
    pub(crate) turns: usize,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    next: u64,
    /// The oldest first.
    shares: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The answer that is being written, which is freed when it makes way.
    answer: Option<Answer>,
    bytes: usize,
    /// Whether it waits for its client or for the API server.
    may_make_way: bool,
    made_way: Arc<Notify>,
}

type Answer = Arc<Mutex<Vec<u8>>>;

/// A client has lost its memory to others.
#[derive(Debug, Error)]
#[error("too many large requests at once, and this one was slower than others: try again")]
pub struct MadeWay;

impl Memory {
    /// Memory with these bounds.
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            held: Mutex::default(),
            turns: Semaphore::new(bounds.turns / KIB),
        }
    }

    /// A share of no bytes, for one review.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        let made_way = Arc::new(Notify::new());
        let mut held = self.lock();
        let number = held.next;
        held.next += 1;
        held.shares.insert(
            number,
            Entry {
                answer: None,
                bytes: 0,
                may_make_way: true,
                made_way: Arc::clone(&made_way),
            },
        );
        drop(held);
        Share {
            made_way,
            memory: Arc::clone(self),
            number,
        }
    }

    /// Waits until a review may use so many bytes besides its body. One that needs more than all gets
    /// all. It must be dropped before anything else is waited for.
    pub(crate) async fn turn(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.min(self.bounds.turns) / KIB).ok()?;
        self.turns.acquire_many(units).await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of one review, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    made_way: Arc<Notify>,
    memory: Arc<Memory>,
    number: u64,
}

impl Share {
    /// Changes the number of bytes. Older ones that may make way do so, and if there is none, this one,
    /// unless it is alone.
    ///
    /// # Errors
    ///
    /// When it has made way. Its memory has to be freed at once.
    pub(crate) fn resize(&self, bytes: usize) -> Result<(), MadeWay> {
        let mut held = self.memory.lock();
        let entry = held.shares.get_mut(&self.number).ok_or(MadeWay)?;
        let before = std::mem::replace(&mut entry.bytes, bytes);
        held.bytes = held.bytes - before + bytes;
        let bounds = self.memory.bounds;
        let most = if bytes > LARGE {
            bounds.held_by_large
        } else {
            bounds.held
        };
        while held.bytes > most && held.bytes > bytes {
            let mut may_make_way = held.shares.iter().filter(|(_, it)| it.may_make_way);
            let oldest = may_make_way.next().map(|(number, _)| *number);
            let number = oldest.unwrap_or(self.number);
            held.evict(number);
            if number == self.number {
                return Err(MadeWay);
            }
        }
        Ok(())
    }

    /// Waits until it has made way.
    pub(crate) async fn made_way(&self) {
        self.made_way.notified().await;
    }

    /// Sets whether it may make way. One that is reviewed, or that waits for its turn, may not.
    ///
    /// # Errors
    ///
    /// When it has made way.
    pub(crate) fn set_may_make_way(&self, may_make_way: bool) -> Result<(), MadeWay> {
        let mut held = self.memory.lock();
        let entry = held.shares.get_mut(&self.number).ok_or(MadeWay)?;
        entry.may_make_way = may_make_way;
        Ok(())
    }

    /// The answer as a body. It makes way when its client does not read it.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn hold(self, answer: Vec<u8>) -> Result<LargeAnswer, MadeWay> {
        let length = answer.len();
        self.set_may_make_way(true)?;
        self.resize(answer.capacity())?;
        let answer = Arc::new(Mutex::new(answer));
        let mut held = self.memory.lock();
        let entry = held.shares.get_mut(&self.number).ok_or(MadeWay)?;
        entry.answer = Some(Arc::clone(&answer));
        drop(held);
        Ok(LargeAnswer {
            answer,
            length,
            _share: self,
            written: 0,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.lock().remove(self.number);
    }
}

impl Held {
    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.shares.remove(&number)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn evict(&mut self, number: u64) {
        let Some(entry) = self.remove(number) else {
            return;
        };
        if let Some(answer) = entry.answer {
            drop(std::mem::take(
                &mut *answer.lock().unwrap_or_else(PoisonError::into_inner),
            ));
        }
        entry.made_way.notify_one();
    }
}

/// An answer that is passed on in pieces, so that it can be freed while its client does not read.
#[derive(Debug)]
pub(crate) struct LargeAnswer {
    answer: Answer,
    length: usize,
    _share: Share,
    written: usize,
}

impl Body for LargeAnswer {
    type Data = Bytes;
    type Error = MadeWay;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, MadeWay>>> {
        let this = &mut *self;
        if this.written == this.length {
            return Poll::Ready(None);
        }
        let answer = this.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let end = this.length.min(this.written + PIECE);
        let Some(piece) = answer.get(this.written..end) else {
            return Poll::Ready(Some(Err(MadeWay)));
        };
        this.written = end;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.written == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.length - self.written) as u64)
    }
}

const KIB: usize = 1024;

/// A body or an answer of so many bytes is not counted: each connection has as much for its buffers.
pub(crate) const SMALL: usize = 8 * KIB;

/// A larger body waits for its turn, and leaves some memory to the others.
pub(crate) const LARGE: usize = 64 * KIB;

/// Bytes of an answer that are copied at once.
const PIECE: usize = 16 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * KIB;

    const BOUNDS: Bounds = Bounds {
        held: 12 * MIB,
        held_by_large: 10 * MIB,
        turns: 0,
    };

    fn made_way(share: &Share) -> bool {
        share.set_may_make_way(true).is_err()
    }

    #[tokio::test]
    async fn the_oldest_that_waits_for_its_client_makes_way() {
        let memory = Arc::new(Memory::new(BOUNDS));
        let [reviewed, first, second] = [(); 3].map(|()| memory.share());
        for share in [&reviewed, &first, &second] {
            share.resize(3 * MIB).unwrap();
        }
        reviewed.set_may_make_way(false).unwrap();
        let last = memory.share();
        last.resize(3 * MIB).unwrap();
        assert!(made_way(&first) && !made_way(&second));
        first.made_way().await;
        assert!(first.resize(1).is_err());
        drop(first);
        last.resize(7 * MIB).unwrap();
        assert!(made_way(&second) && !made_way(&last));
        // Nothing else is left to make way.
        assert!(last.resize(8 * MIB).is_err());
        assert_eq!(memory.lock().bytes, 3 * MIB);
        drop(reviewed);
        assert_eq!(memory.lock().bytes, 0);
        let alone = memory.share();
        alone.resize(20 * MIB).unwrap();
    }

    #[test]
    fn large_bodies_leave_some_memory_to_others() {
        let memory = Arc::new(Memory::new(BOUNDS));
        let [first, second, third, small] = [(); 4].map(|()| memory.share());
        for share in [&first, &second] {
            share.resize(BOUNDS.held_by_large / 2).unwrap();
            share.set_may_make_way(false).unwrap();
        }
        assert!(third.resize(LARGE + 1).is_err());
        small.resize(LARGE).unwrap();
    }

    #[test]
    fn an_answer_that_is_not_read_is_freed() {
        let memory = Arc::new(Memory::new(BOUNDS));
        let mut answer = memory.share().hold(vec![b'x'; 7 * MIB]).unwrap();
        let mut poll = || {
            let mut context = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut answer).poll_frame(&mut context)
        };
        let Poll::Ready(Some(Ok(piece))) = poll() else {
            panic!("no first piece");
        };
        assert_eq!(piece.data_ref().unwrap().len(), PIECE);
        let other = memory.share();
        other.resize(7 * MIB).unwrap();
        assert!(matches!(poll(), Poll::Ready(Some(Err(MadeWay)))));
        assert_eq!(answer.answer.lock().unwrap().capacity(), 0);
    }

    #[test]
    fn an_answer_is_passed_on_whole() {
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(PIECE * 5 / 2).collect();
        let memory = Arc::new(Memory::new(BOUNDS));
        let mut answer = memory.share().hold(text.clone()).unwrap();
        let mut read = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        while !answer.is_end_stream() {
            assert_eq!(
                answer.size_hint().exact(),
                Some((text.len() - read.len()) as u64)
            );
            let polled = Pin::new(&mut answer).poll_frame(&mut context);
            let Poll::Ready(Some(Ok(frame))) = polled else {
                panic!("{polled:?}");
            };
            read.extend_from_slice(frame.data_ref().unwrap());
        }
        assert!(read == text);
        drop(answer);
        assert_eq!(memory.lock().bytes, 0);
    }
}
