//! One pod: its faults, and the little that is kept of it.
//!
//! A user who may create pods can make each of them more than a MiB large. Only names of limited length stay in
//! memory, and sentences about faults.

use std::sync::Arc;

use contract::{annotation, container};
use kube::Resource;
use webhook::inject::{injected_client_id, is_known_image, printable};

use super::owner::{MAX_NAME, MAX_UID, Owner};
use super::policy::Policy;
use super::version::Version;
use super::watched::{Injected, PodFields, Spec, Watched};
use crate::checks::Code;

/// What is kept of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) uid: Arc<str>,
    /// What controls it, `None` for a bare pod.
    pub(super) owner: Option<Arc<Owner>>,
    /// Its service account.
    pub(super) account: Box<str>,
    /// What it lacks, whatever its service account says.
    pub(super) faults: Box<[Fault]>,
    /// The client id that the webhook gave it and that is in use, empty if it got none. `None` if that is not
    /// known, or not used.
    pub(super) injected: Option<Box<str>>,
    /// Whether the pod names identities itself, so that it needs none of its service account.
    pub(super) names_identities: bool,
    pub(super) is_ready: bool,
    pub(super) is_ending: bool,
}

/// Something that a pod lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: Code,
    /// The cause, without control characters.
    pub(super) cause: Arc<str>,
}

impl Pod {
    /// Cuts a pod down. `None` for one that has ended, and for a static one, which never gets a token.
    pub(super) fn read(pod: &Watched, policy: &Policy) -> Option<Self> {
        let fields = &pod.fields;
        let view = View::new(fields)?;
        let controller = fields.controller.as_ref();
        let has_ended = matches!(fields.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if has_ended || controller.is_some_and(|it| it.kind == "Node") {
            return None;
        }
        let injected = view.injected();
        let names_identities = view.annotation(annotation::IDENTITY_MAP).is_some()
            || (injected.is_none() && view.client_ids().next().is_some());
        let account = view.spec.service_account_name.as_deref();
        Some(Self {
            uid: short(pod.meta().uid.as_deref(), MAX_UID).into(),
            owner: controller.and_then(Owner::read).map(Arc::new),
            account: short(account, MAX_NAME).into(),
            faults: view.faults(policy).into(),
            injected: injected.map(Into::into),
            names_identities,
            is_ready: fields.status.is_ready,
            is_ending: fields.is_ending,
        })
    }

    /// Whether it has this fault.
    pub(super) fn has(&self, code: Code) -> bool {
        self.faults.iter().any(|it| it.code == code)
    }
}

/// A pod while it is cut down.
struct View<'a> {
    pod: &'a PodFields,
    spec: &'a Spec,
}

impl<'a> View<'a> {
    fn new(pod: &'a PodFields) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        Some(Self { pod, spec })
    }

    fn annotation(&self, key: &str) -> Option<&'a str> {
        let value = self.pod.annotations.get(key)?;
        Some(value.as_str()).filter(|it| !it.trim().is_empty())
    }

    /// The injected containers, by their names.
    fn injected_containers(&self) -> impl Iterator<Item = &'a Injected> {
        let init = &self.spec.init_containers.injected;
        init.iter().chain(&self.spec.containers.injected)
    }

    /// The values of `AZURE_CLIENT_ID`.
    fn client_ids(&self) -> impl Iterator<Item = &'a str> {
        let init = &self.spec.init_containers.client_ids;
        let all = init.iter().chain(&self.spec.containers.client_ids);
        all.map(String::as_str)
    }

    /// The client id of the webhook's annotation, if a container uses it.
    fn injected(&self) -> Option<String> {
        let injected = injected_client_id(self.annotation(annotation::INJECTED)?)?;
        let mut used = self.client_ids();
        let is_used = if injected.is_empty() {
            used.next().is_none()
        } else {
            used.any(|it| it == injected)
        };
        (is_used && injected.len() <= MAX_NAME).then_some(injected)
    }

    fn has_token(&self, audiences: &[String]) -> bool {
        let mut found = self.spec.audiences.iter();
        found.any(|it| audiences.contains(it))
    }

    fn has_redirect(&self) -> bool {
        let mut init = self.spec.init_containers.injected.iter();
        init.any(|it| it.name == container::PROXY_INIT)
    }

    fn faults(&self, policy: &Policy) -> Vec<Fault> {
        // Without a token nothing was injected: the rest follows from that.
        if !self.has_token(&policy.audiences) {
            return vec![Fault::new(Code::NoToken, NO_TOKEN)];
        }
        let ours: Vec<&str> = policy.images.iter().map(String::as_str).collect();
        let is_known = |it: &Injected| is_known_image(&it.name, &it.image, &ours);
        let other = self.injected_containers().find(|it| !is_known(it));
        let other = other.map(|it| {
            let cause = format!("the image of container {} is {}", it.name, it.image);
            Fault::new(Code::OtherImage, &cause)
        });
        let outdated = policy.min_version.and_then(|min| {
            let is_old = |it: &&Injected| Version::of_image(&it.image).is_some_and(|it| it < min);
            let old = self
                .injected_containers()
                .filter(|it| is_known(it))
                .find(is_old)?;
            let cause = format!("container {} is older than {min}: {}", old.name, old.image);
            Some(Fault::new(Code::Outdated, &cause))
        });
        [self.no_proxy(), self.before_redirect(), other, outdated]
            .into_iter()
            .flatten()
            .collect()
    }

    fn no_proxy(&self) -> Option<Fault> {
        let wanted = self.annotation(annotation::INJECT_PROXY_SIDECAR)?;
        if !wanted.trim().eq_ignore_ascii_case("true") {
            return None;
        }
        let mut injected = self.injected_containers();
        let Some(proxy) = injected.find(|it| it.name == container::PROXY) else {
            return Some(Fault::new(Code::NoProxy, NO_PROXY));
        };
        // Applications find a proxy of mode environment by variables, with a secret that it has too.
        let needs_redirect = !proxy.has_identity_header;
        (needs_redirect && !self.has_redirect()).then(|| Fault::new(Code::NoProxy, NO_REDIRECT))
    }

    /// Init containers that run before the redirect.
    fn before_redirect(&self) -> Option<Fault> {
        let before = &self.spec.init_containers.first;
        let cause = format!(
            "init containers run before azwi-proxy-init: {}",
            before.join(", ")
        );
        (self.has_redirect() && !before.is_empty())
            .then(|| Fault::new(Code::BeforeRedirect, &cause))
    }
}

impl Fault {
    fn new(code: Code, cause: &str) -> Self {
        let cause = printable(cause);
        let end = cause.floor_char_boundary(MAX_CAUSE);
        Self {
            code,
            cause: cause.get(..end).unwrap_or_default().into(),
        }
    }
}

/// A name, empty if it is longer than any.
fn short(name: Option<&str>, longest: usize) -> &str {
    name.filter(|it| it.len() <= longest).unwrap_or_default()
}

const NO_TOKEN: &str =
    "the service account token is missing: made before the webhook, or while it was away";
const NO_PROXY: &str = "the proxy is missing, though annotation inject-proxy-sidecar asks for it";
const NO_REDIRECT: &str = "the proxy has no redirect: init container azwi-proxy-init is missing";

/// Bytes of a cause. An event's note may have 1,024.
const MAX_CAUSE: usize = 300;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CLIENT_ID: &str = "1b4db7eb-4057-5ddf-91e0-36dec72071f5";

    fn policy() -> Policy {
        Policy {
            audiences: vec!["api://AzureADTokenExchange".to_owned()],
            images: vec!["registry.example.com/a/proxy:v0.2.0".to_owned()],
            min_version: Some("0.2.0".parse().unwrap()),
        }
    }

    /// A pod with token, redirect and proxy, as the webhook leaves it.
    fn injected() -> Value {
        json!({
            "metadata": {
                "name": "pod",
                "uid": "u1",
                "annotations": {
                    "azure.workload.identity/inject-proxy-sidecar": "true",
                    "azure.workload.identity/injected": format!("{{\"clientId\":\"{CLIENT_ID}\",\"tenantId\":\"t\"}}"),
                },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-1", "uid": "r1", "controller": true }],
            },
            "spec": {
                "serviceAccountName": "shop",
                "initContainers": [
                    { "name": "azwi-proxy-init", "image": "registry.example.com/a/proxy:v0.2.0" },
                    {
                        "name": "azwi-proxy", "image": "registry.example.com/a/proxy:v0.2.0", "restartPolicy": "Always",
                        "env": [{ "name": "AZURE_CLIENT_ID", "value": CLIENT_ID }],
                    },
                    { "name": "own-init" },
                ],
                "containers": [{ "name": "app", "env": [{ "name": "AZURE_CLIENT_ID", "value": CLIENT_ID }] }],
                "volumes": [{ "name": "t", "projected": { "sources": [
                    { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "token" } },
                ] } }],
            },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
        })
    }

    fn read(pod: Value) -> Option<Pod> {
        Pod::read(&serde_json::from_value(pod).unwrap(), &policy())
    }

    fn codes(pod: Value) -> Vec<&'static str> {
        let pod = read(pod).unwrap();
        pod.faults.iter().map(|it| it.code.as_str()).collect()
    }

    #[test]
    fn finds_nothing_in_forms_that_the_webhook_makes() {
        assert!(codes(injected()).is_empty());
        let mut token = injected();
        token["metadata"]["annotations"] = json!({});
        token["spec"]["initContainers"] = Value::Null;
        assert!(codes(token).is_empty(), "token alone");
        let mut plain = injected();
        let proxy = plain["spec"]["initContainers"]
            .as_array_mut()
            .unwrap()
            .remove(1);
        plain["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(proxy);
        assert!(codes(plain).is_empty(), "plain sidecar");
        let mut environment = injected();
        let init = environment["spec"]["initContainers"]
            .as_array_mut()
            .unwrap();
        init.remove(0);
        init[0]["env"] = json!([{ "name": "AZWI_IDENTITY_HEADER", "value": "secret" }]);
        assert!(codes(environment).is_empty(), "mode environment");
        let mut upstream = injected();
        let images = ["proxy-init", "proxy"]
            .map(|it| format!("mcr.microsoft.com/oss/azure/workload-identity/{it}:v1.5.0"));
        for (place, image) in images.iter().enumerate() {
            upstream["spec"]["initContainers"][place]["image"] = json!(image);
        }
        assert!(codes(upstream).is_empty(), "azure-workload-identity's");
    }

    #[test]
    fn names_each_fault() {
        let mut pod = injected();
        pod["spec"]["volumes"] = Value::Null;
        pod["spec"]["initContainers"] = Value::Null;
        assert_eq!(
            codes(pod),
            ["AZWI-W005"],
            "what follows from it is left out"
        );
        let mut pod = injected();
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] =
            json!("other");
        assert_eq!(codes(pod), ["AZWI-W005"]);
        let mut pod = injected();
        pod["spec"]["initContainers"] = json!([]);
        assert_eq!(codes(pod.clone()), ["AZWI-W006"]);
        for (value, codes_of_value) in [(" TRUE", &["AZWI-W006"][..]), ("false", &[])] {
            pod["metadata"]["annotations"]["azure.workload.identity/inject-proxy-sidecar"] =
                json!(value);
            assert_eq!(codes(pod.clone()), codes_of_value, "{value}");
        }
        let mut pod = injected();
        pod["spec"]["initContainers"]
            .as_array_mut()
            .unwrap()
            .remove(0);
        assert_eq!(codes(pod), ["AZWI-W006"], "no redirect");
        let mut pod = injected();
        pod["spec"]["initContainers"]
            .as_array_mut()
            .unwrap()
            .rotate_right(1);
        assert_eq!(codes(pod), ["AZWI-W013"]);
        let mut pod = injected();
        pod["spec"]["initContainers"][1]["image"] = json!("busybox:v0.1.0");
        assert_eq!(codes(pod), ["AZWI-W014"]);
        let mut pod = injected();
        pod["spec"]["initContainers"][1]["image"] = json!("registry.example.com/a/proxy:v0.1.9");
        assert_eq!(codes(pod), ["AZWI-W012"]);
    }

    #[test]
    fn reads_which_client_id_is_in_use() {
        let injected_id = |pod| read(pod).unwrap().injected;
        assert_eq!(injected_id(injected()).as_deref(), Some(CLIENT_ID));
        let mut own = injected();
        own["spec"]["containers"][0]["env"][0]["value"] = json!("own");
        assert_eq!(injected_id(own.clone()), None, "the proxy's does not count");
        assert!(read(own).unwrap().names_identities);
        let mut mapped = injected();
        assert!(!read(mapped.clone()).unwrap().names_identities);
        mapped["metadata"]["annotations"]["azure.workload.identity/identity-map"] = json!("a=b");
        assert!(read(mapped).unwrap().names_identities);
        let mut without = injected();
        without["metadata"]["annotations"]["azure.workload.identity/injected"] = json!("{}");
        assert_eq!(injected_id(without.clone()), None, "the user's own");
        without["spec"]["containers"][0]["env"] = Value::Null;
        assert_eq!(injected_id(without).as_deref(), Some(""));
        let mut damaged = injected();
        damaged["metadata"]["annotations"]["azure.workload.identity/injected"] = json!("{");
        assert_eq!(injected_id(damaged), None);
    }

    #[test]
    fn reads_the_owner_and_what_the_pod_does() {
        let pod = read(injected()).unwrap();
        let owner = pod.owner.unwrap();
        assert_eq!((&*owner.kind, &*owner.uid), ("ReplicaSet", "r1"));
        assert_eq!((&*pod.uid, &*pod.account), ("u1", "shop"));
        assert!(pod.is_ready && !pod.is_ending);
        let mut other = injected();
        other["metadata"]["ownerReferences"][0]["controller"] = json!(false);
        other["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        other["status"]["conditions"][0]["status"] = json!("False");
        let other = read(other).unwrap();
        assert_eq!(other.owner, None, "it controls nothing");
        assert!(other.is_ending && !other.is_ready);
    }

    #[test]
    fn keeps_no_ended_and_no_static_pod() {
        for phase in ["Succeeded", "Failed"] {
            let mut pod = injected();
            pod["status"]["phase"] = json!(phase);
            assert_eq!(read(pod), None, "{phase}");
        }
        let mut pod = injected();
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("Node");
        assert_eq!(read(pod), None);
    }

    #[test]
    fn keeps_little_of_a_hostile_pod() {
        let mut pod = injected();
        let long = "x".repeat(100_000);
        pod["metadata"]["ownerReferences"][0]["kind"] = json!(long);
        pod["metadata"]["uid"] = json!(long);
        pod["spec"]["serviceAccountName"] = json!(long);
        pod["metadata"]["annotations"]["azure.workload.identity/injected"] =
            json!(format!("{{\"clientId\":\"{long}\"}}"));
        pod["spec"]["containers"][0]["env"][0]["value"] = json!(long);
        for place in 0..2 {
            pod["spec"]["initContainers"][place]["image"] = json!(format!("{long}\u{1b}"));
        }
        let init = pod["spec"]["initContainers"].as_array_mut().unwrap();
        init.splice(
            0..0,
            (0..1000).map(|_| json!({ "name": "\u{1b}".repeat(100) })),
        );
        let kept = format!("{:?}", read(pod).unwrap());
        assert!(kept.len() < 2_000, "{}", kept.len());
        assert!(!kept.contains("\\u{1b}"), "{kept}");
    }
}
