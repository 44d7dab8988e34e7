//! One connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Body as _;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::activity::Activity;
use super::body::RequestBody;
use super::io::{AnswerBody, Watched};
use super::limits::Limits;
use super::service::{Protocol, Service};
use super::unreadable::{self, HeadError};
use crate::shutdown::{Phase, Shutdown};

/// A connection whose stream is ready for HTTP.
pub(super) struct Connection<'a, S> {
    pub(super) activity: Arc<Activity>,
    pub(super) client: SocketAddr,
    pub(super) limits: &'a Limits,
    pub(super) protocol: &'a Protocol,
    pub(super) service: &'a S,
    pub(super) shutdown: Shutdown,
}

/// Serves HTTP/1.1 on one stream of `client` until the stream ends, a limit ends it, or the phase is
/// closed. A listener does the same with each connection; this is for tests and fuzz targets.
pub async fn serve<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    client: SocketAddr,
    service: &S,
    limits: &Limits,
    protocol: &Protocol,
    shutdown: Shutdown,
) {
    let connection = Connection {
        activity: Arc::new(Activity::new(Instant::now(), Arc::default())),
        client,
        limits,
        protocol,
        service,
        shutdown,
    };
    connection.serve(stream).await;
}

impl<S: Service> Connection<'_, S> {
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let (activity, client, service) = (Arc::clone(&self.activity), self.client, self.service);
        let mut stream = Watched {
            stream,
            activity: Arc::clone(&activity),
            has_dropped: false,
        };
        let refusal = match self.answer_all(&mut stream).await {
            Ok(()) => None,
            Err(error) => {
                debug!(%client, %error, "connection ended early");
                HeadError::of(&error, stream.has_dropped, &activity)
            }
        };
        let mut stream = stream.stream;
        let end = async {
            match refusal {
                // A client that does not read or send to the end has no last bytes to wait for.
                None if activity.is_answering() => Ok(()),
                Some(error) => unreadable::write(stream, service.refuse(error)).await,
                // Without it, unread bytes reset the connection, and TLS ends without close_notify.
                None => stream.shutdown().await,
            }
        };
        // An error means that the client is gone.
        let _ = timeout(LAST_BYTES, end).await;
    }

    async fn answer_all(
        self,
        stream: &mut Watched<impl AsyncRead + AsyncWrite + Unpin + Send>,
    ) -> hyper::Result<()> {
        let Self {
            activity,
            client,
            limits,
            protocol,
            service,
            shutdown,
        } = self;
        let age = limits.age(client.port());
        let since = Instant::now();
        let (activity, current) = (&activity, &shutdown);
        let answers = service_fn(
            |request: hyper::Request<hyper::body::Incoming>| async move {
                if request.body().is_end_stream() {
                    activity.begun();
                } else {
                    activity.receiving();
                }
                let request =
                    request.map(|body| RequestBody::new(body, limits.body, Arc::clone(activity)));
                let response = service.answer(request, client).await;
                let mut response = response.map(|body| AnswerBody {
                    body,
                    activity: Arc::clone(activity),
                });
                let is_old = age.is_some_and(|age| since.elapsed() > age);
                if is_old || current.phase() > Phase::Serving {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            },
        );
        let connection = http1::Builder::new()
            // hyper's timeout cannot distinguish an idle connection from a slow head; `until_end` can.
            .header_read_timeout(None)
            .half_close(protocol.half_close)
            .max_buf_size(limits.head_size)
            .serve_connection(TokioIo::new(stream), answers);
        let mut connection = pin!(connection);
        let mut closed = current.clone();
        let mut leave = pin!(async {
            tokio::select! {
                () = activity.leaving() => Leave::AtOnce,
                () = closed.reached(Phase::Closed) => Leave::Soon,
            }
        });
        match until_end(connection.as_mut(), activity, limits, leave.as_mut()).await {
            End::Ended(ended) => ended,
            End::Late => {
                debug!(%client, "connection closed: a time limit has passed");
                Ok(())
            }
            End::Leave(leave) => {
                connection.as_mut().graceful_shutdown();
                let rest = match leave {
                    // Its client keeps it waiting, unless it got a whole request meanwhile.
                    Leave::AtOnce if !activity.is_busy() => Duration::ZERO,
                    Leave::Soon if !activity.is_answering() => LAST_BYTES,
                    _ => limits.last_answers,
                };
                timeout(rest, connection).await.unwrap_or(Ok(()))
            }
        }
    }
}

/// How a connection comes to its end.
enum End<T> {
    /// By itself.
    Ended(T),
    /// A time limit has passed.
    Late,
    /// It was asked to leave.
    Leave(Leave),
}

/// How fast a connection without a request under way has to leave.
enum Leave {
    AtOnce,
    Soon,
}

/// Drives a connection until it ends, a deadline passes or it has to leave.
///
/// The timer is set again only when it has fired, or when a deadline comes before it: never for a
/// request that is answered at once.
async fn until_end<C: Future>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    limits: &Limits,
    leave: Pin<&mut impl Future<Output = Leave>>,
) -> End<C::Output> {
    let mut timer = pin!(sleep(limits.idle));
    // A set polls a future only when that was woken, and not for each request.
    let mut leave = FuturesUnordered::from_iter([leave]);
    poll_fn(move |context| {
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(End::Ended(ended));
        }
        activity.settle();
        let deadline = limits.deadline(activity.stage(), activity.since());
        if let Some(deadline) = deadline
            && deadline < timer.deadline()
        {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            match deadline {
                Some(deadline) if deadline <= now => return Poll::Ready(End::Late),
                Some(deadline) => timer.as_mut().reset(deadline),
                None => timer.as_mut().reset(now + limits.idle),
            }
        }
        match leave.poll_next_unpin(context) {
            Poll::Ready(Some(leave)) => Poll::Ready(End::Leave(leave)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// How long the rest of a request's head may take once the listener closes, how long writing a refusal of
/// malformed bytes may take, and how long closing the stream may take.
const LAST_BYTES: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::{Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use crate::listener::is_slow;
    use crate::shutdown::Control;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const LIMITS: Limits = Limits::DEFAULT;

    /// Answers when the body is read and some time has passed.
    struct After(Duration);

    impl Service for After {
        type Body = Full<Bytes>;

        async fn answer(
            &self,
            request: Request<RequestBody>,
            _: SocketAddr,
        ) -> Response<Full<Bytes>> {
            let read = request.into_body().collect().await;
            sleep(self.0).await;
            let mut response = Response::new("ok".into());
            if read.is_err_and(|error| is_slow(&error)) {
                *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            }
            response
        }

        fn refuse(&self, error: HeadError) -> Response<Bytes> {
            let mut response = Response::new("no".into());
            *response.status_mut() = error.status();
            let one = HeaderValue::from_static("1");
            response.headers_mut().insert("x-refused", one);
            response
        }
    }

    /// A client's side of a connection to a service that takes so long.
    fn connected(after: Duration) -> (DuplexStream, Control) {
        connected_by(after, LIMITS, 64 * 1024)
    }

    fn connected_by(after: Duration, limits: Limits, buffer: usize) -> (DuplexStream, Control) {
        let (client, server) = duplex(buffer);
        let control = Control::default();
        let shutdown = control.shutdown();
        tokio::spawn(async move {
            let protocol = Protocol {
                half_close: true,
                ..Protocol::default()
            };
            let address = ([127, 0, 0, 1], 4032).into();
            serve(server, address, &After(after), &limits, &protocol, shutdown).await;
        });
        (client, control)
    }

    async fn rest(client: &mut DuplexStream) -> String {
        let mut read = String::new();
        let reading = client.read_to_string(&mut read);
        timeout(LIMITS.idle * 10, reading).await.unwrap().unwrap();
        read
    }

    async fn answer(client: &mut DuplexStream) -> String {
        let mut read = Vec::new();
        while !read.ends_with(b"ok") {
            read.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(read).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_ends() {
        let (mut client, _control) = connected(Duration::ZERO);
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(start.elapsed(), LIMITS.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends() {
        let (mut client, _control) = connected(Duration::ZERO);
        for _ in 0..2 {
            sleep(LIMITS.idle - Duration::from_secs(1)).await;
            client.write_all(REQUEST).await.unwrap();
            answer(&mut client).await;
        }
        let start = Instant::now();
        assert_eq!(rest(&mut client).await, "");
        let rounded = Duration::from_millis(2);
        let took = start.elapsed();
        assert!(took.abs_diff(LIMITS.idle) < rounded, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn closes_connections_with_heads_that_trickle_in() {
        for served in [false, true] {
            let (mut client, _control) = connected(Duration::ZERO);
            if served {
                client.write_all(REQUEST).await.unwrap();
                answer(&mut client).await;
            }
            let start = Instant::now();
            for byte in REQUEST {
                if client.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(rest(&mut client).await, "");
            assert_eq!(start.elapsed().as_secs(), LIMITS.head.as_secs() + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn empty_lines_after_a_request_are_no_head() {
        let (mut client, _control) = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        answer(&mut client).await;
        client.write_all(b"\r\n").await.unwrap();
        sleep(LIMITS.head * 2).await;
        client.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut client).await.contains("HTTP/1.1 200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_gets_408_and_the_connection_ends() {
        let (mut client, _control) = connected(Duration::ZERO);
        let start = Instant::now();
        let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
        client.write_all(post).await.unwrap();
        assert!(rest(&mut client).await.starts_with("HTTP/1.1 408 "));
        assert_eq!(start.elapsed().as_secs(), LIMITS.body.grace.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_longer() {
        let (mut client, _control) = connected(LIMITS.idle * 4);
        client.write_all(REQUEST).await.unwrap();
        client.shutdown().await.unwrap();
        assert!(rest(&mut client).await.ends_with("ok"));
    }

    #[tokio::test]
    async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
        let (mut client, _control) = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test(start_paused = true)]
    async fn closes_connections_of_clients_that_do_not_read() {
        let (mut client, _control) = connected_by(Duration::ZERO, LIMITS, 64);
        let start = Instant::now();
        let all = REQUEST.repeat(10_000);
        assert!(client.write_all(&all).await.is_err());
        let took = start.elapsed();
        assert!(
            took >= LIMITS.answer && took < LIMITS.answer * 2,
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_listener_asks_clients_to_leave() {
        let (mut client, control) = connected(Duration::ZERO);
        client.write_all(REQUEST).await.unwrap();
        assert!(!answer(&mut client).await.contains("connection: close"));
        control.enter(Phase::Draining);
        client.write_all(REQUEST).await.unwrap();
        assert!(rest(&mut client).await.contains("connection: close"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_is_asked_to_leave() {
        let limits = Limits {
            age: Some(Duration::from_secs(60)),
            ..LIMITS
        };
        let (mut client, _control) = connected_by(Duration::ZERO, limits, 1024);
        sleep(Duration::from_secs(61)).await;
        client.write_all(REQUEST).await.unwrap();
        assert!(rest(&mut client).await.contains("connection: close"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_answered_when_the_listener_closes() {
        let (mut client, control) = connected(Duration::from_secs(5));
        let start = Instant::now();
        client.write_all(REQUEST).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        control.enter(Phase::Closed);
        assert!(rest(&mut client).await.ends_with("ok"));
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_has_a_deadline_when_the_listener_closes() {
        let (mut client, control) = connected(LIMITS.last_answers * 2);
        client.write_all(REQUEST).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        control.enter(Phase::Closed);
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(start.elapsed().as_secs(), LIMITS.last_answers.as_secs());
    }

    /// The answers to `requests` through a pipe of `capacity` bytes.
    async fn answers(requests: &[u8], capacity: usize) -> String {
        let (client, _control) = connected_by(Duration::ZERO, LIMITS, capacity);
        let (mut reader, mut writer) = tokio::io::split(client);
        let mut read = String::new();
        let write = async {
            // The connection may end before all of it is read.
            let _ = writer.write_all(requests).await;
        };
        let (_, count) = tokio::join!(write, reader.read_to_string(&mut read));
        count.unwrap();
        read
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_answers_bytes_that_are_not_a_request() {
        let large = vec![b'x'; 2 * LIMITS.head_size];
        let too_large = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &large].concat();
        let http_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (bytes, status) in [
            (b"GET\r\n\r\n".to_vec(), "400 Bad Request"),
            (http_2, "400 Bad Request"),
            (too_large, "431 Request Header Fields Too Large"),
        ] {
            for earlier in [0, 1, 3] {
                let requests = [REQUEST.repeat(earlier), bytes.clone()].concat();
                let read = answers(&requests, 256 * 1024).await;
                let (before, last) = read.rsplit_once("HTTP/1.1 ").unwrap();
                assert_eq!(before.matches("\r\n\r\nok").count(), earlier, "{read}");
                let head = format!("{status}\r\nconnection: close\r\nx-refused: 1\r\n");
                assert!(last.starts_with(&head), "{last}");
                assert!(last.contains("content-length: 2\r\n"), "{last}");
                assert!(last.ends_with("\r\n\r\nno"), "{last}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_each_answer_once() {
        for capacity in [1, 7, 64] {
            let requests = [&REQUEST.repeat(3), b"GET\r\n\r\n".as_slice()].concat();
            let read = answers(&requests, capacity).await;
            assert_eq!(read.matches("\r\n\r\nok").count(), 3, "{read}");
            assert_eq!(read.matches("HTTP/1.1 400").count(), 1, "{read}");
        }
    }
}
