//! Certificates of the webhook's own making.
//!
//! The authority lives in a Secret. Any replica may make it; the API server's optimistic concurrency
//! lets one win, and all use that one's. Each replica writes the authority into the webhook
//! configuration whenever it is not there, and issues its own certificate. A new authority is added
//! to the bundle before anything is signed with it, and the old one stays there until it expires: no
//! review meets a certificate that the API server does not know.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64_simd::STANDARD;
use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};

use super::Serving;
use super::authority::{Authority, AuthorityError};
use super::bundle::Bundle;
use crate::reason::reason;

/// The Secret with the authority, of the peer's name and keys.
pub const SECRET: &str = "azure-wi-webhook-server-cert";
/// The webhook configuration that gets the bundle.
pub const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// Who wrote a field, as `managedFields` and the conflicts of server-side apply tell it.
pub const FIELD_MANAGER: &str = "azure-wi-webhook";
/// The Service that the API server calls.
pub const SERVICE: &str = "azure-wi-webhook-webhook-service";

const CERTIFICATE_KEY: &str = "ca.crt";
const PRIVATE_KEY: &str = "ca.key";
/// How often the clock is looked at. Certificates follow the wall clock, timers do not when a
/// machine sleeps.
const PERIOD: Duration = Duration::from_secs(15);
/// How long every API server has to hear of a new authority before something is signed with it.
const SETTLING: Duration = Duration::from_secs(60);
/// How long the Secret must be gone before it is made anew. Whoever removes the product, or changes to
/// certificates of somebody else's, takes away the right to make it in the next moment: a Secret that
/// replicas on their way out had made would be in the way of the next installation.
const ABSENCE: Duration = Duration::from_secs(10);
/// More authorities than this are never needed at a time.
const MAX_AUTHORITIES: usize = 4;
/// The API server takes no longer note of an event; what is shown is nearly always ASCII.
const MAX_NOTE: usize = 1_000;

/// Keeps the authority, the bundle and the serving certificate right, for ever.
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
            Err(error) => Err(Trouble::Watch(error)),
        };
        keeper.tell(result).await;
    }
}

/// What keeps the certificate from being right. It is tried again.
#[derive(Debug, Error)]
pub enum Trouble {
    /// There is no authority to issue with.
    #[error("cannot make certificates: {0}")]
    Authority(#[from] AuthorityError),
    /// The Secret cannot be written.
    #[error("cannot write the certificate authority to Secret {SECRET}: {}", reason(.0))]
    Secret(#[source] kube::Error),
    /// The Secret is missing.
    #[error(
        "Secret {SECRET} is gone: it is made anew when it stays away for {} s",
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
    /// The webhook configuration is missing.
    #[error("there is no MutatingWebhookConfiguration {CONFIGURATION}: no pod reaches the webhook")]
    NoConfiguration,
    /// The API server does not tell of changes.
    #[error("certificate objects cannot be watched, trying again: {0}")]
    Watch(#[source] kube::runtime::watcher::Error),
}

impl Trouble {
    fn is_forbidden(&self) -> bool {
        let (Self::Secret(error) | Self::Bundle(error)) = self else {
            return false;
        };
        matches!(error, kube::Error::Api(status) if status.code == 403)
    }
}

/// What one replica knows of the certificates, and does about them.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    events: Recorder,
    namespace: String,
    names: Vec<String>,
    serving: Arc<Serving>,
    /// As last seen: nothing, no such object, the object.
    secret: Option<Option<Secret>>,
    configuration: Option<Option<MutatingWebhookConfiguration>>,
    absent_since: Option<SystemTime>,
    leaf: Option<Issued>,
    /// The authority that the API server trusts, and since when.
    trusted: Option<(CertificateDer<'static>, SystemTime)>,
    told: String,
}

struct Issued {
    issuer: CertificateDer<'static>,
    usable: Range<SystemTime>,
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
            secret: None,
            configuration: None,
            absent_since: None,
            leaf: None,
            trusted: None,
            told: String::new(),
        }
    }

    /// Notes the Secret as it is now, or that there is none.
    pub fn see_secret(&mut self, secret: Option<Secret>) {
        self.secret = Some(secret);
    }

    /// Notes the webhook configuration as it is now, or that there is none.
    pub fn see_configuration(&mut self, configuration: Option<MutatingWebhookConfiguration>) {
        self.configuration = Some(configuration);
    }

    /// Does what is to be done at this time of the wall clock.
    ///
    /// # Errors
    ///
    /// What could not be done. Serving goes on with what there is.
    pub async fn reconcile(&mut self, now: SystemTime) -> Result<(), Trouble> {
        let (Some(secret), Some(configuration)) = (self.secret.clone(), self.configuration.clone())
        else {
            return Ok(());
        };
        let mut trouble = Ok(());
        if !self.may_be_written(secret.as_ref(), now) {
            return Err(Trouble::NoSecret);
        }

        let mut stored = Stored::of(secret.as_ref());
        if stored
            .authority
            .as_ref()
            .map_or(true, |authority| authority.is_due(now))
        {
            match self
                .write_authority(secret.as_ref(), configuration.as_ref(), &stored, now)
                .await
            {
                Ok(written) => {
                    tracing::info!("certificate authority created");
                    stored = Stored::of(Some(&written));
                    self.secret = Some(Some(written));
                }
                // Another replica was faster: the watch brings what it wrote.
                Err(Trouble::Secret(error)) if is_conflict(&error) => return Ok(()),
                // The old one may still be good.
                Err(error) => trouble = Err(error),
            }
        }
        let authority = match stored.authority {
            Ok(authority) => authority,
            Err(error) => return trouble.and(Err(error.into())),
        };

        let mut wanted = stored.bundle;
        wanted.retain_valid(now, MAX_AUTHORITIES);
        let mut configuration = configuration;
        if let Some(current) = &configuration
            && live_bundles(current).any(|live| live != wanted)
        {
            match self.write_bundle(current, &wanted).await {
                Ok(written) => {
                    tracing::info!(authorities = wanted.len(), "caBundle written");
                    configuration = Some(written);
                    self.configuration = Some(configuration.clone());
                }
                Err(Trouble::Bundle(error)) if is_conflict(&error) => {}
                Err(error) => trouble = Err(error),
            }
        }

        self.renew_leaf(&authority, configuration.as_ref(), now)?;
        if configuration.is_none() {
            return Err(Trouble::NoConfiguration);
        }
        trouble
    }

    /// Whether the Secret is there, or has been gone for long enough.
    fn may_be_written(&mut self, secret: Option<&Secret>, now: SystemTime) -> bool {
        if secret.is_some() {
            self.absent_since = None;
            return true;
        }
        let since = *self.absent_since.get_or_insert(now);
        // A clock that was set back counts as long enough.
        now.duration_since(since).map_or(true, |it| it >= ABSENCE)
    }

    /// Issues a certificate when there is none, when it is old, and when a new authority has been
    /// trusted for long enough.
    fn renew_leaf(
        &mut self,
        authority: &Authority,
        configuration: Option<&MutatingWebhookConfiguration>,
        now: SystemTime,
    ) -> Result<(), Trouble> {
        let is_live = |certificate: &CertificateDer<'_>| {
            let mut bundles = configuration.into_iter().flat_map(live_bundles).peekable();
            bundles.peek().is_some() && bundles.all(|bundle| bundle.contains(certificate))
        };
        let current = authority.certificate();
        if !is_live(current) {
            self.trusted = None;
        } else if self
            .trusted
            .as_ref()
            .is_none_or(|(trusted, _)| trusted != current)
        {
            self.trusted = Some((current.clone(), now));
        }

        let is_due = match &self.leaf {
            None => true,
            Some(leaf) if leaf.issuer == *current => !leaf.usable.contains(&now),
            Some(leaf) => self.trusted.as_ref().is_some_and(|(_, since)| {
                !is_live(&leaf.issuer) || now.duration_since(*since).is_ok_and(|it| it >= SETTLING)
            }),
        };
        if is_due {
            let leaf = authority.issue(&self.names, now)?;
            self.serving.replace(leaf.certified);
            self.leaf = Some(Issued {
                issuer: current.clone(),
                usable: leaf.usable,
            });
            tracing::info!("serving certificate issued");
        }
        self.serving
            .set_trusted(self.leaf.as_ref().is_some_and(|leaf| is_live(&leaf.issuer)));
        Ok(())
    }

    /// Makes an authority and writes it before the ones that replicas may still serve with.
    async fn write_authority(
        &self,
        secret: Option<&Secret>,
        configuration: Option<&MutatingWebhookConfiguration>,
        stored: &Stored,
        now: SystemTime,
    ) -> Result<Secret, Trouble> {
        let (authority, key) = Authority::generate(now)?;
        let mut bundle = Bundle::default();
        bundle.push(authority.certificate().clone());
        bundle.merge(stored.bundle.clone());
        configuration
            .into_iter()
            .flat_map(live_bundles)
            .for_each(|live| bundle.merge(live));
        bundle.retain_valid(now, MAX_AUTHORITIES);

        let data: BTreeMap<_, _> = [(CERTIFICATE_KEY, bundle.to_pem()), (PRIVATE_KEY, key)]
            .map(|(name, value)| (name.to_owned(), ByteString(value.into_bytes())))
            .into();
        let mut written = Secret {
            data: Some(data),
            ..Secret::default()
        };
        let made;
        let secret = match secret {
            Some(secret) => secret,
            None => {
                made = self.make_secret().await.map_err(Trouble::Secret)?;
                if made.data.as_ref().is_some_and(|data| !data.is_empty()) {
                    // Another replica was faster.
                    return Ok(made);
                }
                &made
            }
        };
        // With the version in it, the API server refuses it when the object has changed.
        written.metadata.resource_version = secret.metadata.resource_version.clone();
        let patch = Patch::Merge(&written);
        let written = self.secrets.patch(SECRET, &patch_params(), &patch).await;
        written.map_err(Trouble::Secret)
    }

    /// Makes the Secret anew, empty, where somebody has deleted it. Server-side apply does that with a
    /// right that is limited to its name, and not twice when several replicas do it.
    async fn make_secret(&self) -> Result<Secret, kube::Error> {
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

    async fn write_bundle(
        &self,
        configuration: &MutatingWebhookConfiguration,
        wanted: &Bundle,
    ) -> Result<MutatingWebhookConfiguration, Trouble> {
        let encoded = STANDARD.encode_to_string(wanted.to_pem());
        // As above: no write over what somebody else wrote.
        let mut operations = vec![json!({
            "op": "replace",
            "path": "/metadata/resourceVersion",
            "value": configuration.metadata.resource_version,
        })];
        operations.extend(
            live_bundles(configuration)
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
            .map_err(|error| Trouble::Bundle(kube::Error::SerdeError(error)))?;
        self.configurations
            .patch(CONFIGURATION, &patch_params(), &Patch::<()>::Json(patch))
            .await
            .map_err(Trouble::Bundle)
    }

    /// Tells of trouble once, not at every attempt: in the log, and by an event where the operator
    /// has to allow something.
    async fn tell(&mut self, result: Result<(), Trouble>) {
        self.serving.set_troubled(result.is_err());
        let Err(trouble) = result else {
            self.told.clear();
            return;
        };
        let text = trouble.to_string();
        if text == self.told {
            return;
        }
        tracing::warn!("{text}");
        if trouble.is_forbidden() {
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
                tracing::debug!("no event written: {error}");
            }
        }
        self.told = text;
    }
}

/// What the Secret holds.
struct Stored {
    authority: Result<Authority, AuthorityError>,
    bundle: Bundle,
}

impl Stored {
    fn of(secret: Option<&Secret>) -> Self {
        let data = secret.and_then(|secret| secret.data.as_ref());
        let value = |key: &str| {
            data.and_then(|data| data.get(key))
                .map(|it| it.0.as_slice())
        };
        let [certificate, key] =
            [CERTIFICATE_KEY, PRIVATE_KEY].map(|key| value(key).unwrap_or_default());
        Self {
            authority: Authority::parse(certificate, key),
            bundle: Bundle::parse(certificate),
        }
    }
}

fn live_bundles(configuration: &MutatingWebhookConfiguration) -> impl Iterator<Item = Bundle> + '_ {
    configuration.webhooks.iter().flatten().map(|webhook| {
        let bundle = webhook.client_config.ca_bundle.as_ref();
        bundle
            .map(|bytes| Bundle::parse(&bytes.0))
            .unwrap_or_default()
    })
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

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
