//! Bytes on a connection to the proxy. For any bytes, each answer is complete, only a request with the
//! `Metadata` header gets the token, and the connection ends.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use proxy::api::{Api, Config, Store};
use proxy::app::{LIMITS, PROTOCOL};
use proxy::identity::Identities;
use proxy::relay::{self, Policy, Relay};
use proxy::token::{Exchange, ExchangeError, Granted, Key, SystemClock};
use service_kit::listener::serve;
use service_kit::shutdown::Control;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout};

fuzz_target!(|bytes: &[u8]| {
    let (runtime, api) = &*API;
    let answers = runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let talk = async {
            // The proxy may close before all of it is sent.
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            let _ = client.read_to_end(&mut answers).await;
            answers
        };
        let control = Control::default();
        let protocol = PROTOCOL;
        let connection = serve(server, CLIENT, api, &LIMITS, &protocol, control.shutdown());
        let both = async { tokio::join!(connection, talk) };
        let (_, answers) = timeout(Duration::from_secs(5), both)
            .await
            .expect("the connection does not end");
        answers
    });
    let lower = bytes.to_ascii_lowercase();
    let asks = |part: &[u8]| lower.windows(part.len()).any(|window| window == part);
    let answers = String::from_utf8_lossy(&answers);
    assert!(!answers.contains(TOKEN) || asks(b"metadata:"), "{answers}");
    // An answer to HEAD has a length and no body.
    if !asks(b"head ") {
        check(&answers);
    }
});

/// Each answer has a type, a length, and so many bytes.
fn check(mut answers: &str) {
    while !answers.is_empty() {
        let (head, rest) = answers.split_once("\r\n\r\n").expect("a whole head");
        assert!(head.starts_with("HTTP/1."), "{head}");
        if head.starts_with("HTTP/1.1 100 ") {
            answers = rest;
            continue;
        }
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        assert!(header("content-type: ").is_some(), "{head}");
        let length = header("content-length: ").expect("a length");
        let length = length.parse().expect("a number");
        answers = rest.get(length..).expect("a whole body");
    }
}

struct Grants;

impl Exchange for Grants {
    async fn exchange(&self, key: &Key, _: Instant) -> Result<Granted, ExchangeError> {
        let hour = Duration::from_secs(3600);
        if key.resource.len() > 64 {
            return Err(ExchangeError::transient("too long for a test"));
        }
        Ok(Granted {
            access_token: TOKEN.to_owned().into(),
            expires_in: hour,
            ext_expires_in: hour,
            refresh_in: None,
        })
    }
}

static API: LazyLock<(Runtime, Api<Grants>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let config = Config {
        app_service: None,
        identities: Identities {
            default: Some("91be0000-1111-2222-3333-444455556666".to_owned()),
            ..Identities::default()
        },
        imds: true,
        loopback: true,
        quit: true,
    };
    let relay = relay::Config {
        imds: ([127, 0, 0, 1], 9).into(),
        key: None,
        policy: Policy::Deny,
    };
    let relay = Relay::new(relay, 1);
    let tokens = Store::new(Grants, SystemClock, 16);
    let mut registry = proxy::metrics::registry();
    let api = Api::new(config, "/dev/null".into(), relay, tokens, &mut registry);
    (runtime, api)
});

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4000);
const TOKEN: &str = "the-token-itself";
