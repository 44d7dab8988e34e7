//! All SDKs in one pod, each in its own container.

use std::collections::BTreeMap;

use contract::annotation;
use e2e::client::{client_volume, folders, with_client, with_common_volumes};
use e2e::hammer::{counts, sees, stop_hammers, with_hammer};
use e2e::{Identity, Namespace, Pod};

const POD: &str = "clients";

/// Running clients that request tokens.
pub struct Asking {
    namespace: Namespace,
    identity: Identity,
    names: Vec<String>,
}

impl Asking {
    /// Starts them, and waits until each has a token.
    pub async fn start() -> Self {
        let (namespace, identity) = Namespace::with_identity("clients").await;
        let mut pod = with_hammer(with_common_volumes(Pod::new(POD).with_proxy()));
        let mut names = Vec::new();
        let ask = include_str!("../../ask.py");
        for folder in folders() {
            let name = folder.replace(['.', '_'], "-");
            let asking = with_client(&name, &name, &["/usr/bin/python3", "-ISuc", ask])
                .writable_mount("signal", "/signal");
            pod = pod.volume(client_volume(&name, &folder)).container(asking);
            names.push(name);
        }
        // Without Workload ID's variables, so that they use IMDS.
        let pod = pod.annotate(annotation::SKIP_CONTAINERS, &names.join(";"));
        namespace.apply(&pod.manifest()).await;
        for name in &names {
            sees(&namespace, POD, name, &identity.client_id).await;
        }
        Self {
            namespace,
            identity,
            names,
        }
    }

    /// Stops the clients, and returns the counts of each by outcome.
    pub async fn finish(self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let one = self.names.first().expect("there are clients");
        stop_hammers(&self.namespace, POD, one).await;
        let mut all = BTreeMap::new();
        for name in self.names {
            let seen = counts(&self.namespace, POD, &name).await;
            assert!(
                seen.contains_key(&self.identity.client_id),
                "{name}: {seen:?}"
            );
            all.insert(name, seen);
        }
        all
    }
}
