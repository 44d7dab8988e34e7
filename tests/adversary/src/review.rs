//! Mutated admission reviews: ordinary ones with hostile parts.

use contract::{annotation, label};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::cluster::{ACCOUNT, NAMESPACE};
use crate::json::{hostile, large};

/// A review, mutated in its structure, in its bytes, in both, or not at all.
pub fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut review = ordinary(rng.usize(..PODS));
    let mut parts = Vec::new();
    for _ in 0..rng.usize(..3) {
        let place = place(part(&mut review, rng), rng);
        if rng.u8(..4) == 0 {
            move_part(place, rng);
        } else {
            *place = format!("{STANDIN}{}", parts.len()).into();
            parts.push(hostile(rng));
        }
    }
    if rng.bool() {
        annotate(&mut review, rng, &mut parts);
    }
    let mut bytes = review.to_string().into_bytes();
    // Parts are malformed at times, so they are put into the text. The last first: 1 begins 10.
    for (nth, part) in parts.iter().enumerate().rev() {
        bytes = replaced(&bytes, format!("\"{STANDIN}{nth}\"").as_bytes(), part);
    }
    if rng.u8(..6) == 0 {
        damage(&mut bytes, rng);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// A hostile value that is nearly as long as a review may be, alone or somewhere in a pod.
pub fn huge(rng: &mut Rng) -> Vec<u8> {
    let value = large(LONGEST_READ, rng);
    if rng.bool() {
        return value;
    }
    let mut review = ordinary(rng.usize(..PODS));
    *place(part(&mut review, rng), rng) = STANDIN.into();
    let text = review.to_string();
    replaced(text.as_bytes(), format!("\"{STANDIN}\"").as_bytes(), &value)
}

/// An ordinary review, of one of [`PODS`] kinds of pod.
pub fn ordinary(kind: usize) -> Value {
    let annotations = match kind {
        0 => json!({}),
        1 => json!({ annotation::INJECT_PROXY_SIDECAR: "true" }),
        2 => json!({
            annotation::INJECT_PROXY_SIDECAR: "true",
            "azure.workload.identity/proxy-mode": "environment",
            "azure.workload.identity/skip-containers": "sidecar;logger",
        }),
        _ => json!({
            annotation::INJECT_PROXY_SIDECAR: "true",
            "azure.workload.identity/proxy-sidecar-port": "8081",
            "azure.workload.identity/service-account-token-expiration": "7200",
        }),
    };
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/application:v1",
            "env": [{ "name": "LEVEL", "value": "info" }],
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            "securityContext": { "runAsUser": 1000 },
        })
    };
    let mut spec = json!({
        "serviceAccountName": ACCOUNT,
        "containers": [container("application"), container("sidecar")],
        "volumes": [{ "name": "data", "emptyDir": {} }],
        "securityContext": {},
    });
    if kind == 3 {
        spec["initContainers"] = json!([container("azwi-proxy-init"), container("setup")]);
    }
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": NAMESPACE, "operation": "CREATE", "dryRun": false,
            "userInfo": { "username": "system:serviceaccount:kube-system:replicaset-controller" },
            "object": {
                "kind": "Pod", "apiVersion": "v1",
                "metadata": {
                    "generateName": "cart-5d4f8c7b9-", "namespace": NAMESPACE,
                    "labels": { label::USE: "true" }, "annotations": annotations,
                },
                "spec": spec,
            },
            "oldObject": null,
        },
    })
}

/// The part of a review to mutate: its pod, most of the time.
fn part<'a>(review: &'a mut Value, rng: &mut Rng) -> &'a mut Value {
    let is_pod = rng.u8(..4) > 0 && review.pointer(POD).is_some();
    let pointer = if is_pod { POD } else { "" };
    review.pointer_mut(pointer).expect("it was looked for")
}

/// A random place in a document, more often a deep one.
fn place<'a>(value: &'a mut Value, rng: &mut Rng) -> &'a mut Value {
    let children = match &*value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if children == 0 || rng.u8(..10) == 0 {
        return value;
    }
    let nth = rng.usize(..children);
    let child = match value {
        Value::Array(items) => items.get_mut(nth),
        Value::Object(fields) => fields.values_mut().nth(nth),
        _ => None,
    };
    place(child.expect("it was counted"), rng)
}

/// Repeats, removes or nests a part.
fn move_part(place: &mut Value, rng: &mut Rng) {
    let part = place.take();
    *place = match rng.u8(..3) {
        0 => Value::Null,
        1 => vec![part; rng.usize(..20)].into(),
        _ => json!({ "name": part.clone(), "value": part }),
    };
}

/// Adds an annotation with a hostile value to the pod.
fn annotate(review: &mut Value, rng: &mut Rng, parts: &mut Vec<Vec<u8>>) {
    let names = [
        "inject-proxy-sidecar",
        "proxy-sidecar-port",
        "skip-containers",
        "proxy-mode",
        "proxy-relay",
        "service-account-token-expiration",
        "client-id",
        "tenant-id",
        "identity-map",
        "proxy-prefetch",
        "proxy-verify",
        "injected",
        "typo",
    ];
    let name = names[rng.usize(..names.len())];
    let pod = review.pointer_mut("/request/object/metadata/annotations");
    if let Some(Value::Object(annotations)) = pod {
        let standin = format!("{STANDIN}{}", parts.len());
        annotations.insert(format!("azure.workload.identity/{name}"), standin.into());
        parts.push(hostile(rng));
    }
}

/// Changes, removes, repeats or inserts some bytes.
pub fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.usize(..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.usize(..bytes.len());
        let to = bytes.len().min(at + 1 + rng.usize(..40));
        match rng.u8(..5) {
            0 => bytes[at] = rng.u8(..),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => bytes.insert(at, rng.u8(..)),
            _ if rng.u8(..4) == 0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << rng.u8(..8),
        }
    }
}

fn replaced(bytes: &[u8], wanted: &[u8], by: &[u8]) -> Vec<u8> {
    let found = bytes
        .windows(wanted.len())
        .position(|window| window == wanted);
    match found {
        Some(at) => [&bytes[..at], by, &bytes[at + wanted.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// The number of kinds of ordinary pods.
pub const PODS: usize = 4;

/// Where the pod is in a review.
const POD: &str = "/request/object";

/// Marks where a part belongs.
const STANDIN: &str = "part-";

/// A little less than what the webhook reads.
const LONGEST_READ: usize = 7_300_000;

/// A little more than the webhook reads.
const LONGEST: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_review() {
        for seed in 0..50 {
            let again = || mutated(&mut Rng::with_seed(seed));
            assert_eq!(again(), again());
        }
    }

    #[test]
    fn some_reviews_are_json_and_others_are_not() {
        let reviews = (0..200).map(|seed| mutated(&mut Rng::with_seed(seed)));
        let parsed = reviews
            .filter(|it| serde_json::from_slice::<Value>(it).is_ok())
            .count();
        assert!((20..180).contains(&parsed), "{parsed} of 200");
    }
}
