//! What the proxy does before the application starts: prefetched tokens, and the check of the identity.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::value::Verify;
use prometheus_client::registry::Registry;
use proxy::identity::Identities;
use proxy::startup::{Config, ENFORCE, PREFETCH, Startup, UnverifiedError};
use proxy::token::{ExchangeErrorKind, Source};
use service_kit::metrics::text;
use testkit::poll;
use tokio::time::{sleep, timeout};

use crate::cache::{A, B, Bench, HOUR, Step, timed};
use crate::entra::{Entra, aadsts, token};
use crate::process::{BINARY, free_port, program, run};
use crate::raw::exchange;
use crate::sidecar::{CLIENT, DEADLINE, Sidecar, TokenFile, config, flags};

const ARM: &str = "https://management.azure.com";

/// A pod's start.
struct Start {
    registry: Registry,
    startup: Startup,
    waited_for: Mutex<Vec<String>>,
}

impl Start {
    fn new(prefetch: &[&str], verify: Option<Verify>) -> Self {
        Self::of(prefetch, verify, Some("c"))
    }

    fn of(prefetch: &[&str], verify: Option<Verify>, client_id: Option<&str>) -> Self {
        let identities = Identities {
            default: client_id.map(str::to_owned),
            ..Identities::default()
        };
        let config = Config {
            prefetch: prefetch.iter().map(|&it| it.to_owned()).collect(),
            verify,
        };
        let mut registry = Registry::default();
        Self {
            startup: Startup::new(config, ARM, &identities, &mut registry),
            registry,
            waited_for: Mutex::default(),
        }
    }

    async fn run(&self, bench: &Bench) -> (Result<(), UnverifiedError>, Duration) {
        let waiting_for = |reason| self.waited_for.lock().unwrap().push(reason);
        timed(self.startup.run(&bench.tokens, waiting_for)).await
    }

    fn counts(&self, granted: u8, failed: u8) {
        let scraped = text(&self.registry).unwrap();
        for (outcome, count) in [("granted", granted), ("failed", failed)] {
            let line = format!("startup_fetches_total{{outcome=\"{outcome}\"}} {count}\n");
            assert!(scraped.contains(&line), "{scraped}");
        }
    }
}

const DOWN: Step = Step::Fail(ExchangeErrorKind::Transient);
const REFUSED: Step = Step::Fail(ExchangeErrorKind::Permanent);

#[tokio::test(start_paused = true)]
async fn the_first_request_finds_a_prefetched_token_in_memory() {
    let bench = Bench::new();
    let start = Start::new(&[A, B], None);
    let (outcome, took) = start.run(&bench).await;
    assert_eq!((outcome, took), (Ok(()), Duration::from_millis(50)));
    for resource in [A, B] {
        assert_eq!(bench.get(resource).await.unwrap().1, Source::Memory);
    }
    assert_eq!(bench.calls(), 2);
    start.counts(2, 0);
}

#[tokio::test(start_paused = true)]
async fn a_prefetched_token_is_replaced_until_its_first_use() {
    let bench = Bench::kept_fresh();
    Start::new(&[A], None).run(&bench).await.0.unwrap();
    sleep(24 * HOUR).await;
    let before = bench.calls();
    assert_eq!(bench.get(A).await.unwrap().1, Source::Memory);
    assert_eq!(bench.calls(), before);
    // After that it is a token as any other.
    sleep(24 * HOUR).await;
    assert_eq!(bench.calls(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn verification_asks_for_one_token_and_keeps_none_of_its_own() {
    for verify in [Verify::Warn, Verify::Enforce] {
        let bench = Bench::new();
        bench.answer(|resource| {
            assert_eq!(resource, ARM);
            Step::Grant(HOUR)
        });
        let start = Start::new(&[], Some(verify));
        start.run(&bench).await.0.unwrap();
        assert_eq!(bench.calls(), 1);
        assert!(bench.tokens.lifetimes().is_empty());
        start.counts(1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_propagates_is_awaited() {
    for (prefetch, verify, failures) in [
        (&[A][..], None, 2),
        (&[], Some(Verify::Warn), 3),
        (&[A], Some(Verify::Enforce), 3),
        (&[], Some(Verify::Enforce), 8),
    ] {
        let bench = Bench::new();
        let attempts = AtomicUsize::new(0);
        bench.answer(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
            nth if nth < failures => REFUSED,
            _ => Step::Grant(HOUR),
        });
        let start = Start::new(prefetch, verify);
        let (outcome, took) = start.run(&bench).await;
        assert_eq!(outcome, Ok(()));
        // A refusal is remembered for 3 s.
        let seconds = took.as_secs_f64() / failures as f64;
        assert!((3.0..3.7).contains(&seconds), "{took:?}");
        start.counts(1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn enforce_gives_up_after_30_s_with_a_sentence() {
    for (step, least) in [(DOWN, 15), (REFUSED, 8), (Step::Throttle(HOUR), 1)] {
        let bench = Bench::new();
        bench.answer(move |_| step.clone());
        let start = Start::new(&[], Some(Verify::Enforce));
        let (outcome, took) = start.run(&bench).await;
        assert_eq!(took, ENFORCE);
        let sentence = outcome.unwrap_err().to_string();
        assert_eq!(
            sentence,
            "the application does not start, because annotation azure.workload.identity/proxy-verify is \
             \"enforce\" and there is no token for https://management.azure.com after 30 s: error: "
        );
        assert!(bench.calls() >= least, "{}", bench.calls());
        start.counts(0, 1);
    }
    let bench = Bench::new();
    bench.answer(|_| Step::Hang);
    let (outcome, took) = Start::new(&[], Some(Verify::Enforce)).run(&bench).await;
    assert_eq!(took, ENFORCE);
    assert!(
        outcome
            .unwrap_err()
            .to_string()
            .ends_with("Entra has not answered yet")
    );
}

#[tokio::test(start_paused = true)]
async fn without_enforce_the_application_starts_after_10_s() {
    for (prefetch, verify) in [(&[A][..], None), (&[], Some(Verify::Warn))] {
        for step in [DOWN, REFUSED, Step::Throttle(HOUR), Step::Hang] {
            let bench = Bench::new();
            bench.answer(move |_| step.clone());
            let start = Start::new(prefetch, verify);
            assert_eq!(start.run(&bench).await, (Ok(()), PREFETCH));
            start.counts(0, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_token_proves_the_identity_and_the_others_are_awaited_for_10_s() {
    let bench = Bench::new();
    bench.answer(|resource| {
        if resource == A {
            REFUSED
        } else {
            Step::Grant(HOUR)
        }
    });
    let start = Start::new(&[A, B], Some(Verify::Enforce));
    assert_eq!(start.run(&bench).await, (Ok(()), PREFETCH));
    start.counts(1, 1);
    let waited_for = start.waited_for.lock().unwrap();
    assert_eq!(waited_for[0], format!("waiting for a token for {A}, {B}"));
    assert_eq!(waited_for[1], format!("no token for {A} yet: error: "));
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_client_id_is_not_kept_waiting() {
    for (verify, is_started) in [
        (None, true),
        (Some(Verify::Warn), true),
        (Some(Verify::Enforce), false),
    ] {
        let bench = Bench::new();
        let (outcome, took) = Start::of(&[A], verify, None).run(&bench).await;
        assert_eq!(took, Duration::ZERO);
        assert_eq!(outcome.is_ok(), is_started);
        let sentence = outcome
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            is_started || sentence.contains("azure.workload.identity/client-id"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn readyz_says_what_it_waits_for_until_the_token_is_there() {
    let entra = Entra::start("localhost").await;
    let refusals = Arc::new(AtomicUsize::new(usize::MAX));
    let left = Arc::clone(&refusals);
    entra.answer(move |_, _| match left.load(Ordering::SeqCst) {
        0 => token("token", 3600),
        _ => aadsts(401, "invalid_client", 700_213),
    });
    let file = TokenFile::new();
    let config = config(
        &entra,
        &file,
        &["--prefetch=https://vault.azure.net", "--verify=enforce"],
    );
    let sidecar = Sidecar::start_with(config, file).await;
    let readyz = async || exchange(sidecar.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n").await;
    let answer = poll::until("a reason", readyz, |it| it.body.contains("AADSTS700213")).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .body
            .starts_with("not ready: no token for https://vault.azure.net yet: ")
    );
    assert!(
        answer.body.contains("To fix: ") && answer.body.lines().count() == 1,
        "{answer:?}"
    );
    refusals.store(0, Ordering::SeqCst);
    sidecar.ready().await;
    let before = entra.requests().len();
    assert_eq!(
        sidecar
            .token("resource=https://vault.azure.net")
            .await
            .text("client_id"),
        CLIENT
    );
    assert_eq!(entra.requests().len(), before);
}

#[tokio::test]
async fn is_ready_at_once_without_the_annotations_though_entra_hangs() {
    // The kernel accepts connections, and no answer comes.
    let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entra = Entra::start("localhost").await;
    let authority = format!("--authority-host=https://{}/", hung.local_addr().unwrap());
    let file = TokenFile::new();
    let sidecar = Sidecar::start_with(config(&entra, &file, &[&authority]), file).await;
    let connected = timeout(DEADLINE, hung.accept()).await.unwrap().unwrap();
    let answer = exchange(sidecar.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    drop(connected);
}

/// The bound of 30 s passes once for both programs.
#[tokio::test]
async fn the_program_exits_with_77_and_shortens_identifiers_in_its_log() {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, _| aadsts(400, "unauthorized_client", 700_016));
    let file = TokenFile::new();
    let port = format!("--proxy-port={}", free_port().await);
    let mut enforced = program(BINARY);
    enforced.args(flags(&entra, &file, &[&port, "--verify=enforce"]));
    let output = run(&mut enforced).await;
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    let last = log.lines().last().unwrap();
    for part in [
        "proxy-verify",
        "after 30 s",
        "AADSTS700016",
        "To fix: ",
        "ERROR",
    ] {
        assert!(last.contains(part), "{part}: {last}");
    }
    assert!(!log.contains(CLIENT), "{log}");
}
