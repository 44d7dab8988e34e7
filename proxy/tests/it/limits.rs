//! Connections that are many, slow or idle.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::entra::Entra;
use crate::raw::{parse, read_one, read_to_end};
use crate::sidecar::{DEADLINE, Sidecar};

const REQUEST: &str = "GET /metadata/identity/oauth2/token?resource=a HTTP/1.1\r\nHost: x\r\n\
                       Metadata: true\r\n\r\n";

async fn sidecar() -> (Entra, Sidecar) {
    let entra = Entra::start("localhost").await;
    let sidecar = Sidecar::start(&entra, &[]).await;
    (entra, sidecar)
}

#[tokio::test]
async fn closes_idle_connections_for_new_ones() {
    let (_entra, sidecar) = sidecar().await;
    let mut idle = Vec::new();
    // More than the limit, and each gets its answer.
    for _ in 0..700 {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        assert_eq!(read_one(&mut stream).await.status, 200);
        idle.push(stream);
    }
    // Only the oldest ones were closed.
    for stream in idle.iter_mut().rev().take(400) {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        assert_eq!(read_one(stream).await.status, 200);
    }
    assert_eq!(read_to_end(&mut idle[0]).await, "");
}

#[tokio::test]
async fn closes_connections_with_unfinished_heads_for_new_ones() {
    let (_entra, sidecar) = sidecar().await;
    let mut slow = Vec::new();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        stream.write_all(b"GET /metadata/identity").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(sidecar.token("resource=a").await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_no_other() {
    let (entra, sidecar) = sidecar().await;
    entra.answer(|_, _| crate::entra::token(&"x".repeat(3_000), 3600));
    let mut silent = TcpStream::connect(sidecar.address).await.unwrap();
    // Until the sidecar stops reading.
    let all = REQUEST.repeat(1_000);
    while let Ok(sent) = timeout(Duration::from_millis(500), silent.write_all(all.as_bytes())).await
    {
        sent.unwrap();
    }
    assert_eq!(sidecar.token("resource=a").await.status, 200);
}

#[tokio::test]
async fn answers_requests_under_way_before_it_ends() {
    let (entra, mut sidecar) = sidecar().await;
    entra.delay(Duration::from_millis(300));
    let mut idle = TcpStream::connect(sidecar.address).await.unwrap();
    let mut busy = TcpStream::connect(sidecar.address).await.unwrap();
    busy.write_all(REQUEST.as_bytes()).await.unwrap();
    entra.until_requests(1).await;
    sidecar.stop.take().unwrap().send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(parse(&read_to_end(&mut busy).await).status, 200);
    timeout(DEADLINE, &mut sidecar.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(sidecar.address).await.is_err());
}
