//! One connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::muted::Muted;
use super::progress::{Progress, Tracked};
use super::{LAST_ANSWERS, Service};

/// Serves a connection of `peer` until it ends, or until `make_room` is ready: then the request under
/// way, if there is one, is the last.
pub async fn connection<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    service: &S,
    make_room: impl Future<Output = ()>,
) {
    let progress = &Arc::new(Progress::default());
    let mut stream = Muted::new(stream, progress);
    let Err(error) = answer_all(&mut stream, progress, peer, service, make_room).await else {
        return;
    };
    debug!(%error, "a connection ended early");
    if let Some(refusal) = stream.refusal(&error) {
        let answer = service.refuse_head(refusal);
        // An error means that the client is gone.
        let _ = timeout(LAST_BYTES, refuse(stream.into_inner(), answer)).await;
    }
}

async fn answer_all<S: Service>(
    stream: &mut Muted<'_, impl AsyncRead + AsyncWrite + Unpin>,
    progress: &Arc<Progress>,
    peer: SocketAddr,
    service: &S,
    make_room: impl Future<Output = ()>,
) -> Result<(), hyper::Error> {
    let answers = service_fn(|request: Request<Incoming>| async move {
        progress.begin();
        let response = service.answer(request, peer).await;
        Ok::<_, Infallible>(response.map(|body| Tracked::new(body, progress)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .half_close(true)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), answers);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = make_room => {
            connection.as_mut().graceful_shutdown();
            let limit = if progress.is_answering() {
                LAST_ANSWERS
            } else {
                LAST_BYTES
            };
            timeout(limit, connection).await.unwrap_or(Ok(()))
        }
    }
}

/// Writes `answer`, the last on the connection.
async fn refuse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Response<Full<Bytes>>,
) -> std::io::Result<()> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap_or_default().to_bytes();
    let mut bytes = format!("HTTP/1.1 {}\r\nconnection: close\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let (length, date) = (body.len(), httpdate::fmt_http_date(SystemTime::now()));
    bytes.extend(format!("content-length: {length}\r\ndate: {date}\r\n\r\n").into_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    // Unread bytes would make the kernel reset the connection, and the client lose the answer.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// When the connection is to end: how long the client gets to read an answer, or to send the rest of a
/// head.
const LAST_BYTES: Duration = Duration::from_millis(100);

/// Bytes of a connection's buffer, and so of a request's head at most. hyper's minimum.
pub const BUFFER: usize = 8 * 1024;

/// How long a connection may take to send the head of its next request.
pub const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, HeadError};
    use http::StatusCode;
    use http_body_util::Either;
    use std::future::pending;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Answers after this long.
    struct After(Duration);

    impl Service for After {
        async fn answer(&self, _: Request<Incoming>, _: SocketAddr) -> Response<Body> {
            sleep(self.0).await;
            Response::new(Either::Left(Full::from("ok")))
        }

        fn refuse_head(&self, error: HeadError) -> Response<Full<Bytes>> {
            let mut answer = Response::new(Full::from(format!("{error:?}")));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            answer
        }
    }

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 4000).into()
    }

    fn connected(after: Duration) -> DuplexStream {
        let (client, server) = duplex(64 * 1024);
        tokio::spawn(async move { connection(server, peer(), &After(after), pending()).await });
        client
    }

    async fn rest(mut client: DuplexStream) -> String {
        let mut read = String::new();
        let reading = client.read_to_string(&mut read);
        timeout(IDLE * 10, reading).await.unwrap().unwrap();
        read
    }

    #[tokio::test(start_paused = true)]
    async fn closes_an_idle_connection() {
        let mut client = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        let start = Instant::now();
        assert!(rest(client).await.ends_with("ok"));
        assert_eq!(start.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_a_connection_with_a_slow_head() {
        let mut client = connected(Duration::ZERO);
        let start = Instant::now();
        for byte in REQUEST {
            if client.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(rest(client).await, "");
        assert!(start.elapsed() < IDLE * 2, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_longer_than_the_idle_timeout() {
        let mut client = connected(IDLE * 4);
        client.write_all(REQUEST).await.unwrap();
        client.shutdown().await.unwrap();
        assert!(rest(client).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn answers_before_the_next_request_is_complete() {
        let mut client = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        let mut first = [0; 15];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_the_request_under_way_before_it_makes_room() {
        let (mut client, server) = duplex(1024);
        let service = After(Duration::from_secs(5));
        let start = Instant::now();
        client.write_all(REQUEST).await.unwrap();
        connection(server, peer(), &service, sleep(Duration::from_secs(1))).await;
        assert!(rest(client).await.ends_with("ok"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    /// The answers to `requests`, read through a pipe of `capacity` bytes.
    async fn answers(requests: &[u8], capacity: usize) -> String {
        let (mut client, server) = duplex(capacity);
        let service = After(Duration::ZERO);
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let mut read = String::new();
        let write = async {
            let _ = writer.write_all(requests).await;
        };
        let connection = connection(server, peer(), &service, pending());
        let (_, _, count) = tokio::join!(connection, write, reader.read_to_string(&mut read));
        count.unwrap();
        read
    }

    #[tokio::test]
    async fn r7_the_service_answers_what_hyper_cannot_read() {
        let too_large = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 2 * BUFFER]].concat();
        let http_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (bytes, error) in [
            (b"GET\r\n\r\n".to_vec(), "NotHttp"),
            (http_2, "NotHttp"),
            (too_large, "TooLarge"),
        ] {
            for earlier in [0, 1, 3] {
                let requests = [REQUEST.repeat(earlier), bytes.clone()].concat();
                // The pipe takes each answer whole, so it is written when the next head is read.
                let read = answers(&requests, 64 * 1024).await;
                let (before, last) = read.rsplit_once("HTTP/1.1 ").unwrap();
                assert_eq!(before.matches("\r\n\r\nok").count(), earlier, "{read}");
                assert!(last.starts_with("400 Bad Request\r\nconnection: close\r\n"));
                let length = format!("content-length: {}\r\n", error.len());
                assert!(last.contains(&length) && last.ends_with(error), "{last}");
            }
        }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_each_answer_once() {
        for capacity in [1, 7, 64] {
            let requests = [&REQUEST.repeat(3), b"GET\r\n\r\n".as_slice()].concat();
            let read = answers(&requests, capacity).await;
            assert_eq!(read.matches("\r\n\r\nok").count(), 3, "{read}");
            assert_eq!(read.matches("HTTP/1.1 400").count(), 1, "{read}");
        }
    }
}
