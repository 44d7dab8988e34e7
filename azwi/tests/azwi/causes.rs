//! Every code: a healthy cluster has none, and a cluster with one fault has its code alone, at the right
//! object.

use azwi::checks::{self, Code, Finding, Severity};
use azwi::facts::Facts;
use azwi::facts::read::{self, Scope};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::api_server::{Cluster, DryRun};
use crate::fixture::{
    CLIENT_ID, CONFIGURATION, SYSTEM, account, healthy, owned, pod, template, unlabelled, workload,
};

pub(crate) async fn facts(cluster: Cluster, scope: &Scope) -> Facts {
    let address = cluster.start().await;
    let config = Config::new(format!("http://{address}").parse().unwrap());
    read::read(Client::try_from(config).unwrap(), scope).await
}

/// What is found in the whole cluster, information left out.
pub(crate) async fn findings(cluster: Cluster) -> Vec<Finding> {
    let facts = facts(cluster, &Scope::default()).await;
    assert_eq!(facts.gaps, []);
    let mut findings = checks::all(&facts);
    findings.retain(|it| it.code.severity() != Severity::Information);
    findings
}

async fn of_deployment(cluster: Cluster) -> Vec<Finding> {
    let scope = Scope {
        namespace: Some("prod".to_owned()),
        target: Some(("deployment".to_owned(), "shop".to_owned())),
        ..Scope::default()
    };
    let facts = facts(cluster, &scope).await;
    assert_eq!(facts.gaps, []);
    checks::all(&facts)
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    *object
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer}")) = value;
}

/// The webhook injects a native sidecar from 1.32 on, which `enforce` needs.
#[tokio::test]
async fn the_sidecars_form_is_that_of_the_api_servers_version() {
    for (minor, codes) in [(34, vec![]), (31, vec![Code::Warned])] {
        let mut cluster = healthy();
        cluster.minor = Some(minor);
        set(
            cluster.get("Deployment", "shop"),
            "/spec/template/metadata/annotations",
            json!({
                "azure.workload.identity/inject-proxy-sidecar": "true",
                "azure.workload.identity/proxy-verify": "enforce",
            }),
        );
        let pod = &mut cluster.get("Pod", "shop-1-a")["spec"];
        pod["initContainers"] = json!([{ "name": "azwi-proxy", "image": "proxy" }]);
        let found: Vec<Code> = findings(cluster).await.iter().map(|it| it.code).collect();
        assert_eq!(found, codes, "{minor}");
    }
}

#[tokio::test]
async fn finds_nothing_in_a_healthy_cluster() {
    assert_eq!(findings(healthy()).await, []);
}

pub(crate) type Fault = (Code, &'static str, fn(&mut Cluster));

/// The code, the object that is named, and the fault.
pub(crate) const FAULTS: &[Fault] = &[
    (
        Code::NoWebhook,
        "MutatingWebhookConfiguration azure-wi-webhook-mutating-webhook-configuration",
        |it| {
            it.remove("MutatingWebhookConfiguration", CONFIGURATION);
        },
    ),
    (
        Code::NoService,
        "Service azure-workload-identity-system/azure-wi-webhook-webhook-service",
        |it| {
            it.remove("Service", "azure-wi-webhook-webhook-service");
        },
    ),
    (
        Code::NoEndpoint,
        "Service azure-workload-identity-system/azure-wi-webhook-webhook-service",
        |it| {
            set(
                it.get("EndpointSlice", "slice"),
                "/endpoints/0/conditions/ready",
                json!(false),
            );
        },
    ),
    (
        Code::Bundle,
        "MutatingWebhookConfiguration azure-wi-webhook-mutating-webhook-configuration",
        |it| {
            set(
                it.get("MutatingWebhookConfiguration", CONFIGURATION),
                "/webhooks/0/clientConfig/caBundle",
                json!(""),
            );
        },
    ),
    (
        Code::SecondWebhook,
        "MutatingWebhookConfiguration aks-managed",
        |it| {
            let mut second = it
                .get("MutatingWebhookConfiguration", CONFIGURATION)
                .clone();
            second["metadata"]["name"] = json!("aks-managed");
            it.objects.push(second);
        },
    ),
    (Code::Label, "Deployment prod/shop", |it| {
        let shop = it.get("Deployment", "shop");
        set(
            shop,
            "/spec/template/metadata/labels",
            json!({ "app": "shop" }),
        );
        it.remove("Pod", "shop-1-a");
    }),
    (Code::Label, "CronJob prod/nightly", |it| {
        let nightly = it.get("CronJob", "nightly");
        set(
            nightly,
            "/spec/jobTemplate/spec/template/metadata/labels",
            json!({ "azure.workload.identity/use": "True" }),
        );
    }),
    (Code::Label, "Rollout prod/rollout", |it| {
        let pod = it.get("Pod", "rollout-1");
        set(pod, "/metadata/labels", json!({}));
        set(pod, "/spec/volumes", json!([]));
    }),
    (Code::Denied, "Deployment prod/shop", |it| {
        let shop = it.get("Deployment", "shop");
        set(
            shop,
            "/spec/template/metadata/annotations",
            json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }),
        );
        shop["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        // What follows from the refusal is not found as well.
        shop["status"] = json!({ "conditions": [{ "type": "ReplicaFailure", "status": "True" , "message": "denied" }] });
    }),
    (Code::Namespace, "Pod kube-system/alone", |it| {
        it.objects
            .push(account("kube-system", "shop", Some(CLIENT_ID)));
        set(
            it.get("Pod", "alone"),
            "/metadata/namespace",
            json!("kube-system"),
        );
    }),
    (Code::Warned, "Deployment prod/shop", |it| {
        let secret = json!([{ "name": "AZURE_CLIENT_SECRET", "value": "x" }]);
        it.get("Deployment", "shop")["spec"]["template"]["spec"]["containers"][0]["env"] = secret;
    }),
    (Code::NoToken, "Deployment prod/shop", |it| {
        set(it.get("Pod", "shop-1-a"), "/spec/volumes", json!([]));
    }),
    (Code::NoToken, "Pod prod/alone", |it| {
        set(it.get("Pod", "alone"), "/spec/volumes", json!([]));
    }),
    (Code::NoProxy, "Pod prod/alone", |it| {
        set(
            it.get("Pod", "alone"),
            "/metadata/annotations",
            json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }),
        );
    }),
    (Code::Stale, "Deployment prod/shop", |it| {
        it.remove("Pod", "shop-1-a");
        it.objects.push(owned(
            pod("shop-1-b", "99999999-9999-9999-9999-999999999999"),
            "ReplicaSet",
            "shop-1",
        ));
    }),
    (Code::NotCreated, "Deployment prod/shop", |it| {
        it.get("Deployment", "shop")["status"] = json!({ "conditions": [
            { "type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: violates PodSecurity" },
        ] });
    }),
    (Code::FixedToken, "Deployment prod/shop", |it| {
        let spec = &mut it.get("Deployment", "shop")["spec"]["template"]["spec"];
        spec["containers"][0]["volumeMounts"] = json!([
            { "name": "azure-identity-token", "mountPath": "/token", "subPath": "azure-identity-token" },
        ]);
    }),
    (Code::NoClientId, "ServiceAccount prod/plain", |it| {
        it.objects
            .push(workload("Deployment", "other", template("plain")));
    }),
    (Code::Misplaced, "ServiceAccount prod/plain", |it| {
        let mut other = workload("Deployment", "other", template("plain"));
        other["metadata"]["annotations"] =
            json!({ "azure.workload.identity/client-id": CLIENT_ID });
        it.objects.push(other);
    }),
    (Code::NoAccount, "ServiceAccount prod/absent", |it| {
        it.objects
            .push(workload("Deployment", "other", template("absent")));
    }),
    (Code::Malformed, "ServiceAccount prod/plain", |it| {
        it.remove("ServiceAccount", "plain");
        it.remove("Deployment", "several");
        it.remove("Deployment", "unrelated");
        it.objects
            .push(account("prod", "plain", Some("/subscriptions/1")));
        it.objects
            .push(workload("Deployment", "other", template("plain")));
    }),
    (
        Code::Slots,
        "Identity 33333333-3333-3333-3333-333333333333",
        |it| {
            let names = (0..21).map(|nth| format!("account-{nth}"));
            it.objects.extend(
                names.map(|name| {
                    account("prod", &name, Some("33333333-3333-3333-3333-333333333333"))
                }),
            );
        },
    ),
];

#[tokio::test]
async fn names_the_cause_alone_and_its_object() {
    for (code, object, fault) in FAULTS {
        let mut cluster = healthy();
        fault(&mut cluster);
        let found = findings(cluster).await;
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.code, it.object.to_string()))
            .collect();
        assert_eq!(found, [(*code, (*object).to_owned())]);
    }
}

/// What the API server does with a new pod. Its message, the code and the object.
pub(crate) const DRY_RUNS: &[(DryRun, Code, &str)] = &[
    (
        DryRun::Refused(
            "Internal error occurred: failed calling webhook \"mutation.azure-workload-identity.io\": failed to call \
             webhook: Post \"https://x.svc:443/mutate-v1-pod\": context deadline exceeded",
        ),
        Code::NotCalled,
        "MutatingWebhookConfiguration azure-wi-webhook-mutating-webhook-configuration",
    ),
    (
        DryRun::Refused(
            "Internal error occurred: failed calling webhook \"mutation.azure-workload-identity.io\": failed to call \
             webhook: Post \"https://x.svc:443/\": tls: failed to verify certificate: x509: certificate signed by unknown \
             authority",
        ),
        Code::Bundle,
        "MutatingWebhookConfiguration azure-wi-webhook-mutating-webhook-configuration",
    ),
    (
        DryRun::Refused("Internal error occurred: failed calling webhook \"mesh.example\": x509"),
        Code::WouldBeRefused,
        "Deployment prod/shop",
    ),
    (
        DryRun::Refused("pods \"x\" is forbidden: exceeded quota: none"),
        Code::WouldBeRefused,
        "Deployment prod/shop",
    ),
    (
        DryRun::NotInjected,
        Code::NotInjected,
        "Deployment prod/shop",
    ),
];

#[tokio::test]
async fn names_what_the_api_server_does_with_a_new_pod() {
    for (dry_run, code, object) in DRY_RUNS {
        let mut cluster = healthy();
        cluster.dry_run = *dry_run;
        cluster.remove("Pod", "shop-1-a");
        let scope = Scope {
            dry_run: true,
            ..Scope::default()
        };
        let facts = facts(cluster, &scope).await;
        let mut found = checks::all(&facts);
        found.retain(|it| it.code.severity() != Severity::Information);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.code, it.object.to_string()))
            .collect();
        assert_eq!(found, [(*code, (*object).to_owned())], "{dry_run:?}");
    }
}

/// The one who wrote a wrong `caBundle` is the one to stop.
#[tokio::test]
async fn names_who_wrote_the_bundle() {
    let mut cluster = healthy();
    let configuration = cluster.get("MutatingWebhookConfiguration", CONFIGURATION);
    configuration["webhooks"][0]["clientConfig"]["caBundle"] = json!("");
    let owns = json!({ "f:webhooks": { "k:{\"name\":\"m\"}": { "f:clientConfig": { "f:caBundle": {} } } } });
    configuration["metadata"]["managedFields"] = json!([
        { "manager": "cert-manager-cainjector", "fieldsV1": owns },
        { "manager": "webhook", "fieldsV1": owns },
        { "manager": "helm", "fieldsV1": { "f:webhooks": {} } },
    ]);
    let found = findings(cluster).await;
    let writers = "cert-manager-cainjector and webhook";
    assert!(found[0].cause.ends_with(writers), "{found:?}");
}

/// A CSI driver and External Secrets get tokens for the account themselves.
#[tokio::test]
async fn an_account_that_serves_something_else_needs_no_label() {
    let mut cluster = healthy();
    let mut csi = workload("Deployment", "csi", unlabelled("shop"));
    csi["spec"]["template"]["spec"]["volumes"] =
        json!([{ "name": "s", "csi": { "driver": "secrets-store.csi.k8s.io" } }]);
    cluster.objects.push(csi);
    cluster
        .objects
        .push(account("prod", "eso", Some(CLIENT_ID)));
    cluster
        .objects
        .push(workload("Deployment", "eso", unlabelled("eso")));
    cluster.objects.push(json!({
        "kind": "SecretStore",
        "metadata": { "namespace": "prod", "name": "vault" },
        "spec": { "provider": { "azurekv": { "serviceAccountRef": { "name": "eso" } } } },
    }));
    let facts = facts(cluster, &Scope::default()).await;
    let found: Vec<_> = checks::all(&facts)
        .iter()
        .map(|it| (it.code, it.object.to_string()))
        .collect();
    assert_eq!(
        found,
        [
            (Code::UsedElsewhere, "Deployment prod/csi".to_owned()),
            (Code::UsedElsewhere, "Deployment prod/eso".to_owned()),
        ]
    );
}

/// The template names no account, and the one that is meant is idle.
#[tokio::test]
async fn names_the_account_that_is_meant() {
    let mut cluster = healthy();
    cluster
        .objects
        .push(account("prod", "idle", Some(CLIENT_ID)));
    let mut object = workload("Deployment", "other", template(""));
    object["spec"]["template"]["spec"]["serviceAccountName"] = json!("");
    cluster.objects.push(object);
    let found = findings(cluster).await;
    assert_eq!(found[0].code, Code::OtherAccount, "{found:?}");
    let fix = found[0].fix.as_ref().unwrap();
    assert!(fix.contains(r#"{"serviceAccountName":"idle"}"#), "{fix}");
}

/// The entry for restricted namespaces is not the one that leaves a namespace out.
#[tokio::test]
async fn names_the_selector_of_the_entry_for_all_namespaces() {
    let mut cluster = healthy();
    let configuration = cluster.get("MutatingWebhookConfiguration", CONFIGURATION);
    let mut restricted = configuration["webhooks"][0].clone();
    restricted["failurePolicy"] = json!("Ignore");
    restricted["namespaceSelector"] = json!({ "matchExpressions": [
        { "key": "pod-security.kubernetes.io/enforce", "operator": "In", "values": ["baseline"] },
    ] });
    configuration["webhooks"]
        .as_array_mut()
        .unwrap()
        .insert(0, restricted);
    cluster
        .objects
        .push(account("kube-system", "shop", Some(CLIENT_ID)));
    let pod = cluster.get("Pod", "alone");
    set(pod, "/metadata/namespace", json!("kube-system"));
    let facts = facts(cluster, &Scope::default()).await;
    let found = checks::all(&facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].cause.contains("kubernetes.io/metadata.name"),
        "{found:?}"
    );
}

type IssuerFault = (Code, fn(&mut Cluster));

const TOKEN_FAULTS: &[IssuerFault] = &[
    (Code::Algorithm, |it| it.issuer.algorithm = "ES256"),
    (Code::PrivateIssuer, |it| {
        it.issuer.issuer = "https://kubernetes.default.svc.cluster.local"
    }),
    (Code::OtherIssuer, |it| {
        it.issuer.documented = "https://issuer.example.com/cluster"
    }),
    (Code::UnknownKey, |it| it.issuer.key = "key-2"),
];

#[tokio::test]
async fn names_what_is_wrong_with_a_workloads_token() {
    for (code, fault) in TOKEN_FAULTS {
        let mut cluster = healthy();
        fault(&mut cluster);
        let found = of_deployment(cluster).await;
        let found: Vec<_> = found.iter().map(|it| it.code).collect();
        assert_eq!(found, [*code, Code::OldSdk]);
    }
}

#[tokio::test]
async fn names_the_federated_credential_that_a_workload_needs() {
    let found = of_deployment(healthy()).await;
    let needed = found.iter().find(|it| it.code == Code::Needed).unwrap();
    for part in [
        "https://issuer.example.com/cluster/",
        "system:serviceaccount:prod:shop",
        "api://AzureADTokenExchange",
    ] {
        assert!(needed.fix.as_ref().unwrap().contains(part), "{needed:?}");
    }
}

/// A chain stops at its first broken link: nothing is found about the token.
#[tokio::test]
async fn stops_at_the_first_broken_link() {
    let mut cluster = healthy();
    cluster.remove("ServiceAccount", "shop");
    cluster.objects.push(account("prod", "shop", None));
    cluster.issuer.algorithm = "ES256";
    set(cluster.get("Pod", "shop-1-a"), "/spec/volumes", json!([]));
    let found = of_deployment(cluster).await;
    let found: Vec<_> = found.iter().map(|it| it.code).collect();
    assert_eq!(found, [Code::NoClientId]);
}

/// Pods without token follow from a webhook that is away.
#[tokio::test]
async fn pods_are_not_blamed_for_a_webhook_that_is_away() {
    let mut cluster = healthy();
    cluster.remove("MutatingWebhookConfiguration", CONFIGURATION);
    set(cluster.get("Pod", "alone"), "/spec/volumes", json!([]));
    let found: Vec<_> = findings(cluster).await.iter().map(|it| it.code).collect();
    assert_eq!(found, [Code::NoWebhook]);
}

/// Rows 9 and 20.
#[tokio::test]
async fn says_what_an_sdk_does_with_and_without_the_proxy() {
    let scope = Scope {
        namespace: Some("prod".to_owned()),
        target: Some(("deployment".to_owned(), "shop".to_owned())),
        dry_run: false,
        ..Scope::default()
    };
    let asks = json!({ "azure.workload.identity/inject-proxy-sidecar": "true" });
    let mut skips = asks.clone();
    skips["azure.workload.identity/skip-containers"] = json!("app");
    for (annotations, expected) in [
        (json!({}), Some(Code::OldSdk)),
        (asks, Some(Code::PassesProxy)),
        (skips, None),
    ] {
        let mut cluster = healthy();
        let shop = cluster.get("Deployment", "shop");
        set(shop, "/spec/template/metadata/annotations", annotations);
        let mut found = checks::all(&facts(cluster, &scope).await);
        found.retain(|it| [Code::OldSdk, Code::PassesProxy].contains(&it.code));
        let found: Vec<_> = found.iter().map(|it| it.code).collect();
        assert_eq!(found, Vec::from_iter(expected));
    }
}

#[tokio::test]
async fn information_is_no_finding() {
    let mut cluster = healthy();
    cluster
        .objects
        .push(account("prod", "idle", Some(CLIENT_ID)));
    cluster.remove("ServiceAccount", "default");
    cluster
        .objects
        .push(account("prod", "default", Some(CLIENT_ID)));
    set(
        cluster.get("MutatingWebhookConfiguration", CONFIGURATION),
        "/webhooks/0/failurePolicy",
        json!("Ignore"),
    );
    set(
        cluster.get("Deployment", "azure-wi-webhook-controller-manager"),
        "/spec/template/spec/containers/0/image",
        json!("webhook:v0.0.1@sha256:0"),
    );
    let facts = facts(cluster, &Scope::default()).await;
    let found: Vec<_> = checks::all(&facts).iter().map(|it| it.code).collect();
    assert_eq!(
        found,
        [
            Code::FailurePolicy,
            Code::Version,
            Code::DefaultAccount,
            Code::Unused
        ]
    );
}

/// The webhook's own settings decide: here the audience of its tokens.
#[tokio::test]
async fn reads_the_webhooks_settings_from_its_deployment() {
    let mut cluster = healthy();
    let webhook = cluster.get("Deployment", "azure-wi-webhook-controller-manager");
    assert_eq!(webhook["metadata"]["namespace"], SYSTEM);
    set(
        webhook,
        "/spec/template/spec/containers/0/args",
        json!(["--audience=api://other"]),
    );
    let found = findings(cluster).await;
    // The pods still have tokens for the old one, and the form by hand has no token for this one.
    let pods = found.iter().filter(|it| it.code == Code::NoToken).count();
    assert_eq!((pods, found.len()), (3, 4), "{found:?}");
}

#[tokio::test]
async fn pods_that_ended_and_other_identities_are_left_alone() {
    let mut cluster = healthy();
    let mut ended = pod("ended", CLIENT_ID);
    set(&mut ended, "/spec/volumes", json!([]));
    set(&mut ended, "/status/phase", json!("Succeeded"));
    cluster.objects.push(ended);
    let mut done = workload("Job", "done", unlabelled("shop"));
    done["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True" }] });
    cluster.objects.push(done);
    assert_eq!(findings(cluster).await, []);
}

/// A client id that the template sets itself is no sign of an account that changed.
#[tokio::test]
async fn pods_with_a_client_id_of_their_template_are_current() {
    let own = "22222222-2222-2222-2222-222222222222";
    let mut cluster = healthy();
    let variables = json!([{ "name": "AZURE_CLIENT_ID", "value": own }]);
    cluster.get("Deployment", "shop")["spec"]["template"]["spec"]["containers"][0]["env"] =
        variables;
    cluster.remove("Pod", "shop-1-a");
    cluster
        .objects
        .push(owned(pod("shop-1-b", own), "ReplicaSet", "shop-1"));
    let found: Vec<_> = findings(cluster).await.iter().map(|it| it.code).collect();
    assert_eq!(found, [Code::Warned]);
}
