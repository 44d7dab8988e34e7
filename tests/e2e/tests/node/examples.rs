//! The examples in `deploy/examples`, applied as a user does: unchanged but for an image with sh and
//! curl and the client id of the user's identity.

use std::collections::BTreeSet;
use std::fs;

use azure_emulator::Service;
use e2e::{Identity, Namespace, control, kubectl, kubectl_with_input, until};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/examples");
/// The name of the service account in `service-account.yaml`.
const SERVICE_ACCOUNT: &str = "my-app";

#[tokio::test]
async fn a_deployment_gets_tokens_from_imds() {
    let (namespace, identity) = with_service_account("legacy-app").await;
    apply(&namespace, "legacy-app").await;
    let pod = pod_of(&namespace, "app=legacy-app").await;
    until(
        "the application to request a token",
        async || {
            namespace
                .until(&pod, |pod| {
                    let status = pod.status.as_ref();
                    status.and_then(|it| it.phase.as_deref()) == Some("Running")
                })
                .await;
            namespace.log(&pod, "app").await
        },
        |log| log.contains("IMDS answers 200"),
    )
    .await;
    assert_eq!(
        exchanged(&namespace, &pod).await,
        [identity.client_id].into()
    );
}

#[tokio::test]
async fn a_cron_jobs_job_completes() {
    let (namespace, identity) = with_service_account("cron-job").await;
    apply(&namespace, "cron-job").await;
    let now = ["create", "job", "now", "--from=cronjob/nightly"];
    kubectl(&[&["-n", namespace.name()], &now[..]].concat()).await;
    namespace.wait("job/now", "condition=complete").await;
    let pod = pod_of(&namespace, "job-name=now").await;
    let log = namespace.log(&pod, "job").await;
    assert!(log.contains("IMDS answers 200"), "{log}");
    assert_eq!(
        exchanged(&namespace, &pod).await,
        [identity.client_id].into()
    );
}

#[tokio::test]
async fn a_restricted_namespace_works_in_mode_environment() {
    let (namespace, identity) = with_service_account("environment-mode").await;
    let level = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", namespace.name(), level]).await;
    let log = run_to_success(&namespace, "environment-mode").await;
    assert!(log.contains("/msi/token answers"), "{log}");
    let exchanged = exchanged(&namespace, "environment-mode").await;
    assert_eq!(exchanged, [identity.client_id].into());
}

#[tokio::test]
async fn the_hand_written_containers_work() {
    let (namespace, identity) = with_service_account("manual-form").await;
    // The proxy trusts public CAs alone; the emulated Entra's certificate has a private one.
    let ca = std::env::var("AZURE_CA_FILE").expect("the test node sets AZURE_CA_FILE");
    let ca = fs::read_to_string(ca).expect("Azure's CA can be read");
    let variable = format!("{}={ca}", contract::variable::CA_DATA);
    let set = [
        "set", "env", "--local", "-o", "json", "-c", "proxy", "-f", "-",
    ];
    let manifest = kubectl_with_input(
        &[&set[..], &[variable.as_str()]].concat(),
        &example("manual-form"),
    )
    .await;
    apply_text(&namespace, &manifest).await;
    // The pod does not end, since the proxy is an ordinary container.
    let ended = namespace.container_ended("manual-form", "app").await;
    let log = namespace.log("manual-form", "app").await;
    assert_eq!(ended, 0, "{log}");
    assert!(log.contains("IMDS answers"), "{log}");
    assert_eq!(
        exchanged(&namespace, "manual-form").await,
        [identity.client_id].into()
    );
}

#[tokio::test]
async fn an_application_chooses_among_its_identities() {
    let (namespace, identity) = with_service_account("several-identities").await;
    let others = [
        "22222222-2222-2222-2222-222222222222",
        "44444444-4444-4444-4444-444444444444",
    ];
    for client_id in others {
        Identity::register_as(client_id, &namespace, SERVICE_ACCOUNT).await;
    }
    let log = run_to_success(&namespace, "several-identities").await;
    assert_eq!(log.matches("a token").count(), 3, "{log}");
    let mut expected = BTreeSet::from(others.map(str::to_owned));
    expected.insert(identity.client_id);
    assert_eq!(exchanged(&namespace, "several-identities").await, expected);
}

#[test]
fn every_example_is_tested() {
    let files = fs::read_dir(FOLDER).expect("the examples are there");
    let names = files.map(|file| file.expect("it can be read").file_name());
    let names: BTreeSet<_> = names
        .map(|name| name.into_string().expect("text"))
        .collect();
    let tested = [
        "cron-job",
        "environment-mode",
        "legacy-app",
        "manual-form",
        "service-account",
        "several-identities",
    ];
    assert_eq!(names, tested.map(|name| format!("{name}.yaml")).into());
}

/// Makes a namespace with the example's service account, and its identity in Entra.
async fn with_service_account(test: &str) -> (Namespace, Identity) {
    let namespace = Namespace::new(test).await;
    let identity = Identity::register(&namespace, SERVICE_ACCOUNT).await;
    let placeholder = "00000000-0000-0000-0000-000000000000";
    let manifest = example("service-account");
    assert!(manifest.contains(placeholder), "{manifest}");
    let manifest = manifest.replace(placeholder, &identity.client_id);
    apply_text(&namespace, &manifest).await;
    (namespace, identity)
}

/// The text of an example, with an image that this node has.
fn example(name: &str) -> String {
    let text = fs::read_to_string(format!("{FOLDER}/{name}.yaml")).expect("the example is there");
    text.replace(
        "image: registry.example.com/curl\n",
        "image: registry.example.com/curl:v1\n",
    )
}

async fn apply(namespace: &Namespace, name: &str) {
    apply_text(namespace, &example(name)).await;
}

/// Applies a manifest, which must cause no warning.
async fn apply_text(namespace: &Namespace, manifest: &str) {
    let apply = ["apply", "-n", namespace.name(), "-f", "-"];
    let printed = kubectl_with_input(&apply, manifest).await;
    assert!(!printed.contains("Warning"), "{printed}");
}

/// Runs an example's pod, which has the example's name, and returns its application's log.
async fn run_to_success(namespace: &Namespace, name: &str) -> String {
    apply(namespace, name).await;
    let phase = namespace.finished(name).await.phase;
    let log = namespace.log(name, "app").await;
    assert_eq!(phase, "Succeeded", "{log}");
    log
}

/// Waits for the one pod with this label, and returns its name.
async fn pod_of(namespace: &Namespace, selector: &str) -> String {
    let get = ["get", "pods", "-n", namespace.name(), "-l", selector];
    let names = async || kubectl(&[&get[..], &["-o", "name"]].concat()).await;
    let name = until("the pod", names, |names| !names.is_empty()).await;
    name.trim().trim_start_matches("pod/").to_owned()
}

/// The client ids for which Entra issued a vault's token in exchange for this pod's token.
async fn exchanged(namespace: &Namespace, pod: &str) -> BTreeSet<String> {
    let requests = control().requests(Some(Service::Entra)).await;
    let requests = requests.expect("the emulator lists its requests");
    let granted = requests.into_iter().filter(|request| {
        let claims = request.claims.as_ref();
        // Other tests apply the example, too.
        let is_of = |it: &serde_json::Value| {
            it["namespace"] == namespace.name() && it["pod"]["name"] == pod
        };
        claims.is_some_and(|claims| is_of(&claims["kubernetes.io"]))
            && request.scope.as_deref() == Some("https://vault.azure.net/.default")
            && request.status == Some(200)
    });
    granted.filter_map(|request| request.client_id).collect()
}
