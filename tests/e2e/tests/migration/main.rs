//! `azwi migrate` on a real API server: a cluster of pod-managed identity moves by the outputs as they are printed,
//! every workload gets its own token, and everything goes back as it was.

mod fixture;

use std::collections::BTreeMap;

use e2e::program::{run, shell, text};
use e2e::{ISSUER, Namespace, User, claims, kubectl, kubectl_json, until};
use serde_json::Value;
use tokio::sync::Mutex;

use fixture::Fixture;

#[tokio::test]
async fn a_cluster_moves_by_the_printed_outputs_and_goes_back() {
    let _alone = ALONE.lock().await;
    let fixture = Fixture::create("migration").await;
    let before = fixture.snapshot().await;
    for it in fixture.workloads.iter().filter(|it| it.has_pods) {
        let found = appid(&fixture, it.namespace, it.name).await;
        assert_eq!(
            found, NODE,
            "{}: before the migration it gets the node's token",
            it.name
        );
    }

    let directory = std::env::temp_dir().join(format!("azwi-migration-{}", std::process::id()));
    // Of an earlier run that failed: processes of each run have the same numbers.
    let _ = std::fs::remove_dir_all(&directory);
    let plan = directory.to_str().expect("a path");
    let planned = shell(&format!("azwi migrate plan --write {plan}")).await;
    assert_eq!(planned.status.code(), Some(1), "{}", text(&planned));
    for name in fixture.blocked() {
        let line = format!("blocked: Deployment {name}: ");
        assert!(text(&planned).contains(&line), "{line}\n{}", text(&planned));
    }
    run(&format!("sh {plan}/federated-credentials.sh")).await;
    run(&format!("sh {plan}/move.sh")).await;
    // What does not replace its pods itself: the plan has deleted the pods that it knew.
    let status = wait_until_done(&fixture).await;
    for it in &fixture.workloads {
        assert_eq!(
            status.get(&fixture.object(it)).map(String::as_str),
            Some("done"),
            "{}",
            it.name
        );
    }
    kubectl(&[
        "create",
        "job",
        "-n",
        &fixture.prod,
        "nightly-now",
        "--from=cronjob/nightly",
    ])
    .await;
    for it in fixture.workloads.iter().filter(|it| it.has_pods) {
        let found = appid(&fixture, it.namespace, it.name).await;
        assert_eq!(
            found,
            fixture.client_id(it.identity),
            "{}: its own token",
            it.name
        );
    }
    let found = appid(&fixture, 0, "nightly").await;
    assert_eq!(found, fixture.client_id("store"), "a CronJob's next run");

    // With what Azure has now, no credential of a managed identity is missing, and no workload is left to move.
    // It ends with 1: some workloads are blocked.
    let credentials = fixture.list_credentials();
    let again = format!("azwi migrate plan -o az --credentials <({credentials})");
    let again = text(&shell(&again).await);
    let missing = again.lines().filter(|it| it.contains(&fixture.prod));
    let missing: Vec<&str> = missing.filter(|it| it.starts_with("az identity")).collect();
    assert_eq!(missing, [""; 0]);
    let again = text(&shell("azwi migrate plan -o kubectl").await);
    assert!(!again.contains("kubectl patch"), "{again}");

    for name in fixture.blocked() {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        kubectl(&["delete", "-n", namespace, "deployment", name, "--wait"]).await;
    }
    let removable = until(
        "NMI can be removed",
        async || text(&shell("azwi migrate status").await),
        |it| it.contains("daemonset/nmi\n") && !it.contains("Is needed still"),
    )
    .await;
    assert!(
        removable.contains(&format!(
            "kubectl delete -n {} azureidentitybinding/shop\n",
            fixture.prod
        )),
        "{removable}"
    );

    run(&format!("sh {plan}/back.sh")).await;
    let after = fixture.snapshot().await;
    for (name, object) in before.iter().filter(|(name, _)| !fixture.is_blocked(name)) {
        assert_eq!(after.get(name), Some(object), "{name}");
    }
    std::fs::remove_dir_all(directory).expect("the plan's directory");
    fixture.remove().await;
}

#[tokio::test]
async fn a_workload_moves_with_apply_or_is_rolled_back() {
    let _alone = ALONE.lock().await;
    let fixture = Fixture::create("applied").await;
    let before = fixture.snapshot().await;
    let namespace = &fixture.prod;
    let roles = Namespace::new("roles").await;
    let reader = User::with_role(&roles, "azure-wi-azwi-migrate").await;
    let writer = User::with_role(&roles, "azure-wi-azwi-migrate-apply").await;
    for command in ["plan", "status"] {
        let line = reader.azwi(&format!("migrate {command} --issuer {ISSUER}"));
        let read = text(&shell(&line).await);
        assert!(!read.contains("not read"), "{read}");
        assert!(read.contains(&format!("{namespace}/web")), "{read}");
    }
    let web = format!("deployment/web -n {namespace} --issuer {ISSUER}");
    let moving = format!("migrate move {web} --apply");
    let forbidden = shell(&reader.azwi(&moving)).await;
    assert_eq!(forbidden.status.code(), Some(2), "{}", text(&forbidden));
    assert!(
        text(&forbidden).contains("cannot create"),
        "{}",
        text(&forbidden)
    );
    // The account of `default` has a role that a new one gets too.
    let forbidden = shell(&writer.azwi(&moving)).await;
    assert_eq!(forbidden.status.code(), Some(2), "{}", text(&forbidden));
    let reason = "attempting to grant RBAC permissions not currently held";
    assert!(text(&forbidden).contains(reason), "{}", text(&forbidden));
    run("kubectl create clusterrole azwi-bind --verb bind --resource clusterroles.rbac.authorization.k8s.io --resource-name view").await;
    writer.bind("azwi-bind").await;
    // Without a federated credential Entra refuses the token.
    let refused = shell(&writer.azwi(&format!("{moving} --timeout 45"))).await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(
        text(&refused).contains(&format!(
            "Deployment {namespace}/web: rolled back: Entra refuses a token: AADSTS70021"
        )),
        "{}",
        text(&refused)
    );
    let object = kubectl_json(&["get", "-n", namespace, "deployment", "web"]).await;
    assert_eq!(
        fixture::essence(&object),
        before[&format!("Deployment {namespace}/web")]
    );

    run(&format!(
        "azwi migrate plan deployment/web -n {namespace} -o az | sh -eu"
    ))
    .await;
    let moved = shell(&writer.azwi(&moving)).await;
    assert_eq!(moved.status.code(), Some(0), "{}", text(&moved));
    assert!(
        text(&moved).ends_with(&format!("Deployment {namespace}/web: moved\n")),
        "{}",
        text(&moved)
    );
    assert_eq!(appid(&fixture, 0, "web").await, fixture.client_id("shop"));

    let back = run(&writer.azwi(&format!("migrate back {web} --apply"))).await;
    assert!(back.contains("as before"), "{back}");
    assert_eq!(fixture.snapshot().await, before);
    fixture.remove().await;
}

/// A migration looks at the whole cluster.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The states of the workloads, when none of the fixture's is waiting or to move.
async fn wait_until_done(fixture: &Fixture) -> BTreeMap<String, String> {
    let own: Vec<String> = fixture
        .workloads
        .iter()
        .map(|it| fixture.object(it))
        .collect();
    until(
        "the workloads are done",
        async || {
            let output = shell("azwi migrate status -o json").await;
            let document: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}", text(&output)));
            let workloads = document["workloads"].as_array().expect("workloads").clone();
            let states = workloads.iter().map(|it| {
                let word = |path| {
                    it.pointer(path)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let name = format!(
                    "{} {}/{}",
                    word("/object/kind"),
                    word("/object/namespace"),
                    word("/object/name")
                );
                (name, word("/state"))
            });
            states.collect::<BTreeMap<_, _>>()
        },
        |states| {
            own.iter()
                .all(|it| states.get(it).is_some_and(|it| it == "done"))
        },
    )
    .await
}

/// The application that the newest pod of a workload got a token for last.
async fn appid(fixture: &Fixture, namespace: usize, app: &str) -> String {
    let namespace = fixture.namespace(namespace);
    until(
        &format!("a token of {app}"),
        async || {
            let selector = format!("app={app}");
            let pods = kubectl_json(&[
                "get",
                "pods",
                "-n",
                namespace,
                "-l",
                &selector,
                "--sort-by=.metadata.creationTimestamp",
            ])
            .await;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            let mut alive = pods
                .iter()
                .rev()
                .filter(|it| it["metadata"]["deletionTimestamp"].is_null());
            let pod = alive.next()?["metadata"]["name"].as_str()?.to_owned();
            let log = e2e::try_kubectl(
                &["logs", "-n", namespace, &pod, "-c", "app", "--tail=1"],
                "",
            )
            .await
            .ok()?;
            let is_answer = log.trim_start().starts_with('{') && log.contains("access_token");
            is_answer.then(|| {
                claims(log.trim())["appid"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
        },
        Option::is_some,
    )
    .await
    .expect("a token")
}

/// The node's own identity, as the emulated IMDS has it.
const NODE: &str = "99999999-0000-0000-0000-000000000000";
