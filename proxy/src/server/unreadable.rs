//! Answers to what is not HTTP. hyper answers those by itself, before any service is asked, with a
//! bare status; clients of IMDS want JSON whatever happens (IMDS R7).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::origin::Origin;
use crate::imds::Refusal;

/// A stream on which hyper's bare refusals are replaced by JSON.
///
/// Such a refusal is the last that hyper writes to a connection, and is told by its look: a status
/// of 4xx, a length of 0, and nothing behind it. No answer made here is empty. An answer of IMDS may
/// be, so nothing is replaced until it is written.
#[derive(Debug)]
pub(super) struct Telling<'a, T> {
    stream: T,
    origin: &'a Origin,
    /// What takes the place of a bare refusal, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<'a, T> Telling<'a, T> {
    /// `origin` says whether the bytes are of IMDS.
    pub(super) fn new(stream: T, origin: &'a Origin) -> Self {
        Self {
            stream,
            origin,
            refusal: None,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Telling<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !bytes.ends_with(END) || this.origin.is_imds() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        match split(bytes) {
            None => Pin::new(&mut this.stream).poll_write(context, bytes),
            // Answers to earlier requests go first.
            Some((earlier, _)) if !earlier.is_empty() => {
                Pin::new(&mut this.stream).poll_write(context, earlier)
            }
            Some((_, bare)) => {
                let (refusal, written) = this.refusal.get_or_insert_with(|| (told(bare), 0));
                while let Some(rest) = refusal.get(*written..).filter(|rest| !rest.is_empty()) {
                    let count = ready!(Pin::new(&mut this.stream).poll_write(context, rest))?;
                    if count == 0 {
                        return Poll::Ready(Ok(0));
                    }
                    *written += count;
                }
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            // hyper has nothing else to write when it refuses.
            [only] => self.poll_write(context, only),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper flushes when it has nothing left to write.
        self.origin.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Telling<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// Splits off a bare refusal at the end.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // hyper answers in the version of the request before.
    let start = bytes
        .windows(START.len())
        .rposition(|window| window == START || window == OLD_START)?;
    let (earlier, head) = bytes.split_at(start);
    let bare = head.windows(EMPTY.len()).any(|window| window == EMPTY);
    let only_one = head.windows(END.len()).position(|window| window == END)? + END.len();
    (bare && only_one == head.len()).then_some((earlier, head))
}

/// The refusal in full: the head as hyper made it, with a type, a length and a body.
pub(super) fn told(bare: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(bare);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let refusal = match status {
        Some(StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => {
            Refusal::TooLarge
        }
        _ => Refusal::NotHttp,
    };
    let answer = refusal.answer();
    let body = answer.body();
    let length = format!(
        "\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n",
        body.len()
    );
    let mut told = head
        .replacen("\r\ncontent-length: 0\r\n", &length, 1)
        .into_bytes();
    told.extend_from_slice(body);
    told
}

const START: &[u8] = b"HTTP/1.1 4";
const OLD_START: &[u8] = b"HTTP/1.0 4";
const EMPTY: &[u8] = b"\r\ncontent-length: 0\r\n";
const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
    const TOLD: &str = "HTTP/1.1 400 Bad Request\r\n\
         content-type: application/json; charset=utf-8\r\ncontent-length: 96\r\ndate: now\r\n\r\n\
         {\"error\":\"invalid_request\",\
         \"error_description\":\"Invalid request: it cannot be read as HTTP/1.1\"}";

    /// What arrives through a pipe that takes `room` bytes at a time.
    async fn written(text: &str, room: usize) -> String {
        let (near, mut far) = duplex(room);
        let origin = Origin::default();
        let mut telling = Telling::new(near, &origin);
        let mut read = String::new();
        let write = async {
            telling.write_all(text.as_bytes()).await.unwrap();
            telling.shutdown().await.unwrap();
        };
        let (_, count) = tokio::join!(write, far.read_to_string(&mut read));
        count.unwrap();
        read
    }

    #[tokio::test]
    async fn r7_a_bare_refusal_becomes_json_however_slowly_it_is_read() {
        let earlier = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        for room in [1, 7, 64, 4096] {
            assert_eq!(written(BARE, room).await, TOLD, "{room}");
            let both = written(&format!("{earlier}{BARE}"), room).await;
            assert_eq!(both, format!("{earlier}{TOLD}"), "{room}");
            let [bare, told] = [BARE, TOLD].map(|text| text.replacen("HTTP/1.1", "HTTP/1.0", 1));
            assert_eq!(written(&bare, room).await, told, "{room}");
        }
    }

    #[tokio::test]
    async fn everything_else_stays_as_it_is() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 84\r\n\r\n",
            "\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n\r\n\r\n",
        ] {
            assert_eq!(written(text, 16).await, text);
        }
    }
}
