//! The emulated Azure beside the test node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use azure_emulator::{Application, Control, FederatedCredential, Vault};

use crate::{ISSUER, Namespace, TENANT};

/// A managed identity that Entra knows, with a federated credential for a service account.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The client id, a GUID.
    pub client_id: String,
}

/// A client of the emulated Azure's control API.
///
/// # Panics
///
/// When the test does not run on the test node.
pub fn control() -> Control {
    let url = std::env::var("AZURE_CONTROL").expect("`make e2e` runs these tests on a test node");
    let address = url
        .trim_start_matches("http://")
        .parse()
        .expect("it is http://ADDRESS:PORT");
    Control::new(address).expect("the address is valid")
}

impl Identity {
    /// Registers an identity with a federated credential for a service account.
    pub async fn register(namespace: &Namespace, service_account: &str) -> Self {
        Self::register_as(&new_guid(), namespace, service_account).await
    }

    /// The same, with a client id of the caller's choice.
    pub async fn register_as(
        client_id: &str,
        namespace: &Namespace,
        service_account: &str,
    ) -> Self {
        let credential =
            FederatedCredential::service_account(ISSUER, namespace.name(), service_account);
        Self::register_with(client_id, credential).await
    }

    /// The same, with a credential of the caller's choice.
    pub async fn register_with(client_id: &str, credential: FederatedCredential) -> Self {
        let identity = Self {
            client_id: client_id.to_owned(),
        };
        let application = Application {
            tenant: TENANT.into(),
            client_id: identity.client_id.clone(),
            federated_credentials: vec![credential],
            ..Application::default()
        };
        control()
            .add_application(&application)
            .await
            .expect("the emulator accepts the identity");
        identity
    }

    /// Makes a vault with one secret that this identity alone may read, and returns its URL.
    pub async fn vault(&self, name: &str, secret: &str, value: &str) -> String {
        let vault = Vault {
            name: name.into(),
            tenant: TENANT.into(),
            readers: vec![self.client_id.clone()],
            secrets: [(secret.to_owned(), value.to_owned())].into(),
        };
        control()
            .add_vault(&vault)
            .await
            .expect("the emulator accepts the vault");
        format!("https://{name}.vault.azure.net")
    }
}

/// A GUID that no other test uses.
fn new_guid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is past 1970");
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{:08x}-0000-4000-8000-{:012x}",
        count,
        now.as_nanos() as u64 & 0xffff_ffff_ffff
    )
}
