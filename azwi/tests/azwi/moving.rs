//! `azwi migrate status`, `move` and `back`: what they write, and what they change.

use serde_json::{Value, json};

use crate::api_server::Cluster;
use crate::pod_identity::{client_id, cluster};
use crate::process::{azwi, azwi_at, text};

const SUCCESS: &str = "INFO successfully acquired token client_id=1\n";
const REFUSED: &str = "WARN no token from the authority status=401 code=700213 ms=3\n";

/// The cluster with some workloads of namespace `prod` alone.
fn only(names: &[&str]) -> Cluster {
    let mut cluster = cluster();
    cluster.objects.retain(|it| {
        let is_workload = it["spec"].get("template").is_some()
            || it["spec"].get("jobTemplate").is_some()
            || it["kind"] == "Pod"
            || it["kind"] == "Rollout";
        let system = ["nmi", "azure-wi-webhook-controller-manager"];
        let name = it["metadata"]["name"].as_str().unwrap();
        !is_workload || names.contains(&name) || system.contains(&name)
    });
    cluster
}

/// A pod as the webhook leaves it.
fn injected(cluster: &mut Cluster, name: &str) {
    let pod = cluster.get("Pod", name);
    pod["spec"]["initContainers"] =
        json!([{ "name": "azwi-proxy-init" }, { "name": "azwi-proxy" }]);
}

#[tokio::test]
async fn status_says_what_each_workload_waits_for() {
    let mut cluster = only(&["moved", "web", "unbound"]);
    cluster.log = SUCCESS;
    let mut pod = crate::pod_identity::pod("moved-1", "shop");
    pod["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "moved", "controller": true }]);
    cluster.objects.push(pod);
    let run = async |cluster: &Cluster| text(&azwi(cluster.clone(), &["migrate", "status"]).await);

    let old = run(&cluster).await;
    for part in [
        "Deployment prod/moved    waiting\n",
        "Deployment prod/unbound  blocked\n",
        "Deployment prod/web      to move\n",
        "waiting: Deployment prod/moved: 1 of 1 pods have no proxy: moved-1\n    kubectl -n prod delete pod moved-1\n",
        "0 done, 1 waiting, 1 to move, 1 blocked\n",
        "    AzureIdentityBinding prod/shop, by Deployment prod/moved, Deployment prod/web\n",
        "Can be removed now:\n    kubectl delete -n prod azureidentitybinding/store\n",
        "    DaemonSet kube-system/nmi, by Deployment prod/moved",
    ] {
        assert!(old.contains(part), "{part}\n{old}");
    }
    injected(&mut cluster, "moved-1");
    let done = run(&cluster).await;
    assert!(done.contains("Deployment prod/moved    done\n"), "{done}");
    assert!(
        done.contains("AzureIdentityBinding prod/shop, by Deployment prod/web\n"),
        "{done}"
    );
    cluster.log = REFUSED;
    let refused = run(&cluster).await;
    assert!(
        refused.contains("Deployment prod/moved: Entra refuses a token: AADSTS700213."),
        "{refused}"
    );
    cluster.log = "";
    let silent = run(&cluster).await;
    assert!(
        silent.contains(
            "done: Deployment prod/moved: its proxies have not been asked for a token yet"
        ),
        "{silent}"
    );
    cluster.get("Pod", "moved-1")["status"]["conditions"] = json!([]);
    let starting = run(&cluster).await;
    assert!(starting.contains("0 of 1 pods are ready"), "{starting}");
}

#[tokio::test]
async fn when_all_are_done_everything_can_be_removed() {
    let mut cluster = only(&["moved"]);
    cluster.log = SUCCESS;
    let output = azwi(cluster.clone(), &["migrate", "status"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let done = text(&output);
    assert!(!done.contains("Is needed still"), "{done}");
    assert!(
        done.contains("    kubectl delete -n kube-system daemonset/nmi\n"),
        "{done}"
    );
    let output = azwi(cluster, &["migrate", "status", "-n", "prod", "-o", "json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["workloads"][0]["state"], "done");
    assert_eq!(
        document["removals"],
        Value::Null,
        "other namespaces are not known"
    );
}

#[tokio::test]
async fn nothing_is_changed_without_apply() {
    for command in ["plan", "status", "move", "back"] {
        let (address, shared) = cluster().start_shared().await;
        let before = shared.lock().unwrap().objects.clone();
        let output = azwi_at(address, &["migrate", command]).await;
        assert_ne!(output.status.code(), Some(64), "{}", text(&output));
        assert_eq!(shared.lock().unwrap().objects, before, "{command}");
    }
}

#[tokio::test]
async fn a_workload_moves_and_goes_back_as_it_was() {
    let mut cluster = only(&["asleep", "nightly", "rollout", "worker"]);
    // A custom kind keeps an empty map, so its template has annotations before.
    cluster.get("Deployment", "asleep")["metadata"]["annotations"] = json!({ "own": "x" });
    let worker = cluster.get("Deployment", "worker");
    worker["metadata"]["annotations"] = json!({ "own": "x" });
    worker["spec"]["replicas"] = json!(0);
    for (kind, name) in [("CronJob", "nightly"), ("Rollout", "rollout")] {
        cluster.get(kind, name)["metadata"]["annotations"] = json!({ "own": "x" });
    }
    cluster.get("ServiceAccount", "db")["metadata"]["annotations"] = json!({ "own": "x" });
    cluster.get("ServiceAccount", "jobs")["metadata"]["annotations"] = json!({ "own": "x" });
    let (address, shared) = cluster.start_shared().await;
    let before = shared.lock().unwrap().objects.clone();

    let output = azwi_at(address, &["migrate", "move", "--apply"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains("Deployment prod/asleep: moved"),
        "{}",
        text(&output)
    );
    {
        let mut cluster = shared.lock().unwrap();
        let template = &cluster.get("Rollout", "rollout")["spec"]["template"]["metadata"];
        assert_eq!(template["labels"]["azure.workload.identity/use"], "true");
        let account = &cluster.get("ServiceAccount", "db")["metadata"]["annotations"];
        assert_eq!(
            account["azure.workload.identity/client-id"],
            client_id("store")
        );
        // The new account has the rights of `default`.
        let binding = cluster.get("RoleBinding", "view-shop");
        assert_eq!(binding["subjects"][0]["name"], "shop");
    }
    let patches = shared.lock().unwrap().patches;
    let output = azwi_at(address, &["migrate", "move", "--apply"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(
        shared.lock().unwrap().patches,
        patches,
        "a second run changes nothing"
    );

    let output = azwi_at(address, &["migrate", "back", "--apply"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let after = shared.lock().unwrap().objects.clone();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after, before);
    }
    assert_eq!(after.len(), before.len());
}

#[tokio::test]
async fn a_workload_that_gets_no_token_is_rolled_back_and_ends_the_run() {
    let (address, shared) = only(&["web", "web-1", "web-1-a", "worker"])
        .start_shared()
        .await;
    shared.lock().unwrap().get("Deployment", "web")["spec"]["replicas"] = json!(1);
    let before = shared.lock().unwrap().get("Deployment", "web")["spec"].clone();
    let output = azwi_at(address, &["migrate", "move", "--apply", "--timeout", "1"]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("Deployment prod/web: rolled back: 1 of 1 pods have no proxy: web-1-a"),
        "{text}"
    );
    assert!(!text.contains("worker"), "{text}");
    let mut cluster = shared.lock().unwrap();
    // The fake API server keeps an empty map, which the real one removes.
    let mut after = cluster.get("Deployment", "web")["spec"].clone();
    for field in ["serviceAccountName", "serviceAccount"] {
        assert_eq!(after["template"]["spec"].get(field), None);
    }
    after["template"]["metadata"]["annotations"] =
        before["template"]["metadata"]["annotations"].clone();
    assert_eq!(after, before);
}

#[tokio::test]
async fn pods_and_jobs_and_workloads_that_replace_no_pods_are_left_to_people() {
    let (address, _) = only(&["alone", "once", "agent", "agent-a"])
        .start_shared()
        .await;
    let output = azwi_at(address, &["migrate", "move", "--apply"]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Pod prod/alone: it has to be recreated, which ends it: azwi migrate plan pod/alone -n prod -o kubectl\n"), "{text}");
    assert!(
        text.contains("Job prod/once: it has to be recreated"),
        "{text}"
    );
    assert!(
        text.contains(
            "DaemonSet prod/agent: its template has changed; it does not replace its pods itself"
        ),
        "{text}"
    );
}
