//! The chart's default settings. The fuzz targets use this file, too.

use webhook::inject::{Config, Mode, Resources, SeccompProfile, Sidecar};

pub(crate) const CLIENT_ID: &str = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";
pub(crate) const TENANT_ID: &str = "11111111-2222-3333-4444-555555555555";

/// The chart's default settings.
pub(crate) fn config(native: bool) -> Config {
    let resources = |memory: &str| Resources {
        requests: [("memory".to_owned(), memory.to_owned())].into(),
        ..Resources::default()
    };
    Config {
        audience: "api://AzureADTokenExchange".to_owned(),
        authority_host: "https://login.microsoftonline.com/".to_owned(),
        tenant_id: TENANT_ID.to_owned(),
        sidecar: Sidecar {
            image: "registry.example.com/proxy:v1".to_owned(),
            init_image: "registry.example.com/proxy:v1".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            log_level: "info".to_owned(),
            metrics_port: None,
            mode: Mode::Redirect,
            native,
            resources: resources("16Mi"),
            init_net_raw: false,
            linger_seconds: None,
            quit: false,
            init_resources: resources("8Mi"),
            seccomp_profile: SeccompProfile::RuntimeDefault,
            environment: vec![("AZWI_CA_DATA", "PEM".to_owned())],
        },
        bindings: None,
    }
}
