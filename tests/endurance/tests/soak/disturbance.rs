//! Causes one fault after another, in an order that a seed decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_emulator::{ConnectionFault, Respond, Rule, Service, Socket};
use contract::container::PROXY;
use e2e::authority::{bundle, near_its_end, set_bundle, store, stored};
use e2e::{
    DEPLOYMENT, Load, Namespace, SECRET, control, replicas, restart_api_server, system, until,
};
use tokio::process::Command;
use tokio::time::sleep;

use crate::POD;

/// How long a fault lasts, and the pause after it.
const FAULT_LASTS: Duration = Duration::from_secs(10);
/// The rate at which pods are created, in pods a second.
const PODS: u32 = 5;

/// Causes faults while pods are created.
pub struct Disturber<'a> {
    shaken: &'a Namespace,
    load: Option<Load>,
    load_of: Namespace,
    state: u64,
    count: usize,
}

/// The faults that a run chooses from.
#[derive(Clone, Copy, Debug)]
enum Fault {
    ApiServerRestarted,
    AuthorityReplaced,
    BundleEmptied,
    EntraBusy,
    EntraGarbage,
    EntraGone,
    EntraHangs,
    EntraResets,
    ProxyKilled,
    ProxyStopped,
    SecretDeleted,
    WebhookKilled,
    WebhookStopped,
}

const FAULTS: [Fault; 13] = [
    Fault::ApiServerRestarted,
    Fault::AuthorityReplaced,
    Fault::BundleEmptied,
    Fault::EntraBusy,
    Fault::EntraGarbage,
    Fault::EntraGone,
    Fault::EntraHangs,
    Fault::EntraResets,
    Fault::ProxyKilled,
    Fault::ProxyStopped,
    Fault::SecretDeleted,
    Fault::WebhookKilled,
    Fault::WebhookStopped,
];

impl<'a> Disturber<'a> {
    /// Begins to create pods. Without a seed, the clock gives one.
    pub async fn new(shaken: &'a Namespace, number: Option<u64>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let number = number.unwrap_or_else(|| now.map_or(1, |now| now.as_secs()));
        println!("SOAK_SEED={number} repeats these faults");
        let (load_of, _) = Namespace::with_identity("load").await;
        Self {
            shaken,
            load: None,
            load_of,
            state: number.max(1),
            count: 0,
        }
    }

    /// Causes the next fault and waits until it is over. Asserts that no pod is refused meanwhile, unless
    /// the fault stops the webhook or the API server.
    pub async fn next(&mut self) {
        // Marsaglia's xorshift.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let fault = FAULTS[(self.state % FAULTS.len() as u64) as usize];
        self.count += 1;
        println!("{:>4} {fault:?}", self.count);
        let refuses = matches!(
            fault,
            Fault::ApiServerRestarted
                | Fault::BundleEmptied
                | Fault::WebhookKilled
                | Fault::WebhookStopped
        );
        if refuses {
            self.stop_load().await;
        } else if self.load.is_none() {
            self.load = Some(Load::start(&self.load_of, PODS).await);
        }
        self.cause(fault).await;
        sleep(FAULT_LASTS).await;
    }

    /// Stops creating pods.
    pub async fn end(mut self) {
        self.stop_load().await;
        println!("{} faults", self.count);
    }

    async fn stop_load(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop().await.assert_all_injected();
        }
    }

    async fn cause(&self, fault: Fault) {
        let entra = |rule: Rule| Rule {
            service: Some(Service::Entra),
            ..rule
        };
        match fault {
            Fault::ApiServerRestarted => restart_api_server().await,
            Fault::AuthorityReplaced => {
                let before = bundle().await;
                let due = near_its_end();
                let both = [due.certificate(), &stored().await].concat();
                store(&[("ca.crt", &both), ("ca.key", &due.key())]).await;
                until("a new authority", bundle, |now| *now != before).await;
            }
            Fault::BundleEmptied => {
                let before = bundle().await;
                set_bundle("").await;
                until("the bundle", bundle, |now| *now == before).await;
            }
            Fault::EntraBusy => {
                let busy = Respond {
                    status: 429,
                    headers: [("Retry-After".to_owned(), "3".to_owned())].into(),
                    body: "Too Many Requests".into(),
                    padding_bytes: 0,
                };
                ruled(entra(Rule {
                    respond: Some(busy),
                    ..Rule::default()
                }))
                .await;
            }
            Fault::EntraGarbage => {
                let page = Respond {
                    status: 200,
                    headers: [("Content-Type".to_owned(), "text/html".to_owned())].into(),
                    body: "<html>".into(),
                    padding_bytes: 10_000_000,
                };
                ruled(entra(Rule {
                    respond: Some(page),
                    ..Rule::default()
                }))
                .await;
            }
            Fault::EntraGone => {
                let control = control();
                control
                    .set_listening(Socket::Azure, false)
                    .await
                    .expect("it stops");
                sleep(FAULT_LASTS).await;
                control
                    .set_listening(Socket::Azure, true)
                    .await
                    .expect("it starts");
            }
            Fault::EntraHangs => {
                let connection = Some(ConnectionFault::Hang);
                ruled(entra(Rule {
                    connection,
                    ..Rule::default()
                }))
                .await;
            }
            Fault::EntraResets => {
                let connection = Some(ConnectionFault::ResetMidBody);
                ruled(entra(Rule {
                    connection,
                    ..Rule::default()
                }))
                .await;
            }
            Fault::ProxyKilled => self.shaken.kill(POD, PROXY).await,
            Fault::ProxyStopped => {
                self.shaken.signal(POD, PROXY, "SIGSTOP").await;
                sleep(FAULT_LASTS).await;
                self.shaken.signal(POD, PROXY, "SIGCONT").await;
            }
            Fault::SecretDeleted => {
                system(&["delete", "secret", SECRET]).await;
                let again = async || {
                    system(&["get", "secret", SECRET, "--ignore-not-found", "-o", "name"]).await
                };
                until("the Secret", again, |found| !found.is_empty()).await;
            }
            Fault::WebhookKilled => {
                signal_a_webhook("KILL").await;
                system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
            }
            Fault::WebhookStopped => {
                signal_a_webhook("STOP").await;
                sleep(FAULT_LASTS).await;
                signal_a_webhook("CONT").await;
                system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
            }
        }
        until("two replicas", replicas, |found| found.len() == 2).await;
    }
}

/// Applies a rule to the emulator for a while.
async fn ruled(rule: Rule) {
    let control = control();
    let id = control.add_rule(&rule).await.expect("it is a rule");
    sleep(FAULT_LASTS).await;
    control.remove_rule(id).await.expect("it is there");
}

async fn signal_a_webhook(signal: &str) {
    shell(&format!(
        "kill -{signal} $(pidof webhook | tr ' ' '\\n' | sort -n | head -n 1)"
    ))
    .await;
}

async fn shell(script: &str) {
    let status = Command::new("sh").args(["-euc", script]).status().await;
    assert!(status.expect("sh starts").success(), "{script}");
}
