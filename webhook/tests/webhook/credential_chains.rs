//! Containers with variables that make SDKs pass over the workload identity.

use serde_json::{Value, json};

use crate::fixture::{CLIENT_ID, account, config, mutated, pod};

/// The warnings for a container with these variables, with and without the proxy.
fn warnings(env: &Value) -> [Vec<String>; 2] {
    ["true", "false"].map(|injects| {
        let annotations = json!({ "azure.workload.identity/inject-proxy-sidecar": injects });
        let spec = json!({ "containers": [{ "name": "app", "env": env }] });
        mutated(&pod(annotations, spec), &config(true), &account()).warnings
    })
}

fn set(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

#[test]
fn warns_about_a_credential_that_sdks_try_first() {
    let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
    let from = |name: &str| json!({ "name": name, "valueFrom": secret });
    let user = [set("AZURE_USERNAME", "a"), from("AZURE_PASSWORD")];
    for (env, variable) in [
        (
            json!([from("AZURE_CLIENT_SECRET")]),
            Some("AZURE_CLIENT_SECRET"),
        ),
        (
            json!([set("AZURE_CLIENT_SECRET", "x")]),
            Some("AZURE_CLIENT_SECRET"),
        ),
        (
            json!([set("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem")]),
            Some("AZURE_CLIENT_CERTIFICATE_PATH"),
        ),
        (json!(user), Some("AZURE_PASSWORD")),
        (json!([from("AZURE_PASSWORD")]), None),
        (json!([set("AZURE_CLIENT_SECRET", "")]), None),
        // It is not tried then.
        (
            json!([
                set("AZURE_CLIENT_SECRET", "x"),
                set("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential"),
            ]),
            None,
        ),
    ] {
        let sentence = variable.map(|name| {
            format!(
                "container app sets {name}: DefaultAzureCredential tries it before the workload \
                 identity. Remove it, or name the container in annotation \
                 azure.workload.identity/skip-containers"
            )
        });
        let expected: Vec<_> = sentence.into_iter().collect();
        assert_eq!(warnings(&env), [expected.clone(), expected], "{env}");
    }
    // A container that is left alone, and one of the webhook's names.
    let annotations = json!({ "azure.workload.identity/skip-containers": "app" });
    let env = json!([set("AZURE_CLIENT_SECRET", "x")]);
    let spec = json!({ "containers": [{ "name": "app", "env": env }, { "name": "helper" }] });
    let result = mutated(&pod(annotations, spec), &config(true), &account());
    assert_eq!(result.warnings, [] as [String; 0]);
}

#[test]
fn warns_about_another_client_id() {
    let other = "99999999-8888-7777-6666-555555555555";
    for (value, warns) in [
        (other, true),
        (CLIENT_ID, false),
        (&*CLIENT_ID.to_uppercase(), false),
        ("", false),
        ("$(ID)", false),
    ] {
        let sentence = format!(
            "container app sets AZURE_CLIENT_ID to {value:?}: it gets tokens of that identity, not of \
             the service account's"
        );
        let expected: Vec<_> = warns.then_some(sentence).into_iter().collect();
        let [with_proxy, without] = warnings(&json!([set("AZURE_CLIENT_ID", value)]));
        assert_eq!(with_proxy, expected, "{value}");
        assert_eq!(without, expected, "{value}");
    }
}

#[test]
fn warns_about_a_choice_of_credentials_that_leaves_out_the_workload_identity() {
    for (value, with_proxy, without) in [
        ("dev", true, true),
        ("Dev", true, true),
        ("EnvironmentCredential", true, true),
        ("AzureCliCredential", true, true),
        // It asks the proxy, or exchanges the token itself.
        ("ManagedIdentityCredential", false, true),
        ("prod", false, false),
        ("workloadidentitycredential", false, false),
        ("", false, false),
    ] {
        let sentence = format!(
            "container app sets AZURE_TOKEN_CREDENTIALS to {value:?}: DefaultAzureCredential does not \
             try the workload identity. Remove it, or set it to WorkloadIdentityCredential"
        );
        let expected = |warns: bool| {
            warns
                .then(|| sentence.clone())
                .into_iter()
                .collect::<Vec<_>>()
        };
        let found = warnings(&json!([set("AZURE_TOKEN_CREDENTIALS", value)]));
        assert_eq!(found, [expected(with_proxy), expected(without)], "{value}");
    }
}
