//! The stream below hyper, without hyper's own refusals.
//!
//! When a request cannot be read, hyper answers with a bare status before any service sees a request.
//! Every answer of IMDS is JSON (R7, law 3), so that refusal is dropped, and the connection answers in
//! its place. Nothing here depends on the bytes of the refusal: while no answer is under way, hyper has
//! nothing else to write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HeadError;
use super::progress::Progress;

/// A stream that drops what is written between answers.
#[derive(Debug)]
pub(super) struct Muted<'a, T> {
    stream: T,
    progress: &'a Progress,
    /// Whether something was dropped.
    dropped: bool,
}

impl<'a, T> Muted<'a, T> {
    /// `progress` is that of the answers on this stream.
    pub(super) fn new(stream: T, progress: &'a Progress) -> Self {
        Self {
            stream,
            progress,
            dropped: false,
        }
    }

    /// The refusal that is due when hyper ended the connection with `error`; `None` if the error was
    /// another one, or the client cannot be answered because earlier answers are not written.
    pub(super) fn refusal(&self, error: &hyper::Error) -> Option<HeadError> {
        // hyper ends HTTP/2 without a refusal of its own.
        let unanswered = self.dropped || error.is_parse_version_h2();
        if !unanswered || !self.progress.is_between_answers() {
            None
        } else if error.is_parse_too_large() {
            Some(HeadError::TooLarge)
        } else {
            error.is_parse().then_some(HeadError::NotHttp)
        }
    }

    /// The stream itself.
    pub(super) fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Muted<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.progress.is_between_answers() {
            self.dropped = true;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.progress.is_between_answers() {
            self.dropped = true;
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper flushes the stream when its own buffer is empty.
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    /// Leaves the stream open: a refusal may follow.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Muted<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}
