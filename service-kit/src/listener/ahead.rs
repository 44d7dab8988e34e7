//! Reads a TLS record with one system call.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that reads up to [`PIECE`] bytes at a time, also for a reader that asks for fewer: rustls asks for 4 KiB.
/// Unlike `tokio::io::BufReader`, it has a buffer only while the reader has not taken all of them.
#[derive(Debug)]
pub(super) struct Ahead<T> {
    stream: T,
    rest: Vec<u8>,
    /// The number of bytes of `rest` that have been read.
    taken: usize,
}

impl<T> Ahead<T> {
    pub(super) fn new(stream: T) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            taken: 0,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Ahead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let wanted = buffer.remaining();
        if let Some(rest) = this.rest.get(this.taken..)
            && !rest.is_empty()
        {
            let now = rest.get(..wanted).unwrap_or(rest);
            buffer.put_slice(now);
            this.taken += now.len();
            if this.taken == this.rest.len() {
                (this.rest, this.taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let mut piece = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
        let read = piece.filled();
        let (now, rest) = read.split_at_checked(wanted).unwrap_or((read, &[]));
        buffer.put_slice(now);
        this.rest = rest.to_vec();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Ahead<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Bytes: the largest record of TLS 1.2 and 1.3 (RFC 5246 section 6.2.3) and its header.
const PIECE: usize = 16 * 1024 + 2048 + 5;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A socket with received bytes.
    struct Socket {
        received: Vec<u8>,
        reads: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.received.len().min(buffer.remaining());
            buffer.put_slice(&self.received.drain(..count).collect::<Vec<_>>());
            self.reads += 1;
            Poll::Ready(Ok(()))
        }
    }

    fn received(bytes: &[u8]) -> Ahead<Socket> {
        Ahead::new(Socket {
            received: bytes.to_vec(),
            reads: 0,
        })
    }

    #[tokio::test]
    async fn one_read_of_the_socket_is_enough_for_a_record() {
        let mut stream = received(&[1; PIECE]);
        let mut left = PIECE;
        while left > 0 {
            left -= stream.read(&mut [0; 4096]).await.unwrap();
        }
        assert_eq!(stream.stream.reads, 1);
        assert_eq!(
            stream.rest.capacity(),
            0,
            "an idle connection has no buffer"
        );
    }

    proptest! {
        #[test]
        fn passes_on_every_byte_in_order(length in 0..3 * PIECE, sizes in vec(1..6_000_usize, 1..9)) {
            let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let read = runtime.block_on(async {
                let (mut stream, mut read) = (received(&sent), Vec::new());
                for size in sizes.iter().cycle() {
                    let mut buffer = vec![0; *size];
                    match stream.read(&mut buffer).await? {
                        0 => break,
                        count => read.extend_from_slice(&buffer[..count]),
                    }
                }
                Ok::<_, io::Error>(read)
            });
            prop_assert_eq!(read?, sent);
        }
    }
}
