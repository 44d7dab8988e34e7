//! Warnings about keys and values that are probably mistaken. The pod is admitted with them.

use contract::value::{Tenant, Verify, is_guid};
use contract::{annotation as key, label};

use crate::inject::feedback::denial::Shown;
use crate::inject::feedback::warnings::Warnings;
use crate::inject::input::account::Account;
use crate::inject::input::pod::Pod;
use crate::inject::policy::config::Config;

use super::options::{PodOptions, Restriction};

/// Warns about mistakes on the service account first, then about those on the pod.
pub(crate) fn warn(
    pod: &Pod<'_>,
    config: &Config,
    account: &Account,
    options: &PodOptions<'_>,
    warnings: &mut Warnings,
) {
    warn_about_account(pod.service_account(), account, warnings);
    warn_about_pod(pod, config, warnings);
    warn_about_namespace(options, warnings);
    warn_about_proxy(pod, options, warnings);
    if pod.has_annotation(key::INJECT_PROXY_SIDECAR)
        && pod.annotation(key::INJECT_PROXY_SIDECAR).is_none()
    {
        // Upstream adds the sidecar whenever the annotation is there.
        warnings.push(|| {
            format!(
                "pod: annotation {} is empty: no sidecar is added",
                key::INJECT_PROXY_SIDECAR
            )
        });
    }
    options.skipped.warn(options.proxy.is_some(), warnings);
}

/// Warns about annotations that have no effect, or less than their value says.
fn warn_about_proxy(pod: &Pod<'_>, options: &PodOptions<'_>, warnings: &mut Warnings) {
    if options.proxy.is_none() {
        let of_proxy = [key::PROXY_MODE, key::PROXY_PREFETCH, key::PROXY_VERIFY];
        for annotation in of_proxy
            .into_iter()
            .filter(|it| pod.annotation(it).is_some())
        {
            warnings.push(|| {
                format!(
                    "pod: annotation {annotation} has no effect without {}: \"true\"",
                    key::INJECT_PROXY_SIDECAR
                )
            });
        }
        return;
    }
    let verify = pod.annotation(key::PROXY_VERIFY);
    let verify = verify.and_then(|text| text.parse().ok());
    if verify.is_some_and(|verify: Verify| options.verify != Some(verify)) {
        warnings.push(|| {
            format!(
                "pod: annotation {}: \"enforce\" needs a native sidecar, and this cluster's is a plain \
                 container: it acts as \"warn\"",
                key::PROXY_VERIFY
            )
        });
    }
}

fn warn_about_account(name: &str, account: &Account, warnings: &mut Warnings) {
    if !account.client_id.is_empty() && !is_guid(&account.client_id) {
        warnings.push(|| {
            format!(
                "service account {name} has annotation {} with value {}: that is not a client id \
                 (a GUID)",
                key::CLIENT_ID,
                Shown::new(&account.client_id)
            )
        });
    }
    if !account.tenant_id.is_empty() && account.tenant_id.parse::<Tenant>().is_err() {
        warnings.push(|| {
            format!(
                "service account {name} has annotation {} with value {}: that is not a tenant (a \
                 GUID or a domain)",
                key::TENANT_ID,
                Shown::new(&account.tenant_id)
            )
        });
    }
    for unknown in &account.unknown {
        warnings.push(|| {
            let hint = hint(unknown, ACCOUNT_KEYS, POD_KEYS, "it belongs on the pod");
            format!("service account {name}: unknown annotation {unknown}{hint}")
        });
    }
}

/// Both entries of the webhook configuration give the same sentence, which kubectl shows once.
fn warn_about_namespace(options: &PodOptions<'_>, warnings: &mut Warnings) {
    match options.restriction {
        None => {}
        Some(Restriction::ChoosesEnvironment) => warnings.push(|| {
            format!(
                "the namespace's Pod Security level ({enforce}) refuses NET_ADMIN: the sidecar is added in mode \
                 environment, in which 169.254.169.254 is the node's own metadata service. Annotation \
                 {key}: \"environment\" or \"redirect\" of the pod chooses, and ends this warning",
                enforce = label::POD_SECURITY_ENFORCE,
                key = key::PROXY_MODE
            )
        }),
        Some(Restriction::RefusesRedirect) => warnings.push(|| {
            format!(
                "the namespace's Pod Security level ({enforce}) refuses azwi-proxy-init, which mode redirect needs: \
                 the pod will not be created. Set annotation {key} to \"environment\", or change the level",
                enforce = label::POD_SECURITY_ENFORCE,
                key = key::PROXY_MODE
            )
        }),
    }
}

fn warn_about_pod(pod: &Pod<'_>, config: &Config, warnings: &mut Warnings) {
    for name in pod.metadata.annotations.iter().flat_map(|it| it.own_keys()) {
        let bindings = config.bindings.as_ref();
        let is_known = POD_KEYS.contains(&name)
            || bindings.is_some_and(|bindings| bindings.annotation == name);
        if !is_known {
            warnings.push(|| format!("pod: unknown annotation {name}{}", hint_for_pod(name)));
        }
    }
    for name in pod.metadata.labels.iter().flat_map(|it| it.own_keys()) {
        if name != label::USE {
            warnings.push(|| format!("pod: unknown label {name}"));
        }
    }
}

fn hint_for_pod(name: &str) -> String {
    if name == label::USE {
        return ": it is a label".to_owned();
    }
    let suffix = name.strip_prefix(label::USE);
    if suffix.is_some_and(|suffix| suffix.starts_with('-')) {
        return ": the webhook is not configured for identity bindings of this name".to_owned();
    }
    let elsewhere = "it belongs on the service account";
    hint(name, POD_KEYS, ACCOUNT_KEYS, elsewhere)
}

/// The likely mistake: a key that belongs on the other object, or a misspelled one.
fn hint(name: &str, keys: &[&str], keys_elsewhere: &[&str], elsewhere: &str) -> String {
    if keys_elsewhere.contains(&name) {
        return format!(": {elsewhere}");
    }
    const MAX_DISTANCE: usize = 3;
    // In bytes. Keys in a review are not validated yet, and the distance takes quadratic time.
    const MAX_LENGTH: usize = 128;
    if name.len() > MAX_LENGTH {
        return String::new();
    }
    let close = keys.iter().map(|key| (strsim::levenshtein(name, key), key));
    match close
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min()
    {
        Some((_, key)) => format!(": did you mean {key}?"),
        None => String::new(),
    }
}

const POD_KEYS: &[&str] = &[
    key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
    key::SKIP_CONTAINERS,
    key::INJECT_PROXY_SIDECAR,
    key::PROXY_SIDECAR_PORT,
    key::PROXY_MODE,
    key::PROXY_PREFETCH,
    key::PROXY_VERIFY,
    key::IDENTITY_MAP,
    key::PROXY_CPU_LIMIT,
    key::PROXY_LINGER_SECONDS,
    key::PROXY_QUIT,
    key::PROXY_CPU_REQUEST,
    key::PROXY_EPHEMERAL_STORAGE_LIMIT,
    key::PROXY_EPHEMERAL_STORAGE_REQUEST,
    key::PROXY_MEMORY_LIMIT,
    key::PROXY_MEMORY_REQUEST,
    key::INJECTED,
];

const ACCOUNT_KEYS: &[&str] = &[
    key::CLIENT_ID,
    key::TENANT_ID,
    key::SERVICE_ACCOUNT_TOKEN_EXPIRATION,
];
