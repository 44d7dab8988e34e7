//! The webhooks that select the product's label, and what runs behind them.

use webhook::inject::Prepared;

use super::object::Object;
use super::selector::Selector;

/// All webhooks that select the product's label, and the one that runs.
#[derive(Debug, Default)]
pub struct Installation {
    /// Configurations whose webhooks are called for new pods with the label.
    pub configurations: Vec<Configuration>,
    /// The Deployment behind the first of them.
    pub deployment: Option<Deployment>,
    /// The webhook's settings, as its Deployment gives them. `None` when they are not known.
    pub settings: Option<Prepared>,
    /// The ConfigMap, and its key, with certificates that the proxies trust besides the public ones.
    pub proxy_ca: Option<(Object, String)>,
}

/// A MutatingWebhookConfiguration that selects the product's label.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// Its webhooks that select the product's label.
    pub webhooks: Vec<Webhook>,
    /// The field managers that wrote `caBundle`.
    pub bundle_managers: Vec<String>,
}

/// A webhook of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Webhook {
    /// Its name, which the API server's errors have.
    pub name: String,
    /// The Service that is called, `None` for an URL.
    pub service: Option<Service>,
    /// The namespaces in which it acts.
    pub namespace_selector: Selector,
    /// Whether pods are admitted without it while it cannot be reached.
    pub ignores_failures: bool,
    /// The state of `caBundle`.
    pub bundle: Bundle,
}

/// The Service of a webhook.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Its name.
    pub object: Object,
    /// Its state.
    pub state: Endpoints,
}

/// Whether a Service leads anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Endpoints {
    /// It could not be read.
    #[default]
    Unknown,
    /// There is no such Service.
    NoService,
    /// So many endpoints are ready.
    Ready(usize),
}

/// The state of `caBundle`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bundle {
    /// It has a certificate that is valid now.
    #[default]
    Valid,
    /// It is absent.
    Empty,
    /// It has no certificate that can be read.
    Unreadable,
    /// Every certificate in it has expired, or is not valid yet.
    Expired,
}

/// The webhook's Deployment.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Its name.
    pub object: Object,
    /// How many replicas it is to have.
    pub replicas: u32,
    /// The tag of its image, `None` for a digest alone.
    pub image_tag: Option<String>,
    /// The version that the chart wrote into its labels.
    pub chart_version: Option<String>,
}
