//! Certificates that the webhook issues itself: carries out the [`plan`](super::plan).
//!
//! The authority lives in a Secret. Any replica may create it; with the API server's optimistic
//! concurrency one write wins, and all replicas use that one. Each replica writes the authorities into
//! the webhook configuration whenever they are missing there, and issues its own leaf.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64_simd::STANDARD;
use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::json;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::Serving;
use super::authority::{Authority, AuthorityError, Leaf};
use super::bundle::Bundle;
use super::contest::Contest;
use super::plan::{ABSENCE, Action, Issued, State, Stored, Tried};
use crate::reason::{reason, watch_reason};

/// The Secret with the authority, with the name and keys of azure-workload-identity.
pub const SECRET: &str = "azure-wi-webhook-server-cert";
/// The webhook configuration that gets the bundle.
pub const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// The field manager in `managedFields` and in the conflicts of server-side apply.
pub const FIELD_MANAGER: &str = "azure-wi-webhook";
/// The Service that the API server calls.
pub const SERVICE: &str = "azure-wi-webhook-webhook-service";

/// Keeps the authority, the bundle and the serving certificate valid, for ever.
pub async fn run(client: Client, namespace: String, serving: Arc<Serving>) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let mut secret_events = pin!(watch_object(secrets, SECRET).default_backoff());
    let mut configuration_events =
        pin!(watch_object(configurations, CONFIGURATION).default_backoff());
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut keeper = Keeper::new(client, namespace, serving);
    loop {
        let seen = tokio::select! {
            Some(event) = secret_events.next() => event.map(|it| keeper.see_secret(it)),
            Some(event) = configuration_events.next() => {
                event.map(|it| keeper.see_configuration(it))
            }
            _ = ticks.tick() => Ok(()),
        };
        let result = match seen {
            Ok(()) => keeper.reconcile(SystemTime::now()).await,
            Err(error) => Err(KeeperError::Watch(error)),
        };
        keeper.report(result).await;
    }
}

/// Why the certificate is not renewed or not trusted. Every action is retried.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// There is no authority to issue with.
    #[error("cannot create certificates: {0}")]
    Authority(#[from] AuthorityError),
    /// The Secret cannot be written.
    #[error("cannot write the certificate authority to Secret {SECRET}: {}", reason(.0))]
    Secret(#[source] kube::Error),
    /// The Secret is missing.
    #[error(
        "Secret {SECRET} is missing: the webhook creates it again after {} s",
        ABSENCE.as_secs()
    )]
    NoSecret,
    /// The webhook configuration cannot be written.
    #[error(
        "cannot write caBundle of MutatingWebhookConfiguration {CONFIGURATION}: {}. Allow the \
         webhook's service account to patch it",
        reason(.0)
    )]
    Bundle(#[source] kube::Error),
    /// The webhook configuration is written by this program and another one in turns.
    #[error(
        "caBundle of MutatingWebhookConfiguration {CONFIGURATION} is replaced again and again, last by field manager \
         {0}: the API server refuses labelled pods until that program leaves the field alone"
    )]
    Contested(String),
    /// The webhook configuration is missing.
    #[error("there is no MutatingWebhookConfiguration {CONFIGURATION}: no pod reaches the webhook")]
    NoConfiguration,
    /// Changes of the Secret or the webhook configuration do not arrive.
    #[error("certificate objects cannot be watched, trying again: {}", watch_reason(.0))]
    Watch(#[source] kube::runtime::watcher::Error),
}

impl KeeperError {
    fn api_code(&self) -> Option<u16> {
        let (Self::Secret(error) | Self::Bundle(error)) = self else {
            return None;
        };
        match error {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    fn is_forbidden(&self) -> bool {
        self.api_code() == Some(403)
    }

    /// Whether another replica wrote in between. The watch brings its version.
    fn is_conflict(&self) -> bool {
        self.api_code() == Some(409)
    }
}

/// Keeps the certificates of one replica.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    events: Recorder,
    namespace: String,
    /// DNS names of the Service.
    names: Vec<String>,
    serving: Arc<Serving>,
    state: State,
    contest: Contest,
    /// As last seen, for the version on which a write is based.
    secret: Option<ObjectMeta>,
    configuration: Option<MutatingWebhookConfiguration>,
    /// The error that was logged last.
    reported: String,
}

impl Keeper {
    /// Nothing is known yet: [`Self::reconcile`] waits until both objects have been seen.
    pub fn new(client: Client, namespace: String, serving: Arc<Serving>) -> Self {
        let reporter = Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: None,
        };
        Self {
            secrets: Api::namespaced(client.clone(), &namespace),
            configurations: Api::all(client.clone()),
            events: Recorder::new(client, reporter),
            names: service_names(&namespace),
            namespace,
            serving,
            state: State::default(),
            contest: Contest::default(),
            secret: None,
            configuration: None,
            reported: String::new(),
        }
    }

    /// Records the Secret as it is now, `None` when there is none.
    pub fn see_secret(&mut self, secret: Option<Secret>) {
        self.state.see_secret(secret.as_ref().map(stored));
        self.secret = secret.map(|secret| secret.metadata);
    }

    /// Records the webhook configuration as it is now, `None` when there is none.
    pub fn see_configuration(&mut self, configuration: Option<MutatingWebhookConfiguration>) {
        let bundles = configuration.as_ref().map(|it| bundles(it).collect());
        self.state.see_bundles(bundles);
        self.configuration = configuration;
    }

    /// Carries out every action that is due at this time of the wall clock.
    ///
    /// # Errors
    ///
    /// The error of the first action that failed. The certificate in use keeps being served.
    pub async fn reconcile(&mut self, now: SystemTime) -> Result<(), KeeperError> {
        let mut tried = Tried::default();
        let mut result = Ok(());
        loop {
            match self.state.next(now, tried) {
                Action::Nothing => break,
                Action::AwaitSecret => {
                    result = result.and(Err(KeeperError::NoSecret));
                    break;
                }
                Action::NoAuthority(error) => {
                    result = result.and(Err(error.clone().into()));
                    break;
                }
                Action::NoConfiguration => {
                    result = result.and(Err(KeeperError::NoConfiguration));
                    break;
                }
                Action::WriteAuthority(previous) => {
                    tried.authority = true;
                    match self.write_authority(previous, now).await {
                        Ok(written) => {
                            info!("certificate authority created");
                            self.see_secret(Some(written));
                        }
                        Err(error) if error.is_conflict() => return Ok(()),
                        // The previous one may still be valid.
                        Err(error) => result = result.and(Err(error)),
                    }
                }
                Action::WriteBundle(wanted) => {
                    tried.bundle = true;
                    result = result.and(self.update_bundle(&wanted).await);
                }
                Action::RestoreBundle(wanted) => {
                    tried.restoration = true;
                    result = result.and(self.update_bundle(&wanted).await);
                }
                Action::IssueLeaf(authority) => {
                    let issuer = authority.certificate().clone();
                    let Leaf { certified, usable } = authority.issue(&self.names, now)?;
                    self.serving.replace(certified);
                    self.state.see_leaf(Issued { issuer, usable });
                    info!("serving certificate issued");
                }
            }
        }
        self.serving.set_trusted(self.state.is_trusted());
        result
    }

    /// Creates an authority and writes it before the previous ones.
    async fn write_authority(
        &self,
        previous: Bundle,
        now: SystemTime,
    ) -> Result<Secret, KeeperError> {
        let (authority, key) = Authority::generate(now)?;
        let mut bundle = Bundle::default();
        bundle.push(authority.certificate().clone());
        bundle.merge(previous);
        let data: BTreeMap<_, _> = [(CERTIFICATE_KEY, bundle.to_pem()), (PRIVATE_KEY, key)]
            .map(|(name, value)| (name.to_owned(), ByteString(value.into_bytes())))
            .into();
        let mut written = Secret {
            data: Some(data),
            ..Secret::default()
        };
        // With the version in it, the API server refuses the write when the object has changed.
        written.metadata.resource_version = match &self.secret {
            Some(secret) => secret.resource_version.clone(),
            None => {
                let created = self.create_secret().await.map_err(KeeperError::Secret)?;
                if created.data.as_ref().is_some_and(|data| !data.is_empty()) {
                    // Another replica was faster.
                    return Ok(created);
                }
                created.metadata.resource_version
            }
        };
        let patch = Patch::Merge(&written);
        let written = self.secrets.patch(SECRET, &patch_params(), &patch).await;
        written.map_err(KeeperError::Secret)
    }

    /// Creates the Secret again, empty, after it was deleted. Server-side apply needs only a right
    /// that is limited to the Secret's name, and creates one Secret when several replicas do it.
    async fn create_secret(&self) -> Result<Secret, kube::Error> {
        let empty = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                ..ObjectMeta::default()
            },
            ..Secret::default()
        };
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER), Patch::Apply(&empty));
        self.secrets.patch(SECRET, &params, &patch).await
    }

    /// Writes a bundle and records it. After a conflict the watch brings the other replica's.
    async fn update_bundle(&mut self, wanted: &Bundle) -> Result<(), KeeperError> {
        match self.write_bundle(wanted).await {
            Ok(written) => {
                info!(authorities = wanted.len(), "caBundle written");
                self.see_configuration(Some(written));
                Ok(())
            }
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn write_bundle(
        &mut self,
        wanted: &Bundle,
    ) -> Result<MutatingWebhookConfiguration, KeeperError> {
        let Some(configuration) = &self.configuration else {
            return Err(KeeperError::NoConfiguration);
        };
        if !self.contest.may_write(Instant::now()) {
            return Err(KeeperError::Contested(writers(configuration)));
        }
        let encoded = STANDARD.encode_to_string(wanted.to_pem());
        // With the version in it, the API server refuses the write when the object has changed.
        let mut operations = vec![json!({
            "op": "replace",
            "path": "/metadata/resourceVersion",
            "value": configuration.metadata.resource_version,
        })];
        operations.extend(
            bundles(configuration)
                .enumerate()
                .filter_map(|(index, live)| {
                    (live != *wanted).then(|| {
                        json!({
                            "op": "add",
                            "path": format!("/webhooks/{index}/clientConfig/caBundle"),
                            "value": encoded,
                        })
                    })
                }),
        );
        let patch: json_patch::Patch = serde_json::from_value(operations.into())
            .map_err(|error| KeeperError::Bundle(kube::Error::SerdeError(error)))?;
        self.configurations
            .patch(CONFIGURATION, &patch_params(), &Patch::<()>::Json(patch))
            .await
            .map_err(KeeperError::Bundle)
    }

    /// Logs an error once, not at every attempt. If the webhook lacks a permission, the error becomes
    /// an event, too.
    async fn report(&mut self, result: Result<(), KeeperError>) {
        self.serving.set_degraded(result.is_err());
        let Err(error) = result else {
            self.reported.clear();
            return;
        };
        let text = error.to_string();
        if text == self.reported {
            return;
        }
        warn!(error = text, "certificates are not up to date");
        if error.is_forbidden() {
            let event = Event {
                type_: EventType::Warning,
                reason: "CertificateWriteForbidden".to_owned(),
                note: Some(text.chars().take(MAX_NOTE).collect()),
                action: "Write".to_owned(),
                secondary: None,
            };
            let secret = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: Some(SECRET.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectReference::default()
            };
            if let Err(error) = self.events.publish(&event, &secret).await {
                let error = reason(&error);
                debug!(error, "cannot write an event");
            }
        }
        self.reported = text;
    }
}

fn stored(secret: &Secret) -> Stored {
    let value = |key: &str| {
        let data = secret.data.as_ref()?;
        data.get(key).map(|it| it.0.as_slice())
    };
    let [certificate, key] =
        [CERTIFICATE_KEY, PRIVATE_KEY].map(|key| value(key).unwrap_or_default());
    Stored {
        authority: Authority::parse(certificate, key),
        bundle: Bundle::parse(certificate),
    }
}

fn bundles(configuration: &MutatingWebhookConfiguration) -> impl Iterator<Item = Bundle> + '_ {
    configuration.webhooks.iter().flatten().map(|webhook| {
        let bundle = webhook.client_config.ca_bundle.as_ref();
        bundle
            .map(|bytes| Bundle::parse(&bytes.0))
            .unwrap_or_default()
    })
}

/// The field managers of `caBundle` besides this one.
fn writers(configuration: &MutatingWebhookConfiguration) -> String {
    let entries = configuration.metadata.managed_fields.iter().flatten();
    let writes = |fields: &FieldsV1| fields.0.to_string().contains("\"f:caBundle\"");
    let names: BTreeSet<_> = entries
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(writes))
        .filter_map(|entry| entry.manager.as_deref())
        .filter(|manager| *manager != FIELD_MANAGER)
        .collect();
    if names.is_empty() {
        return "unknown".to_owned();
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn service_names(namespace: &str) -> Vec<String> {
    ["", ".svc", ".svc.cluster.local"]
        .into_iter()
        .map(|domain| format!("{SERVICE}.{namespace}{domain}"))
        .chain([SERVICE.to_owned()])
        .collect()
}

fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

const CERTIFICATE_KEY: &str = "ca.crt";
const PRIVATE_KEY: &str = "ca.key";

/// How often the wall clock is read. Certificates follow the wall clock; timers do not while a
/// machine sleeps.
const PERIOD: Duration = Duration::from_secs(15);

/// Bytes of an event's note. The API server accepts 1,024, and the texts here are nearly always
/// ASCII.
const MAX_NOTE: usize = 1_000;
