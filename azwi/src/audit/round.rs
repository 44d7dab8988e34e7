//! What happens every few seconds: findings, metrics, Events, evictions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};
use webhook::accounts::Accounts;
use webhook::reason::reason;

use super::events::Events;
use super::evictions::Evictions;
use super::findings::{self, Finding, FindingKey, Subject};
use super::metrics::Metrics;
use super::owners::Owners;
use super::store::Pods;
use super::turns::Turns;

/// The parts of the audit.
pub(super) struct Rounds {
    pub(super) accounts: Arc<Accounts>,
    pub(super) events: Events,
    /// `None` when no pod is to be evicted.
    pub(super) evictions: Option<Evictions>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) owners: Owners,
    pub(super) pods: Arc<Pods>,
    /// When an Event about a finding was written last.
    pub(super) reported: BTreeMap<FindingKey, Instant>,
    pub(super) turns: Turns,
}

impl Rounds {
    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Half a list would look like findings that are gone, or like accounts that have changed.
            if self.pods.are_listed() && self.accounts.are_listed() {
                self.once().await;
            }
        }
    }

    async fn once(&mut self) {
        let accounts = Arc::clone(&self.accounts);
        let client_id = |namespace: &str, name: &str| {
            let account = accounts.known(namespace, name);
            account.map(|it| it.client_id)
        };
        let findings = findings::find(&self.pods, client_id);
        self.metrics.set_findings(findings.counts);
        self.report(&findings.list).await;
        if let Some(evictions) = &mut self.evictions
            && let Err(error) = evictions
                .round(&self.pods, client_id, &mut self.owners)
                .await
        {
            let error = reason(&error);
            debug!(error, "no pod is evicted, trying again");
        }
    }

    /// Writes an Event about each finding that is new, or an hour old.
    async fn report(&mut self, findings: &[Finding]) {
        let current: BTreeSet<_> = findings.iter().map(Finding::key).collect();
        self.reported.retain(|it, _| current.contains(it));
        drop(current);
        let is_due = |it: &&Finding| {
            let last = self.reported.get(&it.key());
            last.is_none_or(|it| it.elapsed() >= HOUR)
        };
        let due = self.turns.next(findings.iter().filter(is_due));
        for finding in due {
            if !self.reported.contains_key(&finding.key()) {
                info!(code = %finding.code, namespace = %finding.namespace, pod = %finding.pod, pods = finding.pods,
                    cause = %finding.cause, "finding");
            }
            let owner = match &finding.subject {
                Subject::Owner(owner) => {
                    let top = self.owners.top(&finding.namespace, owner).await;
                    top.map(Some)
                }
                Subject::Pod(..) => Ok(None),
            };
            let written = match owner {
                Ok(owner) => self.events.write(finding, owner.as_deref()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                let error = reason(&error);
                debug!(error, "cannot write an event");
            }
            // A refused Event, for example in a namespace that ends, is not tried again at once.
            self.reported.insert(finding.key(), Instant::now());
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);
