//! Identity bindings: the flags and the variables `AZURE_KUBERNETES_*`.

use std::collections::BTreeMap;

use contract::{label, variable};

use super::Reader;
use crate::inject::{self, Bindings, CaSource};

/// Reads them. Both flags or neither.
pub(super) fn read(
    reader: &mut Reader<'_>,
    suffix: Option<String>,
    audience: Option<String>,
) -> Option<Bindings> {
    let (suffix, audience) = match (suffix, audience) {
        (Some(suffix), Some(audience)) => (suffix, audience),
        (None, None) => return None,
        _ => {
            reader.mistake(
                "--custom-token-endpoint-annotation-suffix and --custom-token-endpoint-audience: \
                 give both or neither",
            );
            return None;
        }
    };
    let token_proxy = reader.required(
        variable::KUBERNETES_TOKEN_PROXY,
        "the token proxy's address",
    );
    if !token_proxy.is_empty() && !token_proxy.starts_with("https://") {
        reader.mistake(format!(
            "{}={token_proxy}: it must begin with https://",
            variable::KUBERNETES_TOKEN_PROXY
        ));
    }
    let ca = ca_source(reader);
    let ca_data = reader.variable(variable::KUBERNETES_CA_DATA);
    if ca.is_some() && ca_data.is_some() {
        reader.mistake(format!(
            "{}, a ConfigMap and a ClusterTrustBundle exclude each other: the SDKs take one",
            variable::KUBERNETES_CA_DATA
        ));
    }
    let environment = [
        (variable::KUBERNETES_TOKEN_PROXY, Some(token_proxy)),
        (
            variable::KUBERNETES_SNI_NAME,
            reader.variable(variable::KUBERNETES_SNI_NAME),
        ),
        // Unlike the peer's, only where the file exists: SDKs refuse both at once.
        (
            variable::KUBERNETES_CA_FILE,
            ca.is_some().then(|| inject::CA_FILE.to_owned()),
        ),
        (variable::KUBERNETES_CA_DATA, ca_data),
    ];
    Some(Bindings {
        annotation: format!("{}-{suffix}", label::USE),
        audience,
        environment: environment
            .into_iter()
            .filter_map(|(name, it)| Some((name, it?)))
            .collect(),
        ca,
    })
}

fn ca_source(reader: &mut Reader<'_>) -> Option<CaSource> {
    const CONFIG_MAP: &str = "AZURE_KUBERNETES_CA_CONFIGMAP_NAME";
    const SIGNER: &str = "AZURE_KUBERNETES_CA_CTB_SIGNER_NAME";
    const SELECTOR: &str = "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR";

    let config_map = reader.variable(CONFIG_MAP);
    let bundle = match (reader.variable(SIGNER), reader.variable(SELECTOR)) {
        (None, None) => None,
        (Some(signer_name), Some(selector)) => {
            let labels = labels(&selector);
            if labels.is_none() {
                reader.mistake(format!(
                    "{SELECTOR}={selector}: write it as key=value,key=value"
                ));
            }
            Some(CaSource::ClusterTrustBundle {
                labels: labels.unwrap_or_default(),
                signer_name,
            })
        }
        _ => {
            reader.mistake(format!("{SIGNER} and {SELECTOR}: give both or neither"));
            None
        }
    };
    if config_map.is_some() && bundle.is_some() {
        reader.mistake(format!("{CONFIG_MAP} and {SIGNER} exclude each other"));
    }
    config_map.map(CaSource::ConfigMap).or(bundle)
}

fn labels(selector: &str) -> Option<BTreeMap<String, String>> {
    let pairs = selector.split(',').map(|term| {
        let (name, value) = term.split_once('=')?;
        // Kubernetes takes `==` too.
        let value = value.strip_prefix('=').unwrap_or(value);
        let is_equality = !name.trim_end().ends_with('!') && !name.trim().is_empty();
        is_equality.then(|| (name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let labels = |text| labels(text).map(|it| it.into_iter().collect::<Vec<_>>());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            labels("a=b, c==d"),
            Some(vec![pair("a", "b"), pair("c", "d")])
        );
        assert_eq!(labels("a"), None);
        assert_eq!(labels("a!=b"), None);
        assert_eq!(labels("a in (b,c)"), None);
    }
}
