//! Faults of Entra and of the network: the answer that the application gets, that tokens in memory
//! are served meanwhile, and that the sidecar recovers without help.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_emulator::{ConnectionFault, Respond, Rule, Service, Socket, TokenChange};
use testkit::program::Log;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::azure::{World, assertion};
use crate::entra::{Entra, aadsts, token};
use crate::process::{BINARY, Program, program};
use crate::raw::exchange;
use crate::sidecar::{AUDIENCE, SUBJECT, Sidecar};

const STEADY: &str = "https://vault.azure.net";
const PAUSE: Duration = Duration::from_millis(50);

/// A fault, and the answer to the application.
struct Case {
    name: String,
    rule: Rule,
    status: u16,
    part: &'static str,
    /// The number of token requests for one request of the application.
    exchanges: usize,
    retry_after: Option<&'static str>,
}

impl Case {
    fn new(name: &str, rule: Rule, status: u16, part: &'static str, exchanges: usize) -> Self {
        Self {
            name: format!("https://{name}.example"),
            rule,
            status,
            part,
            exchanges,
            retry_after: None,
        }
    }

    /// Whether the sidecar asks Entra again within seconds.
    fn passes_soon(&self) -> bool {
        self.retry_after.is_none_or(|it| it.len() == 1)
    }
}

fn responding(status: u16, content_type: &str, body: &str) -> Rule {
    Rule {
        respond: Some(Respond {
            status,
            headers: BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]),
            body: body.to_owned(),
            padding_bytes: 0,
        }),
        ..Rule::default()
    }
}

fn padded(mut rule: Rule, padding_bytes: usize) -> Rule {
    rule.respond.as_mut().unwrap().padding_bytes = padding_bytes;
    rule
}

fn broken(connection: ConnectionFault) -> Rule {
    Rule {
        connection: Some(connection),
        ..Rule::default()
    }
}

/// Faults of the network, of a server between the sidecar and Entra, and of Entra.
fn faults() -> Vec<Case> {
    const JSON: &str = "application/json";
    const GRANTED: &str = r#"{"access_token":"granted","expires_in":3600}"#;
    const NOT_ENTRA: &str = "not Entra's JSON";
    vec![
        Case::new(
            "reset",
            broken(ConnectionFault::Reset),
            503,
            "cannot be reached",
            4,
        ),
        Case::new(
            "mid-body",
            broken(ConnectionFault::ResetMidBody),
            503,
            "cannot be reached",
            4,
        ),
        Case::new(
            "hang",
            broken(ConnectionFault::Hang),
            503,
            "gave no answer in",
            2,
        ),
        Case::new(
            "garbage",
            responding(200, JSON, "\u{0}\u{1b}\u{7f}\u{fffd}"),
            503,
            NOT_ENTRA,
            4,
        ),
        Case::new(
            "html",
            responding(200, "text/html", "<html>log in</html>"),
            503,
            NOT_ENTRA,
            4,
        ),
        Case::new(
            "wall",
            responding(403, "text/html", "<html>blocked</html>"),
            400,
            NOT_ENTRA,
            1,
        ),
        Case::new(
            "half",
            responding(200, JSON, &GRANTED[..25]),
            503,
            NOT_ENTRA,
            4,
        ),
        Case::new("empty", responding(200, JSON, ""), 503, NOT_ENTRA, 4),
        Case::new("list", responding(200, JSON, "[1]"), 503, NOT_ENTRA, 4),
        Case::new(
            "large",
            padded(responding(200, JSON, GRANTED), 10_000_000),
            503,
            NOT_ENTRA,
            4,
        ),
        // The body counts, not its content type.
        Case::new(
            "type",
            responding(200, "text/html", GRANTED),
            200,
            "granted",
            1,
        ),
    ]
}

/// As many exchanges as the proxy makes at once, so that none waits for its turn.
const AT_ONCE: usize = 12;

/// Every form of `Retry-After` (RFC 9110, 10.2.3), and malformed ones.
fn retry_afters() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [429, 503] {
        for (nth, (form, date, exchanges, retry_after)) in [
            (None, None, 4, None),
            (Some("0"), None, 4, Some("0")),
            (Some("1"), None, 4, Some("1")),
            (Some("3"), None, 1, Some("3")),
            (Some("60"), None, 1, Some("60")),
            (Some("100000"), None, 1, Some("3600")),
            (Some("Fri, 06 Nov 2093 08:49:37 GMT"), None, 1, Some("3600")),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, 4, Some("0")),
            (Some("Sunday, 06-Nov-94 08:49:37 GMT"), None, 4, Some("0")),
            (Some("Sun Nov  6 08:49:37 1994"), None, 4, Some("0")),
            (
                Some("Sun, 06 Nov 1994 08:50:07 GMT"),
                Some("Sun, 06 Nov 1994 08:49:37 GMT"),
                1,
                Some("30"),
            ),
            (Some("soon"), None, 4, None),
            (Some("-1"), None, 4, None),
            (Some("1.5"), None, 4, None),
        ]
        .into_iter()
        .enumerate()
        {
            let mut rule = responding(status, "text/plain", "Too Many Requests");
            let headers = &mut rule.respond.as_mut().unwrap().headers;
            let lines = [("retry-after", form), ("date", date)];
            let lines = lines
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)));
            headers.extend(lines.map(|(name, value)| (name.to_owned(), value.to_owned())));
            cases.push(Case {
                retry_after,
                ..Case::new(
                    &format!("later-{status}-{nth}"),
                    rule,
                    status,
                    "answered",
                    exchanges,
                )
            });
        }
    }
    cases
}

#[tokio::test]
async fn reports_every_error_of_entra_recovers_and_serves_the_token_in_memory() {
    let world = World::start().await;
    world.sidecar.token(&format!("resource={STEADY}")).await;
    let cases: Vec<_> = faults().into_iter().chain(retry_afters()).collect();
    for case in &cases {
        world.add_resource(&case.name).await;
        let rule = Rule {
            service: Some(Service::Entra),
            scope: Some(format!("{}/.default", case.name)),
            ..case.rule.clone()
        };
        world.azure.control.add_rule(&rule).await.unwrap();
    }

    let address = world.sidecar.address;
    let ask = move |resource: String| async move {
        let target = format!("/metadata/identity/oauth2/token?resource={resource}");
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\n");
        (resource, exchange(address, &head).await)
    };
    let mut answering = JoinSet::new();
    let mut unasked = cases.iter();
    let mut answers = BTreeMap::new();
    while answers.len() < cases.len() {
        let places = AT_ONCE.saturating_sub(answering.len());
        for case in unasked.by_ref().take(places) {
            answering.spawn(ask(case.name.clone()));
        }
        tokio::select! {
            answer = answering.join_next() => answers.extend(answer.unwrap()),
            () = sleep(PAUSE) => {
                let (_, steady) = ask(STEADY.to_owned()).await;
                assert_eq!(steady.status, 200, "law 5: {steady:?}");
            }
        }
    }
    let presented = assertion(SUBJECT, AUDIENCE);
    let [header, ..] = presented.split('.').collect::<Vec<_>>()[..] else {
        panic!("a token has a header");
    };
    for case in &cases {
        let (name, answer) = (&case.name, &answers[&case.name]);
        assert_eq!(answer.status, case.status, "{name}: {answer:?}");
        assert_eq!(answer.header("retry-after"), case.retry_after, "{name}");
        assert!(answer.body.contains(case.part), "{name}: {answer:?}");
        assert!(!answer.body.contains(header), "law 8, {name}: {answer:?}");
        assert_eq!(world.exchanges(name).await, case.exchanges, "{name}");
    }
    assert_eq!(world.exchanges(STEADY).await, 1);

    world.azure.control.clear_rules().await.unwrap();
    for case in cases.iter().filter(|case| case.passes_soon()) {
        let query = format!("resource={}", case.name);
        world.sidecar.until_granted(&query).await;
    }
    let metrics = world.sidecar.metrics_address.unwrap().port();
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let metrics = exchange(([127, 0, 0, 1], metrics).into(), head).await.body;
    for part in [
        "{status=\"0\"",
        "{status=\"429\"",
        "{status=\"503\"",
        "{status=\"200\"",
    ] {
        let sample = format!("azwi_proxy_exchange_duration_seconds_count{part}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
}

#[tokio::test]
async fn reports_refused_connections_and_reconnects() {
    let world = World::start().await;
    let control = &world.azure.control;
    world.sidecar.token(&format!("resource={STEADY}")).await;
    control.set_listening(Socket::Azure, false).await.unwrap();
    let refused = world
        .sidecar
        .token("resource=https://storage.azure.com")
        .await;
    assert_eq!(refused.status, 503);
    let text = refused.text("error_description");
    assert!(text.contains("refused"), "{text}");
    let steady = world.sidecar.token(&format!("resource={STEADY}")).await;
    assert_eq!(steady.status, 200, "law 5");
    control.set_listening(Socket::Azure, true).await.unwrap();
    let query = "resource=https://storage.azure.com";
    world.sidecar.until_granted(query).await;
}

#[tokio::test]
async fn reports_an_untrusted_certificate_with_advice() {
    for (name, days, part) in [
        ("localhost", -30..-1, "clock"),
        ("localhost", 1..30, "clock"),
        ("login.example", 0..1, "AZURE_AUTHORITY_HOST"),
    ] {
        let entra = Entra::start("localhost").await;
        entra.present(name, days);
        let sidecar = Sidecar::start(&entra, &[]).await;
        let refused = sidecar.token("resource=a").await;
        assert_eq!(refused.status, 503);
        let text = refused.text("error_description");
        assert!(
            text.contains("certificate") && text.contains(part),
            "{text}"
        );
        assert_eq!(
            entra.requests().len(),
            0,
            "nothing was sent to an untrusted server"
        );
        entra.present("localhost", 0..1);
        sidecar.until_granted("resource=a").await;
    }
}

#[tokio::test]
async fn reports_a_certificate_outside_its_validity_as_a_clock_error() {
    let world = World::start().await;
    for clock_skew_seconds in [2 * 3600, -2 * 3600] {
        let rule = Rule {
            token: Some(TokenChange {
                clock_skew_seconds: Some(clock_skew_seconds),
                ..TokenChange::default()
            }),
            ..Rule::default()
        };
        world.azure.control.add_rule(&rule).await.unwrap();
        let resource = format!("resource={STEADY}");
        let refused = world.sidecar.token(&resource).await;
        assert_eq!(refused.status, 400, "{clock_skew_seconds}");
        let text = refused.text("error_description");
        assert!(
            text.contains("AADSTS700024") && text.contains("clock"),
            "{text}"
        );
        world.azure.control.clear_rules().await.unwrap();
    }
    let query = format!("resource={STEADY}");
    world.sidecar.until_granted(&query).await;
}

#[tokio::test]
async fn logs_each_failed_attempt_and_the_recovery() {
    let entra = Entra::start("localhost").await;
    entra.answer(|nth, _| match nth {
        0 => aadsts(503, "temporarily_unavailable", 90033),
        _ => token("t", 3600),
    });
    let program = Program::start(&entra, &[], &[]).await;
    assert_eq!(program.token("a").await.status, 200);
    let log = program.ended().await;
    let (failed, granted) = log.split_once("no token from the authority").unwrap();
    assert!(!failed.contains("successfully acquired token"), "{log}");
    assert!(granted.contains("\"code\":90033"), "{log}");
    assert!(granted.contains("\"trace_id\":\"t-90033\""), "{log}");
    assert!(granted.contains("successfully acquired token"), "{log}");
}

/// A container's log is a pipe. Its reader, the container runtime, may hang or have a full disk.
#[tokio::test]
async fn a_blocked_log_delays_no_answer() {
    let entra = Entra::start("localhost").await;
    let (log, pipe) = std::io::pipe().unwrap();
    let mut logging = program("/bin/sh");
    logging
        .args(["-c", "exec \"$0\" \"$@\" 2>&1", BINARY])
        .stdout(pipe);
    let program = Program::start_as(logging, &entra, &["--log-level=all"], &[]).await;
    for _ in 0..1_000 {
        assert_eq!(program.token("a").await.status, 200);
    }
    // It is read again.
    let log = Log::read(pipe::Receiver::from_owned_fd(log.into()).unwrap());
    log.logged("starting the proxy server").await;
    program.token("a").await;
    log.logged("stderr was blocked").await;
    program.ended().await;
    log.ended().await;
    let is_whole = |line: &String| line.starts_with('{') && line.ends_with('}');
    assert!(log.lines().iter().all(is_whole), "{:#?}", log.lines());
}
