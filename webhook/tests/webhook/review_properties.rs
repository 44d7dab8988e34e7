//! Any bytes sent as a review are answered or refused, without a panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use webhook::admission::review::{Review, Verdict};
use webhook::inject::{self, Account};

use crate::fixture::{account, config, seed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn answers_or_refuses_any_bytes(body in prop::collection::vec(any::<u8>(), 0..256)) {
        answered(&body)?;
    }

    #[test]
    fn answers_or_refuses_damaged_reviews(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut body = review().to_string().into_bytes();
        for (place, byte) in damages {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if is_cut {
            body.truncate(cut.index(body.len()));
        }
        answered(&body)?;
    }

    #[test]
    fn answers_reviews_with_any_annotations(
        skip in ".*", inject in ".*", port in ".*", expiration in ".*", injected in ".*", map in ".*",
        prefetch in ".*", verify in "(warn|enforce)?.{0,3}",
        client_id in ".*", tenant_id in ".*", key in "[ -~\u{0}-\u{1f}]{0,9}",
    ) {
        let mut review = review();
        let prefix = "azure.workload.identity";
        review["request"]["object"]["metadata"]["annotations"] = json!({
            format!("{prefix}/skip-containers"): skip,
            format!("{prefix}/inject-proxy-sidecar"): inject,
            format!("{prefix}/proxy-sidecar-port"): port,
            format!("{prefix}/service-account-token-expiration"): expiration,
            format!("{prefix}/injected"): injected,
            format!("{prefix}/identity-map"): map,
            format!("{prefix}/proxy-prefetch"): prefetch,
            format!("{prefix}/proxy-verify"): verify,
            format!("{prefix}/{key}"): "",
        });
        review["request"]["object"]["spec"]["initContainers"] =
            json!([{ "name": format!("a{key}") }, { "name": "azwi-proxy-init" }]);
        let account = Account {
            client_id: client_id.into(),
            tenant_id: tenant_id.into(),
            ..Account::default()
        };
        answered_for(review.to_string().as_bytes(), &account)?;
    }
}

fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "ns",
            "operation": "CREATE",
            "object": {
                "metadata": {
                    "labels": { "azure.workload.identity/use": "true" },
                    "annotations": { "azure.workload.identity/inject-proxy-sidecar": "true" },
                },
                "spec": {
                    "containers": [{
                        "name": "app",
                        "env": [{ "name": "A", "value": "b" }],
                        "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
                        "ports": [{ "containerPort": 1 }],
                        "securityContext": { "runAsUser": 1000 },
                    }],
                    "volumes": [{ "name": "v", "projected": { "sources": [
                        { "serviceAccountToken": { "audience": "a", "path": "p" } },
                    ] } }],
                },
            },
        },
    })
}

fn answered(body: &[u8]) -> Result<(), TestCaseError> {
    answered_for(body, &account())
}

fn answered_for(body: &[u8], account: &Account) -> Result<(), TestCaseError> {
    let Ok(review) = Review::parse(body) else {
        return Ok(());
    };
    let config = config(true).into();
    let verdict = match review
        .pod()
        .map(|pod| inject::inject(pod, &config, account, &seed(), inject::PodSecurity::Unknown))
    {
        None => Verdict::Admitted {
            warnings: Vec::new(),
        },
        Some(Ok(injection)) => Verdict::Injected(injection),
        Some(Err(denial)) => {
            let message = denial.to_string();
            prop_assert!(!message.chars().any(char::is_control), "{message:?}");
            Verdict::Refused {
                code: 400,
                reason: "BadRequest",
                message,
            }
        }
    };
    let answer: Value = serde_json::from_slice(&review.answer(&verdict).unwrap()).unwrap();
    prop_assert!(answer["response"]["uid"].is_string());
    for warning in answer["response"]["warnings"]
        .as_array()
        .into_iter()
        .flatten()
    {
        prop_assert!(
            !warning.as_str().unwrap().chars().any(char::is_control),
            "{warning}"
        );
    }
    Ok(())
}
