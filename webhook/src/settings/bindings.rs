//! Identity bindings: the flags and the variables `AZURE_KUBERNETES_*`.

use contract::value::{CaData, CaDataError, ServerName, TokenProxy};
use contract::variable::literal;
use contract::{label, token, variable};
use service_kit::settings::{Mistakes, Setting};

use super::variables::Variables;
use crate::inject::{self, Bindings, CaSource, LabelSelectorError};

/// Reads the settings of identity bindings. `None` if they are not used, or after a mistake was added.
pub(super) fn read(
    variables: &Variables<'_>,
    suffix: Option<Setting<String>>,
    audience: Option<Setting<String>>,
    mistakes: &mut Mistakes,
) -> Option<Bindings> {
    let suffix = suffix.map(|it| it.text().to_owned());
    let audience = audience.map(|it| it.text().to_owned());
    let (suffix, audience) = match (suffix, audience) {
        (Some(suffix), Some(audience)) => (suffix, audience),
        (None, None) => return None,
        _ => {
            mistakes.add(
                "--custom-token-endpoint-annotation-suffix and --custom-token-endpoint-audience: \
                 give both or neither",
            );
            return None;
        }
    };
    if !makes_annotation(&suffix) {
        mistakes.add(format!(
            "--custom-token-endpoint-annotation-suffix={suffix}: {}-{suffix} is no annotation. Use at most \
             {MAX_SUFFIX} letters, digits, -, _ and ., and a letter or digit at the end",
            label::USE
        ));
    }
    // In any case, as upstream.
    if audience.eq_ignore_ascii_case(token::DEFAULT_AUDIENCE) {
        mistakes.add(format!(
            "--custom-token-endpoint-audience: it must differ from the default audience, {}",
            token::DEFAULT_AUDIENCE
        ));
    }
    let token_proxy: Option<TokenProxy> =
        variables.read(variable::KUBERNETES_TOKEN_PROXY, mistakes);
    let server_name: Option<ServerName> = variables.read(variable::KUBERNETES_SNI_NAME, mistakes);
    let ca = ca_source(variables, mistakes);
    let ca_data = ca_data(variables, mistakes);
    if ca.is_some() && ca_data.is_some() {
        mistakes.add(format!(
            "{}, a ConfigMap and a ClusterTrustBundle exclude each other: the SDKs accept one",
            variable::KUBERNETES_CA_DATA
        ));
    }
    if variables.text(variable::KUBERNETES_TOKEN_PROXY).is_none()
        && (server_name.is_some() || ca.is_some() || ca_data.is_some())
    {
        mistakes.add(format!(
            "{} is not set, but a server name or certificate authority for it is: the SDKs refuse that. Set all \
             or none, so that each pod sets its own",
            variable::KUBERNETES_TOKEN_PROXY
        ));
    }
    let environment = [
        (
            variable::KUBERNETES_TOKEN_PROXY,
            token_proxy.map(|proxy| proxy.to_string()),
        ),
        (
            variable::KUBERNETES_SNI_NAME,
            server_name.map(|name| name.to_string()),
        ),
        // Unlike upstream's, only if the file exists: SDKs refuse a file and data together.
        (
            variable::KUBERNETES_CA_FILE,
            ca.is_some().then(|| inject::CA_FILE.to_owned()),
        ),
        (
            variable::KUBERNETES_CA_DATA,
            ca_data.map(|data| data.to_string()),
        ),
    ];
    Some(Bindings {
        annotation: format!("{}-{suffix}", label::USE),
        audience,
        environment: environment
            .into_iter()
            .filter_map(|(name, value)| Some((name, literal(&value?))))
            .collect(),
        ca,
    })
}

/// Whether `azure.workload.identity/use-<suffix>` is a key that the API server accepts.
fn makes_annotation(suffix: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    suffix.len() <= MAX_SUFFIX
        && suffix.bytes().all(is_allowed)
        && suffix
            .bytes()
            .last()
            .is_some_and(|it| it.is_ascii_alphanumeric())
}

/// The name of an annotation has 63 characters at most, and this one begins with `use-`.
const MAX_SUFFIX: usize = 63 - "use-".len();

/// The error does not repeat the value, which has many lines.
fn ca_data(variables: &Variables<'_>, mistakes: &mut Mistakes) -> Option<CaData> {
    const NAME: &str = variable::KUBERNETES_CA_DATA;
    let data = variables.text(NAME)?.parse();
    mistakes.keep(data.map_err(|error: CaDataError| format!("{NAME}: {error}")))
}

fn ca_source(variables: &Variables<'_>, mistakes: &mut Mistakes) -> Option<CaSource> {
    const CONFIG_MAP: &str = "AZURE_KUBERNETES_CA_CONFIGMAP_NAME";
    const SIGNER: &str = "AZURE_KUBERNETES_CA_CTB_SIGNER_NAME";
    const SELECTOR: &str = "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR";

    let config_map = variables.text(CONFIG_MAP);
    let bundle = match (variables.text(SIGNER), variables.text(SELECTOR)) {
        (None, None) => None,
        (Some(signer_name), Some(selector)) => {
            let selector = selector
                .parse()
                .map_err(|error: LabelSelectorError| format!("{SELECTOR}={selector}: {error}"));
            mistakes
                .keep(selector)
                .map(|selector| CaSource::ClusterTrustBundle {
                    selector,
                    signer_name,
                })
        }
        _ => {
            mistakes.add(format!("{SIGNER} and {SELECTOR}: give both or neither"));
            None
        }
    };
    if config_map.is_some() && bundle.is_some() {
        mistakes.add(format!("{CONFIG_MAP} and {SIGNER} exclude each other"));
    }
    config_map.map(CaSource::ConfigMap).or(bundle)
}
