//! The emulated Azure, and a sidecar with an identity that is registered there.

use std::sync::LazyLock;
use std::time::SystemTime;

use azure_emulator::{Application, Azure, Issuer, Options, Resource, SigningKey, Tenant};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::entra::Entra;
use crate::sidecar::{AUDIENCE, CLIENT, ISSUER, SUBJECT, Sidecar, TENANT, TokenFile, config};

/// The cluster's key, made once: an RSA key takes a second.
static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

/// Emulated Azure and a sidecar.
pub(crate) struct World {
    pub(crate) azure: Azure,
    pub(crate) sidecar: Sidecar,
}

impl World {
    /// Starts both; [`CLIENT`] has a federated credential for [`SUBJECT`].
    pub(crate) async fn start() -> Self {
        let azure = Azure::start(Options::default()).await.unwrap();
        register(&azure, AUDIENCE).await;
        let token_file = TokenFile::new();
        std::fs::write(&token_file.0, assertion(SUBJECT, AUDIENCE)).unwrap();
        let flags = [
            format!("--authority-host={}", azure.entra_url()),
            format!("--ca-data={}", azure.ca_pem),
        ];
        let unused = Entra::start("localhost").await;
        let mut config = config(&unused, &token_file, &flags.each_ref().map(String::as_str));
        config.metrics_port = Some(0);
        let sidecar = Sidecar::start_with(config, token_file).await;
        Self { azure, sidecar }
    }

    /// Registers a resource, so that Entra grants tokens for it.
    pub(crate) async fn add_resource(&self, identifier: &str) {
        let resource = Resource {
            identifiers: vec![identifier.to_owned()],
        };
        self.azure.control.add_resource(&resource).await.unwrap();
    }

    /// The number of token requests for this resource.
    pub(crate) async fn exchanges(&self, resource: &str) -> usize {
        let scope = format!("{resource}/.default");
        let all = self.azure.control.requests(None).await.unwrap();
        let of_it = |scope: &Option<String>, wanted: &String| scope.as_ref() == Some(wanted);
        all.iter().filter(|it| of_it(&it.scope, &scope)).count()
    }
}

/// A tenant with one identity that the cluster's service account is bound to.
pub(crate) async fn register(azure: &Azure, audience: &str) {
    let control = &azure.control;
    control.add_tenant(&Tenant::new(TENANT)).await.unwrap();
    let issuer = Issuer {
        issuer: ISSUER.to_owned(),
        jwks: Some(KEY.key_set()),
        ..Issuer::default()
    };
    control.add_issuer(&issuer).await.unwrap();
    let application: Application = serde_json::from_value(json!({
        "tenant": TENANT,
        "client_id": CLIENT,
        "federated_credentials": [
            { "issuer": ISSUER, "subject": SUBJECT, "audiences": [audience] },
        ],
    }))
    .unwrap();
    control.add_application(&application).await.unwrap();
}

/// A signed service account token.
pub(crate) fn assertion(subject: &str, audience: &str) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600,
    });
    KEY.sign(&claims).unwrap()
}

/// The claims of a token.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
