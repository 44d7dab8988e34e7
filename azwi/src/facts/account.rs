//! Service accounts.

use std::collections::BTreeMap;

use webhook::inject;

/// A service account, as the webhook reads it.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The webhook's own view: the product's annotations.
    pub view: inject::Account,
    /// Whether it was not read, but is taken to be in the cluster with a client id.
    pub is_assumed: bool,
}

impl Account {
    /// Reads the annotations and labels of the product.
    #[must_use]
    pub fn read(annotations: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> Self {
        Self {
            view: inject::Account::read(annotations, labels).unwrap_or_default(),
            is_assumed: false,
        }
    }

    /// The client id, empty without the annotation.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.view.client_id
    }
}
