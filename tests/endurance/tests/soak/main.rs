//! The product over time: tokens with a lifetime of a quarter of an hour, one fault after another, and
//! requests by all SDKs. `make soak` runs it. `make test` does not, since it takes half an hour or more.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_emulator::{Rule, TokenChange};
use contract::token;
use e2e::hammer::{counts, hammer, sees, stop_hammers, with_hammer};
use e2e::{Identity, Namespace, Pod, control};
use serde_json::json;
use tokio::time::Instant;

use self::disturbance::Disturber;
use self::footprint::Footprint;

mod clients;
mod disturbance;
mod footprint;

/// The duration without `SOAK_SECONDS`, in seconds.
const HALF_AN_HOUR: u64 = 1800;
const POD: &str = "hammer";

#[tokio::test]
async fn soak() {
    let length = Duration::from_secs(number("SOAK_SECONDS").unwrap_or(HALF_AN_HOUR));
    let lifetime = Rule {
        token: Some(TokenChange {
            lifetime_seconds: Some(900),
            ..TokenChange::default()
        }),
        ..Rule::default()
    };
    let control = control();
    control.add_rule(&lifetime).await.expect("it is a rule");

    let steady = Hammered::start("steady").await;
    let shaken = Hammered::start("shaken").await;
    let clients = clients::Asking::start().await;
    let before = Footprint::of(&steady.namespace).await;

    let started = Instant::now();
    let mut disturber = Disturber::new(&shaken.namespace, number("SOAK_SEED")).await;
    while started.elapsed() < length {
        disturber.next().await;
    }
    disturber.end().await;

    let after = Footprint::of(&steady.namespace).await;
    let steady = steady.finish().await;
    let shaken = shaken.finish().await;
    let clients = clients.finish().await;
    println!(
        "\nafter {} s:\n  the undisturbed proxy gave {steady:?}\n  the proxy that was killed and stopped gave {shaken:?}",
        started.elapsed().as_secs()
    );
    for (client, seen) in &clients {
        println!("  {client} saw {seen:?}");
    }
    println!("  before: {before:?}\n  after:  {after:?}");
    assert_eq!(
        steady.len(),
        1,
        "an application with a valid token must not see Entra's faults"
    );
    for (client, seen) in clients {
        assert_eq!(seen.len(), 1, "{client}");
    }
    after.assert_no_more_than(&before);
}

/// A pod that sends some two hundred requests a second. Its service account token has a lifetime of ten
/// minutes.
struct Hammered {
    namespace: Namespace,
    identity: Identity,
}

impl Hammered {
    async fn start(test: &str) -> Self {
        let (namespace, identity) = Namespace::with_identity(test).await;
        let token = json!({ "serviceAccountToken": {
            "audience": token::DEFAULT_AUDIENCE, "expirationSeconds": 600, "path": token::FILE,
        } });
        let pod = with_hammer(Pod::new(POD).with_proxy())
            .field("restartPolicy", json!("Always"))
            .volume(json!({ "name": token::VOLUME, "projected": { "sources": [token] } }))
            .container(hammer("app", namespace.name(), ""));
        namespace.apply(&pod.manifest()).await;
        sees(&namespace, POD, "app", &identity.client_id).await;
        Self {
            namespace,
            identity,
        }
    }

    /// Stops the pod's requests and returns the counts by answer. Asserts that each was the workload's token
    /// or a connection error.
    async fn finish(self) -> BTreeMap<String, u64> {
        stop_hammers(&self.namespace, POD, "app").await;
        let seen = counts(&self.namespace, POD, "app").await;
        for what in seen.keys() {
            let known = [
                "ConnectionRefusedError",
                "ConnectionResetError",
                "TimeoutError",
                "no answer",
                &self.identity.client_id,
            ];
            assert!(known.contains(&what.as_str()), "{seen:?}");
        }
        assert!(seen.contains_key(&self.identity.client_id), "{seen:?}");
        seen
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}
