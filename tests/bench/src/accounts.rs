//! The webhook's objects in the cluster: service accounts, and its webhook configuration.

use std::fmt::Debug;

use anyhow::{Context, Result};
use contract::annotation;
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::review::{NAMESPACE, SERVICE_ACCOUNT};

/// The name of the chart's webhook configuration.
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";

/// The number of service accounts in a namespace.
const IN_A_NAMESPACE: u32 = 1_000;
/// The most requests in flight to the API server.
const AT_ONCE: usize = 64;

/// The cluster that `KUBECONFIG` names.
pub struct Cluster {
    client: Client,
    runtime: Runtime,
}

impl Cluster {
    /// Makes a client of its API server.
    ///
    /// # Errors
    ///
    /// When `KUBECONFIG` names no cluster.
    pub fn connect() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime
            .block_on(Client::try_default())
            .context("no cluster is configured (tests/bench/run starts one)")?;
        Ok(Self { client, runtime })
    }

    /// Makes the service account of the reviewed pods.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub fn add_the_reviewed(&self) -> Result<()> {
        self.runtime.block_on(async {
            create(&Api::all(self.client.clone()), &namespace(NAMESPACE)?).await?;
            let accounts = Api::namespaced(self.client.clone(), NAMESPACE);
            create(&accounts, &account(SERVICE_ACCOUNT)?).await
        })
    }

    /// Makes this many service accounts in namespaces of their own.
    ///
    /// # Errors
    ///
    /// When the API server refuses one.
    pub fn add(&self, count: u32) -> Result<()> {
        let namespace_of = |number| format!("{NAMESPACE}-{}", number / IN_A_NAMESPACE);
        self.runtime.block_on(async {
            let namespaces = Api::all(self.client.clone());
            for number in 0..count.div_ceil(IN_A_NAMESPACE) {
                create(
                    &namespaces,
                    &namespace(&namespace_of(number * IN_A_NAMESPACE))?,
                )
                .await?;
            }
            stream::iter(0..count)
                .map(|number| async move {
                    let accounts = Api::namespaced(self.client.clone(), &namespace_of(number));
                    create(&accounts, &account(&format!("application-{number}"))?).await
                })
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await
        })
    }

    /// The webhook configuration's `caBundle`, PEM.
    ///
    /// # Errors
    ///
    /// When the webhook has not written it.
    pub fn trusted(&self) -> Result<Vec<u8>> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let configuration = self.runtime.block_on(configurations.get(CONFIGURATION))?;
        let webhooks = configuration.webhooks.unwrap_or_default();
        let bundle = webhooks
            .into_iter()
            .next()
            .and_then(|it| it.client_config.ca_bundle);
        bundle
            .map(|bundle| bundle.0)
            .context("the webhook has not written its caBundle")
    }
}

async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), object)
        .await
        .context("the API server refuses")?;
    Ok(())
}

fn namespace(name: &str) -> Result<Namespace> {
    Ok(serde_json::from_value(json!({"metadata": {"name": name}}))?)
}

/// A service account as in Microsoft's guides, with Helm's annotations and label.
fn account(name: &str) -> Result<ServiceAccount> {
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "annotations": {
                annotation::CLIENT_ID: "66666666-7777-8888-9999-000000000000",
                "meta.helm.sh/release-name": name,
                "meta.helm.sh/release-namespace": NAMESPACE,
            },
            "labels": {"app.kubernetes.io/managed-by": "Helm", contract::label::USE: "true"},
        },
    }))?)
}
