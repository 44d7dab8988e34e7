//! The token cache, on a paused clock that the tests advance.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy::token::{
    Clock, Exchange, ExchangeError, ExchangeErrorKind, Granted, Key, Now, Source, Tokens, Wanted,
};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const A: &str = "https://a/";
pub(crate) const B: &str = "https://b/";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The outcome of an exchange.
#[derive(Clone)]
pub(crate) enum Step {
    Fail(ExchangeErrorKind),
    Throttle(Duration),
    Grant(Duration),
    /// A token of so many bytes.
    GrantLarge(usize),
    Hang,
}

type Script = dyn Fn(&str) -> Step + Send + Sync;

/// Exchanges by a script, with a round trip of 50 ms.
#[derive(Clone)]
pub(crate) struct Scripted {
    calls: Arc<AtomicUsize>,
    script: Arc<Mutex<Arc<Script>>>,
}

impl Exchange for Scripted {
    fn exchange(
        &self,
        key: &Key,
        _: Instant,
    ) -> impl Future<Output = Result<Granted, ExchangeError>> + Send {
        let nth = self.calls.fetch_add(1, Ordering::SeqCst);
        let script = Arc::clone(&self.script.lock().unwrap());
        let step = script(&key.resource);
        let failure = |kind, retry_after| ExchangeError {
            kind,
            error: "error".to_owned(),
            description: String::new(),
            retry_after,
        };
        async move {
            sleep(Duration::from_millis(50)).await;
            match step {
                Step::Fail(kind) => Err(failure(kind, None)),
                Step::Throttle(wait) => Err(failure(ExchangeErrorKind::Throttled, Some(wait))),
                Step::Grant(expires_in) => Ok(Granted {
                    access_token: format!("token-{nth}").into(),
                    expires_in,
                    ext_expires_in: expires_in,
                    refresh_in: None,
                }),
                Step::GrantLarge(length) => Ok(Granted {
                    access_token: "x".repeat(length).into(),
                    expires_in: HOUR,
                    ext_expires_in: HOUR,
                    refresh_in: None,
                }),
                Step::Hang => std::future::pending().await,
            }
        }
    }
}

/// tokio's clock, with jumps that a test adds.
#[derive(Clone)]
pub(crate) struct HandClock {
    start: Instant,
    slept: Arc<Mutex<Duration>>,
    wall: Arc<Mutex<Duration>>,
}

impl Clock for HandClock {
    fn now(&self) -> Now {
        let passed = self.start.elapsed();
        Now {
            boot: passed + *self.slept.lock().unwrap(),
            wall: passed + *self.wall.lock().unwrap(),
        }
    }
}

pub(crate) struct Bench {
    clock: HandClock,
    exchange: Scripted,
    pub(crate) tokens: Tokens<Scripted, (), HandClock>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::of(1_000)
    }

    /// With so many requests that may wait.
    fn of(waiting: usize) -> Self {
        let clock = HandClock {
            start: Instant::now(),
            slept: Arc::default(),
            wall: Arc::new(Mutex::new(Duration::from_secs(1_700_000_000))),
        };
        let script: Arc<Script> = Arc::new(|_| Step::Grant(HOUR));
        let exchange = Scripted {
            calls: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        Self {
            tokens: Tokens::new(exchange.clone(), clock.clone(), waiting),
            clock,
            exchange,
        }
    }

    /// With the task that replaces tokens.
    pub(crate) fn kept_fresh() -> Self {
        let bench = Self::new();
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.keep_fresh().await });
        bench
    }

    pub(crate) fn answer(&self, script: impl Fn(&str) -> Step + Send + Sync + 'static) {
        *self.exchange.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn calls(&self) -> usize {
        self.exchange.calls.load(Ordering::SeqCst)
    }

    pub(crate) async fn get(&self, resource: &str) -> Result<(String, Source), ExchangeError> {
        let served = self.tokens.get(&key(resource)).await?;
        Ok((served.token.access_token.reveal().to_owned(), served.source))
    }

    async fn get_wanted(&self, wanted: &Wanted) -> (String, Source) {
        let served = self.tokens.get_wanted(&key(A), wanted).await.unwrap();
        (served.token.access_token.reveal().to_owned(), served.source)
    }

    fn is_fresh(&self, resource: &str) -> bool {
        self.tokens.peek(&key(resource)).is_some()
    }
}

fn key(resource: &str) -> Arc<Key> {
    Arc::new(Key {
        client_id: "c".into(),
        resource: resource.into(),
        claims: None,
    })
}

/// Runs `future` and measures it.
pub(crate) async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let value = future.await;
    (value, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_calls_make_one_exchange() {
    let bench = Bench::new();
    let calls = (0..1000).map(|_| {
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.get(&key(A)).await.unwrap().token })
    });
    let mut served = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        served.push(call.await.unwrap());
    }
    assert_eq!(bench.calls(), 1);
    assert_eq!(served.len(), 1000);
    assert!(
        served
            .windows(2)
            .all(|pair| Arc::ptr_eq(&pair[0], &pair[1]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_key_delays_no_other() {
    let bench = Bench::kept_fresh();
    bench.answer(|resource| {
        if resource == A {
            Step::Hang
        } else {
            Step::Grant(HOUR)
        }
    });
    bench.get(B).await.unwrap();
    let tokens = bench.tokens.clone();
    tokio::spawn(async move { tokens.get(&key(A)).await });
    sleep(Duration::from_secs(1)).await;
    assert!(bench.is_fresh(B));
    assert_eq!(
        timed(bench.get("https://c/")).await.1,
        Duration::from_millis(50)
    );
}

#[tokio::test(start_paused = true)]
async fn law_5_replaces_a_token_in_use_before_it_expires_without_a_wait() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    let day = Instant::now() + 24 * HOUR;
    while Instant::now() < day {
        sleep(MINUTE).await;
        let (served, took) = timed(bench.get(A)).await;
        assert_eq!(served.unwrap().1, Source::Memory);
        assert_eq!(took, Duration::ZERO);
    }
    // Each hour's token serves some 49 to 55 minutes.
    assert!((27..=32).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn forgets_a_token_that_is_not_used() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    sleep(5 * HOUR).await;
    assert_eq!(bench.calls(), 2, "an unused token is replaced once");
    assert_eq!(bench.tokens.lifetimes().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn law_5_serves_a_valid_token_while_entra_is_down() {
    let bench = Bench::kept_fresh();
    bench.answer(|_| Step::Grant(24 * HOUR));
    bench.get(A).await.unwrap();
    bench.answer(|_| Step::Fail(ExchangeErrorKind::Transient));
    let end = Instant::now() + 24 * HOUR - MINUTE;
    while Instant::now() < end {
        sleep(Duration::from_secs(20)).await;
        let (served, took) = timed(bench.get(A)).await;
        assert_eq!(served.unwrap().0, "token-0");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert!(
        bench.calls() > 600,
        "it retries each minute: {}",
        bench.calls()
    );
    bench.answer(|_| Step::Grant(24 * HOUR));
    sleep(MINUTE).await;
    assert_ne!(bench.get(A).await.unwrap().0, "token-0");
}

#[tokio::test(start_paused = true)]
async fn reports_an_outage_after_the_token_expired_and_recovers_at_once() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    bench.answer(|_| Step::Fail(ExchangeErrorKind::Transient));
    sleep(2 * HOUR).await;
    assert_eq!(
        bench.get(A).await.unwrap_err().kind,
        ExchangeErrorKind::Transient
    );
    bench.answer(|_| Step::Grant(HOUR));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.get(A).await.unwrap().1, Source::Entra);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_new_token_gets_one_every_few_seconds() {
    let bench = Bench::new();
    let from_memory = |nth: usize| (format!("token-{nth}"), Source::Memory);
    let from_entra = |nth: usize| (format!("token-{nth}"), Source::Entra);
    assert_eq!(bench.get_wanted(&Wanted::New).await, from_entra(0));
    assert_eq!(bench.get_wanted(&Wanted::New).await, from_memory(0));
    for nth in 1..10 {
        sleep(Duration::from_secs(6)).await;
        assert_eq!(bench.get_wanted(&Wanted::New).await, from_entra(nth));
        for _ in 0..100 {
            assert_eq!(bench.get_wanted(&Wanted::New).await, from_memory(nth));
        }
    }
    sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.get_wanted(&Wanted::Any).await, from_memory(9));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_and_another_one_is_not() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    sleep(MINUTE).await;
    let hash = |token: &str| {
        let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        Wanted::Other(hash.as_ref().try_into().unwrap())
    };
    assert_eq!(bench.get_wanted(&hash("x")).await.1, Source::Memory);
    let refused = hash("token-0");
    let replaced = bench.get_wanted(&refused).await;
    assert_eq!(replaced, ("token-1".to_owned(), Source::Entra));
    sleep(MINUTE).await;
    assert_eq!(bench.get_wanted(&refused).await.1, Source::Memory);
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn law_5_serves_a_valid_token_while_there_is_no_new_one() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    sleep(MINUTE).await;
    bench.answer(|_| Step::Fail(ExchangeErrorKind::Transient));
    for source in [Source::Stale, Source::Memory] {
        let served = bench.get_wanted(&Wanted::New).await;
        assert_eq!(served, ("token-0".to_owned(), source));
    }
    assert_eq!(bench.calls(), 2, "a failure has its pause");
}

#[tokio::test(start_paused = true)]
async fn r9_replaces_a_token_in_its_last_minutes_before_it_is_served() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    sleep(HOUR - 9 * MINUTE).await;
    assert_eq!(
        bench.get(A).await.unwrap(),
        ("token-1".to_owned(), Source::Entra)
    );
}

#[tokio::test(start_paused = true)]
async fn r9_serves_the_old_token_when_its_replacement_takes_too_long() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    bench.answer(|_| Step::Hang);
    sleep(HOUR - 9 * MINUTE).await;
    let (served, took) = timed(bench.get(A)).await;
    assert_eq!(served.unwrap(), ("token-0".to_owned(), Source::Stale));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_one_key_does_not_delay_another() {
    let bench = Bench::new();
    bench.answer(move |resource| {
        if resource == A {
            Step::Throttle(MINUTE)
        } else {
            Step::Grant(HOUR)
        }
    });
    assert_eq!(bench.get(A).await.unwrap_err().retry_after, Some(MINUTE));
    sleep(Duration::from_secs(20)).await;
    let left = bench.get(A).await.unwrap_err().retry_after;
    let left = left.unwrap();
    let spread = Duration::from_secs(40)..=Duration::from_secs(50);
    assert!(spread.contains(&left), "{left:?}");
    assert_eq!(bench.calls(), 1, "Retry-After is respected");
    bench.get(B).await.unwrap();
    bench.answer(|_| Step::Grant(HOUR));
    sleep(left).await;
    bench.get(A).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn repeats_a_permanent_failure_for_seconds_not_minutes() {
    let bench = Bench::new();
    bench.answer(|_| Step::Fail(ExchangeErrorKind::Permanent));
    for _ in 0..20 {
        bench.get(A).await.unwrap_err();
    }
    assert_eq!(bench.calls(), 1);
    bench.answer(|_| Step::Grant(HOUR));
    sleep(Duration::from_secs(5)).await;
    bench.get(A).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_next_attempt_while_a_failure_is_remembered() {
    for step in [
        Step::Fail(ExchangeErrorKind::Transient),
        Step::Fail(ExchangeErrorKind::Throttled),
        Step::Throttle(Duration::from_secs(2)),
    ] {
        let bench = Bench::kept_fresh();
        bench.answer(move |_| step.clone());
        let (failed, took) = timed(bench.get(A)).await;
        failed.unwrap_err();
        assert_eq!(took, Duration::from_millis(50), "the first is not delayed");
        // A client that retries 19 times at once.
        let start = Instant::now();
        for _ in 0..19 {
            let (failed, took) = timed(bench.get(A)).await;
            failed.unwrap_err();
            assert!(took >= Duration::from_secs(1), "{took:?}");
            assert!(took < Duration::from_secs(8), "{took:?}");
        }
        assert!(start.elapsed() >= Duration::from_secs(19));
        assert_eq!(bench.calls(), 20);
        // All who wait get the token of one exchange.
        bench.answer(|_| Step::Grant(HOUR));
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let tokens = bench.tokens.clone();
                tokio::spawn(async move { tokens.get(&key(A)).await })
            })
            .collect();
        for served in waiting {
            served.await.unwrap().unwrap();
        }
        assert_eq!(bench.calls(), 21);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_the_next_attempt_ends_within_the_budget() {
    let bench = Bench::of(10);
    for resource in [A, B] {
        bench.answer(|_| Step::Fail(ExchangeErrorKind::Throttled));
        bench.get(resource).await.unwrap_err();
    }
    bench.answer(|_| Step::Hang);
    let (failed, took) = timed(timeout(MINUTE, bench.get(A))).await;
    assert_eq!(
        failed.expect("an end").unwrap_err().kind,
        ExchangeErrorKind::Throttled
    );
    assert!(took <= Duration::from_secs(8), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_the_next_attempt_are_bounded() {
    let bench = Bench::of(10);
    bench.answer(|_| Step::Fail(ExchangeErrorKind::Throttled));
    bench.get(A).await.unwrap_err();
    for _ in 0..10 {
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.get(&key(A)).await });
    }
    sleep(Duration::from_millis(1)).await;
    let (failed, took) = timed(bench.get(A)).await;
    assert_eq!(failed.unwrap_err().kind, ExchangeErrorKind::Throttled);
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_goes_on_when_the_client_leaves() {
    let bench = Bench::new();
    let shorter = Duration::from_millis(10);
    timeout(shorter, bench.get(A)).await.unwrap_err();
    sleep(Duration::from_millis(50)).await;
    assert!(bench.is_fresh(A));
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_bounded_and_drops_the_oldest_key() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    for nth in 0..1_200 {
        bench.get(&nth.to_string()).await.unwrap();
        assert!(bench.is_fresh(A), "a key in use stays");
    }
    assert_eq!(bench.tokens.lifetimes().len(), 1_000);
    assert!(!bench.is_fresh("0") && bench.is_fresh("1199"));
}

#[tokio::test(start_paused = true)]
async fn exchanges_again_after_a_suspend() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    *bench.clock.slept.lock().unwrap() += 2 * HOUR;
    *bench.clock.wall.lock().unwrap() += 2 * HOUR;
    assert!(!bench.is_fresh(A));
    assert_eq!(
        bench.get(A).await.unwrap(),
        ("token-1".to_owned(), Source::Entra)
    );
}

#[tokio::test(start_paused = true)]
async fn tolerates_a_clock_that_is_set() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    *bench.clock.wall.lock().unwrap() -= 24 * HOUR;
    assert!(bench.is_fresh(A), "the token is as old as before");
    sleep(2 * HOUR).await;
    bench.get(A).await.unwrap();
    *bench.clock.wall.lock().unwrap() += 48 * HOUR;
    assert_eq!(
        bench.get(A).await.unwrap().1,
        Source::Entra,
        "the token may have expired"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_granted_expired_is_a_failure() {
    let bench = Bench::new();
    bench.answer(|_| Step::Grant(Duration::ZERO));
    assert_eq!(
        bench.get(A).await.unwrap_err().kind,
        ExchangeErrorKind::Transient
    );
}

/// Requests for `count` keys, which hang where their exchange does.
fn spawn_requests(bench: &Bench, count: usize) {
    for nth in 0..count {
        let tokens = bench.tokens.clone();
        tokio::spawn(async move { tokens.get(&key(&format!("flood-{nth}"))).await });
    }
}

#[tokio::test(start_paused = true)]
async fn exchanges_for_new_keys_take_turns_in_order() {
    let bench = Bench::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    bench.answer(move |resource| {
        seen.lock().unwrap().push(resource.to_owned());
        Step::Grant(HOUR)
    });
    spawn_requests(&bench, 100);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.calls(), 12);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.calls(), 24);
    sleep(Duration::from_secs(1)).await;
    let wanted: Vec<_> = (0..100).map(|nth| format!("flood-{nth}")).collect();
    assert_eq!(*order.lock().unwrap(), wanted);
}

#[tokio::test(start_paused = true)]
async fn new_keys_that_hang_delay_no_known_key() {
    let bench = Bench::kept_fresh();
    bench.get(A).await.unwrap();
    let before = Instant::now();
    bench.answer(|resource| {
        if resource == A {
            Step::Grant(HOUR)
        } else {
            Step::Hang
        }
    });
    while before.elapsed() < 2 * HOUR {
        spawn_requests(&bench, 100);
        sleep(MINUTE).await;
        let (served, took) = timed(bench.get(A)).await;
        assert_eq!(served.unwrap().1, Source::Memory, "it is replaced in time");
        assert_eq!(took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_turn_in_time_fails_within_the_budget() {
    let bench = Bench::new();
    bench.answer(|_| Step::Hang);
    spawn_requests(&bench, 12);
    sleep(Duration::from_millis(1)).await;
    let (failed, took) = timed(timeout(MINUTE, bench.get(A))).await;
    let failure = failed.expect("an end").unwrap_err();
    assert_eq!(failure.kind, ExchangeErrorKind::Transient);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(1)));
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_may_wait_fail_at_once_and_tokens_in_memory_are_served() {
    let bench = Bench::of(400);
    bench.get(A).await.unwrap();
    bench.answer(|_| Step::Hang);
    spawn_requests(&bench, 1_000);
    sleep(Duration::from_millis(1)).await;
    let (failed, took) = timed(timeout(MINUTE, bench.get(B))).await;
    assert_eq!(
        failed.expect("an end").unwrap_err().kind,
        ExchangeErrorKind::Transient
    );
    assert_eq!(took, Duration::ZERO);
    assert!(bench.is_fresh(A));
    // In its last minutes a token would be replaced first.
    sleep(HOUR - 9 * MINUTE).await;
    spawn_requests(&bench, 1_000);
    sleep(Duration::from_millis(1)).await;
    let (served, took) = timed(bench.get(A)).await;
    assert_eq!(served.unwrap().0, "token-0");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_in_memory_are_bounded_in_bytes() {
    let bench = Bench::new();
    bench.get(A).await.unwrap();
    assert!(bench.is_fresh(A), "it is used again");
    bench.answer(|_| Step::GrantLarge(100_000));
    for nth in 0..200 {
        bench.get(&nth.to_string()).await.unwrap();
        // In memory four times: by itself and in three bodies.
        let held = (bench.tokens.lifetimes().len() - 1) * 4 * 100_000;
        assert!(held <= 8 << 20, "{held}");
    }
    assert!(bench.is_fresh(A), "a key in use stays");
    assert!(bench.is_fresh("199") && !bench.is_fresh("0"));
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_one_key_are_bounded_too() {
    let bench = Bench::of(10);
    bench.answer(|_| Step::Hang);
    let failed = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let (tokens, failed) = (bench.tokens.clone(), Arc::clone(&failed));
        tokio::spawn(async move {
            tokens.get(&key(A)).await.unwrap_err();
            failed.fetch_add(1, Ordering::SeqCst);
        });
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(failed.load(Ordering::SeqCst), 90);
    assert_eq!(bench.calls(), 1);
}
