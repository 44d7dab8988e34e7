//! One connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::debug;

use super::origin::Origin;
use super::unreadable::Telling;
use super::{LAST_ANSWERS, Service};

/// Serves a connection of `peer` until it ends, or until `make_room` is ready: then the request under
/// way, if there is one, is the last.
pub async fn connection<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    service: &S,
    make_room: impl Future<Output = ()>,
) {
    let busy = &AtomicBool::new(false);
    let origin = &Arc::new(Origin::default());
    let answers = service_fn(|request: Request<Incoming>| async move {
        busy.store(true, Ordering::Relaxed);
        let response = service.answer(request, peer).await;
        busy.store(false, Ordering::Relaxed);
        Ok::<_, Infallible>(response.map(|body| match body {
            Either::Left(own) => Either::Left(own),
            Either::Right(of_imds) => Either::Right(origin.relay(of_imds)),
        }))
    });
    let stream = TokioIo::new(Telling::new(stream, origin));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .half_close(true)
        .max_buf_size(BUFFER)
        .serve_connection(stream, answers);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = make_room => {
            connection.as_mut().graceful_shutdown();
            // The body of an answer of IMDS may be still to come.
            let is_busy = busy.load(Ordering::Relaxed) || origin.is_under_way();
            let patience = if is_busy { LAST_ANSWERS } else { LAST_BYTES };
            match timeout(patience, connection).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

/// How long an answer may take to be read, and the rest of a head to come, when the connection is to
/// end.
const LAST_BYTES: Duration = Duration::from_millis(100);

/// hyper's least; it bounds the memory of a connection and the size of a request's head.
pub const BUFFER: usize = 8 * 1024;

/// How long a connection may take to send the head of its next request.
pub const IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imds::Answer;
    use crate::server::Body;
    use http::{Response, StatusCode};
    use std::future::pending;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    /// Answers after a while.
    struct After(Duration);

    impl Service for After {
        async fn answer(&self, _: Request<Incoming>, _: SocketAddr) -> Response<Body> {
            sleep(self.0).await;
            Answer::text(StatusCode::OK, "ok")
                .into_response()
                .map(Either::Left)
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
    async fn an_idle_connection_ends() {
        let mut client = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        let start = Instant::now();
        assert!(rest(client).await.ends_with("ok"));
        assert_eq!(start.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_is_not_waited_for() {
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
    async fn an_answer_may_take_longer() {
        let mut client = connected(IDLE * 4);
        client.write_all(REQUEST).await.unwrap();
        client.shutdown().await.unwrap();
        assert!(rest(client).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
        let mut client = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        let mut first = [0; 15];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_to_make_room_answers_what_it_was_asked() {
        let (mut client, server) = duplex(1024);
        let service = After(Duration::from_secs(5));
        let start = Instant::now();
        client.write_all(REQUEST).await.unwrap();
        connection(server, peer(), &service, sleep(Duration::from_secs(1))).await;
        assert!(rest(client).await.ends_with("ok"));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
