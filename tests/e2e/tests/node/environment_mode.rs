//! Mode `environment`: works without a redirect and without privileges.

use contract::annotation;
use e2e::page::yaml;
use e2e::{Container, Namespace, Pod, claims, kubectl, kubectl_with_input, until};
use serde_json::{Value, json};

/// Requests by each of the variables, and requests without the secret.
const ASK: &str = r#"
    get() { curl --silent --show-error --max-time 30 "$@"; echo; }
    resource=resource=https://vault.azure.net
    get -H "X-IDENTITY-HEADER: $IDENTITY_HEADER" "$IDENTITY_ENDPOINT?api-version=2019-08-01&$resource"
    get -H "Secret: $MSI_SECRET" "$MSI_ENDPOINT?api-version=2017-09-01&$resource"
    get -H Metadata:true "$AZURE_POD_IDENTITY_AUTHORITY_HOST/metadata/identity/oauth2/token?$resource"
    get -H Metadata:true "$IDENTITY_ENDPOINT?api-version=2019-08-01&$resource"
"#;

#[tokio::test]
async fn a_restricted_namespace_admits_it() {
    let (namespace, identity) = Namespace::with_identity("restricted").await;
    machine_by_claim(&namespace).await;
    let level = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", namespace.name(), level]).await;

    let refused = namespace
        .refused(&restricted_pod("redirect", "redirect"))
        .await;
    assert!(refused.contains("violates PodSecurity"), "{refused}");

    let printed = namespace.apply(&restricted_pod("ask", "environment")).await;
    assert!(!printed.contains("Warning"), "{printed}");
    let finished = namespace.finished("ask").await;
    assert_eq!(finished.phase, "Succeeded");
    let log = namespace.log("ask", "ask").await;
    let answers: Vec<_> = log.lines().collect();
    let [v2019, v2017, imds, without_secret] = answers[..] else {
        panic!("{log}")
    };
    for answer in [v2019, v2017, imds] {
        assert_eq!(claims(answer)["appid"], identity.client_id, "{answer}");
    }
    assert!(v2017.contains(" +00:00\""), "{v2017}");
    assert!(
        without_secret.contains("\"statusCode\":401"),
        "{without_secret}"
    );
}

/// Without the annotation, a namespace that refuses NET_ADMIN chooses the mode (azwi#697, azwi#1424).
#[tokio::test]
async fn a_namespace_that_refuses_net_admin_chooses_it() {
    let (namespace, identity) = Namespace::with_identity("baseline").await;
    machine_by_claim(&namespace).await;
    let level = "pod-security.kubernetes.io/enforce=baseline";
    kubectl(&["label", "namespace", namespace.name(), level]).await;

    let mut pod = restricted_pod("ask", "");
    let annotations = pod["metadata"]["annotations"].as_object_mut();
    annotations
        .expect("it has annotations")
        .remove(annotation::PROXY_MODE);
    let printed = namespace.apply(&pod).await;
    // Both entries of the webhook configuration warn, and kubectl shows it once.
    assert_eq!(printed.matches("ends this warning").count(), 1, "{printed}");
    let finished = namespace.finished("ask").await;
    assert_eq!(finished.phase, "Succeeded");
    let log = namespace.log("ask", "ask").await;
    let first = log.lines().next().unwrap_or_default();
    assert_eq!(claims(first)["appid"], identity.client_id, "{log}");

    let redirect = restricted_pod("redirect", "redirect");
    let refused = namespace.refused(&redirect).await;
    assert!(refused.contains("the pod will not be created"), "{refused}");
}

/// A policy that refuses other users, as OpenShift's MustRunAsRange does (linkerd2#10879).
#[tokio::test]
async fn a_namespace_with_a_range_of_users_admits_it() {
    let (namespace, identity) = Namespace::with_identity("range").await;
    let name = namespace.name();
    for mut object in range_of_users(name) {
        object["apiVersion"] = "admissionregistration.k8s.io/v1".into();
        object["metadata"] = json!({ "name": name });
        kubectl_with_input(&["apply", "-f", "-"], &object.to_string()).await;
    }
    let pod = |name: &str, mode: &str| {
        Pod::new(name)
            .with_proxy()
            .annotate(annotation::PROXY_MODE, mode)
            .field("securityContext", json!({ "runAsUser": 1_000_660_000 }))
            .container(Container::shell("ask", ASK))
    };
    // The redirect needs uid 0 and 1501. Policies hold some moments after they were made.
    let redirect = pod("redirect", "redirect").manifest();
    let refused = async || {
        let created = namespace.try_dry_run(&redirect).await;
        created.err().unwrap_or_default()
    };
    until("the policy to hold", refused, |it| {
        it.contains("out of range")
    })
    .await;

    namespace.run_to_success(&pod("ask", "environment")).await;
    let log = namespace.log("ask", "ask").await;
    let first = log.lines().next().expect("the container asks");
    assert_eq!(claims(first)["appid"], identity.client_id, "{log}");
    for kind in [
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicy",
    ] {
        kubectl(&["delete", kind, name]).await;
    }
}

fn range_of_users(namespace: &str) -> [Value; 2] {
    let pods = json!([{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
    }]);
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let containers = "(object.spec.containers + object.spec.?initContainers.orValue([])).all(it, \
        it.?securityContext.?runAsUser.orValue(1000660000) in [1000660000, 1000660001])";
    [
        json!({
            "kind": "ValidatingAdmissionPolicy",
            "spec": {
                "matchConstraints": { "resourceRules": pods, "namespaceSelector": selector },
                "validations": [{ "expression": containers, "message": "runAsUser is out of range" }],
            },
        }),
        json!({
            "kind": "ValidatingAdmissionPolicyBinding",
            "spec": { "policyName": namespace, "validationActions": ["Deny"] },
        }),
    ]
}

/// On the host network, other pods can reach the proxy's port. Endpoints without a secret are off, and
/// the port is different for each pod.
#[tokio::test]
async fn on_the_host_network_no_other_pod_gets_a_token() {
    let (namespace, identity) = Namespace::with_identity("host").await;
    let app =
        host_pod("app", "environment").container(Container::shell("app", "exec sleep infinity"));
    namespace.apply(&app.manifest()).await;
    let twin =
        host_pod("twin", "environment").container(Container::shell("app", "exec sleep infinity"));
    namespace.apply(&twin.manifest()).await;
    let line = "curl --silent --fail-with-body -H \"X-IDENTITY-HEADER: $IDENTITY_HEADER\" \
        \"$IDENTITY_ENDPOINT?api-version=2019-08-01&resource=https://vault.azure.net\"";
    for pod in ["app", "twin"] {
        let answer = namespace.exec(pod, "app", line).await;
        assert_eq!(claims(&answer)["appid"], identity.client_id, "{answer}");
    }
    let port = host_port(&namespace, "app").await;
    assert_ne!(port, host_port(&namespace, "twin").await);

    // A pod of another namespace that knows the port but not the secret.
    let other = Namespace::new("other").await;
    let ask = format!(
        r#"
        for header in Metadata:true "X-IDENTITY-HEADER: $(printf '%060d' 0)" "Secret:"; do
            for path in msi/token metadata/identity/oauth2/token metadata/instance; do
                curl --silent --show-error -H "$header" \
                    "http://127.0.0.1:{port}/$path?api-version=2019-08-01&resource=https://vault.azure.net"
                echo
            done
        done
        "#
    );
    let asking = Pod::new("ask")
        .without_label()
        .field("serviceAccountName", json!("default"))
        .field("hostNetwork", json!(true))
        .container(Container::shell("ask", &ask));
    other.run_to_success(&asking).await;
    let log = other.log("ask", "ask").await;
    assert_eq!(
        log.lines()
            .filter(|line| line.contains("\"error\""))
            .count(),
        9,
        "{log}"
    );
    assert!(!log.contains("access_token"), "{log}");
}

#[tokio::test]
async fn warns_of_a_container_that_bypasses_the_proxy() {
    let (namespace, _) = Namespace::with_identity("past").await;
    let curl = "curl http://169.254.169.254/metadata/identity/oauth2/token || true";
    let pod = Pod::new("past")
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment")
        .container(Container::shell("app", curl));
    let printed = namespace.apply(&pod.manifest()).await;
    assert!(
        printed.contains("Warning: container app names 169.254.169.254"),
        "{printed}"
    );
}

/// The NetworkPolicy in the documentation.
#[tokio::test]
async fn the_documented_network_policy_is_valid() {
    let policy = yaml("docs/restricted-namespaces.md", "kind: NetworkPolicy");
    assert!(policy.contains("169.254.169.254/32"), "{policy}");
    let applied = kubectl_with_input(&["apply", "--dry-run=server", "-f", "-"], &policy).await;
    assert!(applied.contains("no-node-identity"), "{applied}");
}

fn host_pod(name: &str, mode: &str) -> Pod {
    Pod::new(name)
        .with_proxy()
        .annotate(annotation::PROXY_MODE, mode)
        .field("hostNetwork", json!(true))
        .field("dnsPolicy", json!("ClusterFirstWithHostNet"))
}

async fn host_port(namespace: &Namespace, pod: &str) -> String {
    let path = "jsonpath={.spec.initContainers[?(@.name=='azwi-proxy')].ports[0].hostPort}";
    let port = kubectl(&["get", "pod", "-n", namespace.name(), pod, "-o", path]).await;
    assert!(!port.is_empty(), "the scheduler knows no port of {pod}");
    port
}

/// A pod that the restricted standard admits. It mounts the machine's programs through a volume claim,
/// since the standard forbids hostPath.
fn restricted_pod(name: &str, mode: &str) -> Value {
    let mount = |path: &str, sub_path: &str| json!({ "name": "machine", "mountPath": path, "subPath": sub_path, "readOnly": true });
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": { contract::label::USE: "true" },
            "annotations": {
                annotation::INJECT_PROXY_SIDECAR: "true",
                annotation::PROXY_MODE: mode,
            },
        },
        "spec": {
            "serviceAccountName": "app",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 1000,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "ask",
                "image": "registry.example.com/cluster/pause:v1",
                "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-euc", ASK],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [
                    mount("/usr", ""), mount("/bin", "bin"), mount("/lib", "lib"), mount("/lib64", "lib64"),
                ],
            }],
            "volumes": [{
                "name": "machine",
                "persistentVolumeClaim": { "claimName": "machine", "readOnly": true },
            }],
        },
    })
}

/// Makes the machine's `/usr` a volume for the namespace, as a cluster operator would.
async fn machine_by_claim(namespace: &Namespace) {
    let name = format!("machine-{}", namespace.name());
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "capacity": { "storage": "1Gi" },
            "claimRef": { "namespace": namespace.name(), "name": "machine" },
            "hostPath": { "path": "/usr", "type": "Directory" },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
        },
    });
    kubectl_with_input(&["apply", "-f", "-"], &volume.to_string()).await;
    namespace
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": "machine" },
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "resources": { "requests": { "storage": "1Gi" } },
                "storageClassName": "",
                "volumeName": name,
            },
        }))
        .await;
}
