//! Many pods at once. None of them runs: they are dry runs, or have no scheduler.

use std::sync::Arc;
use std::time::Duration;

use contract::variable;
use k8s_openapi::api::core::v1;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use testkit::poll;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{Container, Namespace, Pod};

/// The most requests in flight to the API server. With more, a slow machine would exceed the deadline
/// of a review.
const AT_ONCE: usize = 64;

/// The outcome of creating pods.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of pods with their identity.
    pub injected: usize,
    /// For each of the others: why it was refused, or that it lacks its identity.
    pub failures: Vec<String>,
    /// The time from the first creation to the last answer.
    pub duration: Duration,
}

/// Creates pods until [`Load::stop`].
pub struct Load {
    stop: oneshot::Sender<()>,
    answered: watch::Receiver<usize>,
    running: JoinHandle<Tally>,
}

impl Load {
    /// Begins to create pods of the service account `app` as dry runs, at this rate a second unless the
    /// machine is too slow.
    pub async fn start(namespace: &Namespace, a_second: u32) -> Self {
        let creator = Creator::new(namespace, true).await;
        let (stop, mut stopped) = oneshot::channel();
        let (count, answered) = watch::channel(0);
        let running = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / a_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut round = Round::new(creator);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        round.create().await;
                        count.send_replace(round.tally.answered());
                    }
                    _ = &mut stopped => break,
                }
            }
            round.end().await
        });
        Self {
            stop,
            answered,
            running,
        }
    }

    /// Waits until the API server has answered this number of creations, at most a minute.
    pub async fn answered(&self, count: usize) {
        let what = format!("{count} pods");
        poll::changed(&what, self.answered.clone(), |answered| *answered >= count).await;
    }

    /// Stops, and returns the outcome.
    ///
    /// # Panics
    ///
    /// When the load has panicked.
    pub async fn stop(self) -> Tally {
        let _ = self.stop.send(());
        self.running.await.expect("the load ends")
    }
}

impl Tally {
    /// Asserts that every pod was admitted with its identity.
    ///
    /// # Panics
    ///
    /// When one was not: with the first reasons.
    pub fn assert_all_injected(&self) {
        let some: Vec<_> = self.failures.iter().take(5).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} pods failed: {some:#?}",
            self.failures.len(),
            self.answered()
        );
        assert!(self.injected > 0, "no pod was created");
    }

    /// The rate, in pods a second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / self.duration.as_secs_f64()
    }
}

/// Creates this many pods as fast as the API server accepts them. They have no scheduler.
pub async fn create_at_once(namespace: &Namespace, count: usize) -> Tally {
    let mut round = Round::new(Creator::new(namespace, false).await);
    for _ in 0..count {
        round.create().await;
    }
    round.end().await
}

/// Whether the application's environment has the client id.
fn is_injected(pod: &v1::Pod) -> bool {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let application = containers.find(|container| container.name == "app");
    let mut variables = application
        .into_iter()
        .flat_map(|it| it.env.iter().flatten());
    variables.any(|it| it.name == variable::CLIENT_ID)
}

/// Creations in flight.
struct Round {
    creator: Arc<Creator>,
    permits: Arc<Semaphore>,
    since: Instant,
    under_way: JoinSet<Result<(), String>>,
    tally: Tally,
}

impl Round {
    fn new(creator: Creator) -> Self {
        Self {
            creator: Arc::new(creator),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            since: Instant::now(),
            under_way: JoinSet::new(),
            tally: Tally::default(),
        }
    }

    async fn create(&mut self) {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let creator = Arc::clone(&self.creator);
        self.under_way.spawn(async move {
            let _permit = permit;
            creator.create().await
        });
        while let Some(ended) = self.under_way.try_join_next() {
            self.tally.count(ended.expect("a creation ends"));
        }
    }

    async fn end(mut self) -> Tally {
        while let Some(ended) = self.under_way.join_next().await {
            self.tally.count(ended.expect("a creation ends"));
        }
        self.tally.duration = self.since.elapsed();
        self.tally
    }
}

impl Tally {
    fn answered(&self) -> usize {
        self.injected + self.failures.len()
    }

    fn count(&mut self, ended: Result<(), String>) {
        match ended {
            Ok(()) => self.injected += 1,
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// How a pod is created.
struct Creator {
    params: PostParams,
    pod: v1::Pod,
    pods: Api<v1::Pod>,
}

impl Creator {
    async fn new(namespace: &Namespace, dry_run: bool) -> Self {
        let pod = Pod::new("")
            .with_proxy()
            .container(Container::shell("app", "true"))
            .field("schedulerName", json!("no-scheduler"));
        let mut manifest = pod.manifest();
        manifest["metadata"]["generateName"] = json!("many-");
        let client = Client::try_default()
            .await
            .expect("KUBECONFIG is the node's");
        Self {
            params: PostParams {
                dry_run,
                field_manager: None,
            },
            pod: serde_json::from_value(manifest).expect("it is a pod"),
            pods: Api::namespaced(client, namespace.name()),
        }
    }

    async fn create(&self) -> Result<(), String> {
        match self.pods.create(&self.params, &self.pod).await {
            Ok(pod) if is_injected(&pod) => Ok(()),
            Ok(_) => Err("it was admitted without its identity".to_owned()),
            Err(kube::Error::Api(status)) => Err(status.message),
            Err(error) => Err(error.to_string()),
        }
    }
}
