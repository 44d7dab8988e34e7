//! Names that an attacker chose. They reach a shell as one argument, and a terminal as visible text.

use azwi::checks::{self, Code, Finding};
use azwi::facts::read::Scope;
use azwi::migrate::inventory::Inventory;
use azwi::migrate::plan::{Options, Plan};
use azwi::migrate::status::{removals, status};
use azwi::migrate::write::{self, commands, files};
use azwi::report::{Report, json, text};
use contract::terminal::is_control;
use serde_json::json;

use crate::api_server::Cluster;
use crate::causes::facts;
use crate::fixture::{account, healthy, owned, pod, template, unlabelled, workload};
use crate::migration::planned;
use crate::pod_identity::{binding, cluster};
use crate::shell::calls;

/// Names that are more than a word for a shell, or move a terminal's cursor.
const NAMES: &[&str] = &[
    "web; touch x # %",
    "$(touch x)",
    "`touch x`",
    "it's",
    "\"; touch x; \"",
    "'; touch x; '",
    "a\nb; touch x",
    "a\n touch x #",
    "\u{1b}[2J\u{1b}[31mred",
    "a\u{202e}b\u{2028}c\u{9b}d\u{7f}e",
    "$HOME ${HOME} \\",
    "a b",
    "x && touch x",
    "x | touch x",
    "x > touch",
    "*",
    "~",
    "a=b c",
    "-x",
    "--kubeconfig=x",
    "é\u{1f980}",
];

fn printable(text: &str) -> String {
    text.replace(is_control, "\u{fffd}")
}

/// As an argument that is no option.
fn operand(text: &str) -> String {
    match printable(text).strip_prefix('-') {
        Some(rest) => format!("\u{fffd}{rest}"),
        None => printable(text),
    }
}

fn assert_printable(text: &str) {
    let found = text.lines().find(|it| it.contains(is_control));
    assert_eq!(found, None);
}

/// The calls of each command, and the whole report as a terminal gets it.
fn calls_of(findings: Vec<Finding>) -> Vec<Vec<String>> {
    let fixes = findings.iter().filter_map(|it| it.fix.as_deref());
    let calls = fixes.flat_map(|it| calls(it).unwrap()).collect();
    let report = Report {
        findings,
        ..Report::default()
    };
    let mut out = String::new();
    text::write(&mut out, &report, text::Style::default()).unwrap();
    assert_printable(&out);
    assert_printable(&json::write(&report).unwrap());
    calls
}

async fn all(cluster: Cluster) -> Vec<Finding> {
    checks::all(&facts(cluster, &Scope::default()).await)
}

/// The API server checks of an owner's kind and name that they are not empty.
#[tokio::test]
async fn an_owner_of_a_pod_stays_one_argument() {
    for name in NAMES {
        for kind in ["Deployment", "Rollout", name] {
            for is_labelled in [true, false] {
                let mut lone = pod("lone", "");
                lone["spec"]["volumes"] = json!([]);
                if !is_labelled {
                    lone["metadata"]["labels"] = json!({ "app": "lone" });
                }
                let mut cluster = healthy();
                cluster.objects.push(owned(lone, kind, name));
                let found = all(cluster).await;
                // A template of a known kind is looked at instead of its pods.
                let is_known = kind == "Deployment" && !is_labelled;
                let named = found.iter().filter(|it| it.object.name == *name);
                let count = usize::from(!is_known);
                assert_eq!(named.count(), count, "{name} {kind}: {found:?}");
                let calls = calls_of(found);
                let wanted = operand(&format!("{}/{name}", kind.to_ascii_lowercase()));
                let is_one = |it: &String| *it == wanted || it == "lone";
                let mut all = calls.iter().flatten();
                assert_eq!(all.any(is_one), !is_known, "{wanted}: {calls:?}");
            }
        }
    }
}

/// In the count of an identity's federated credentials, and in every finding that shows the value.
#[tokio::test]
async fn a_client_id_stays_text() {
    for name in NAMES {
        let mut cluster = healthy();
        for nth in 0..21 {
            let account = account("prod", &format!("many-{nth}"), Some(name));
            cluster.objects.push(account);
        }
        cluster
            .objects
            .push(workload("Deployment", "many", template("many-1")));
        let found = all(cluster).await;
        assert!(found.iter().all(|it| it.code != Code::Slots), "{found:?}");
        assert!(
            found.iter().any(|it| it.code == Code::Malformed),
            "{found:?}"
        );
        calls_of(found);
    }
}

#[tokio::test]
async fn a_service_account_of_a_template_stays_one_argument() {
    for name in NAMES {
        let mut cluster = healthy();
        cluster
            .objects
            .push(workload("Deployment", "shop-2", template(name)));
        cluster
            .objects
            .push(workload("Deployment", "shop-3", unlabelled(name)));
        let calls = calls_of(all(cluster).await);
        let wanted = operand(name);
        let creates =
            |it: &Vec<String>| it[3..5] == ["create", "serviceaccount"] && it[5] == wanted;
        assert!(calls.iter().any(creates), "{wanted}: {calls:?}");
    }
}

async fn migration(name: &str) -> (Inventory, Plan) {
    let mut cluster = cluster();
    cluster.objects.push(json!({
        "kind": "RoleBinding",
        "metadata": { "namespace": "prod", "name": name },
        "roleRef": { "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": "default" }],
    }));
    // A template of a custom resource is not validated.
    let rollout = cluster.get("Rollout", "rollout");
    rollout["spec"]["template"]["spec"]["serviceAccountName"] = json!(name);
    // Nor are the fields of an AzureIdentityBinding, and the label of the template that it selects.
    cluster
        .objects
        .push(binding("prod", "named", name, "named", 0));
    let mut named = unlabelled("default");
    named["metadata"]["labels"]["aadpodidbinding"] = json!("named");
    cluster.objects.push(workload("Deployment", "named", named));
    let mut lone = pod("lone", "");
    lone["metadata"]["labels"] = json!({ "aadpodidbinding": "shop" });
    lone["spec"]["volumes"] = json!([]);
    cluster.objects.push(owned(lone, name, name));
    planned(cluster, &Options::default()).await
}

#[tokio::test]
async fn every_line_of_a_migration_is_split_as_it_is_meant() {
    for name in NAMES {
        let (inventory, plan) = migration(name).await;
        let (forward, back) = (commands::forward(&plan), commands::back(&plan));
        for script in [&forward, &back] {
            assert_printable(script);
            calls(script).unwrap();
            for line in script.lines() {
                calls(line).unwrap();
            }
        }
        let calls = calls(&back).unwrap();
        let wanted = operand(&format!("rolebinding/{name}-taken-2"));
        let deletes = |it: &Vec<String>| it[..3] == ["kubectl", "delete", "--ignore-not-found"];
        let mut deleted = calls.iter().filter(|it| deletes(it));
        let wanted = ["-n", "prod", &wanted];
        assert!(deleted.any(|it| it[3..] == wanted), "{wanted:?}: {calls:?}");
        // The account of the custom resource.
        let account = operand(&format!("serviceaccount/{name}"));
        let mut all = calls.iter().flatten();
        assert!(all.any(|it| *it == account), "{account}: {calls:?}");

        let gaps = &inventory.facts.gaps;
        let mut out = String::new();
        write::text::write(&mut out, &plan, gaps).unwrap();
        let progress = status(&plan, &Default::default());
        let removals = removals(&inventory, &plan, &progress);
        write::status::text(&mut out, &progress, Some(&removals), gaps).unwrap();
        assert_printable(&out);
        for fix in progress.iter().filter_map(|it| it.fix.as_deref()) {
            assert_printable(fix);
        }
        assert_printable(&write::json::write(&plan, gaps).unwrap());
        assert_printable(&write::status::json(&progress, Some(&removals), gaps).unwrap());
        assert_printable(&files::patches(&plan));
    }
}

/// Names of files, and what is in them.
#[tokio::test]
async fn files_of_a_migration_stay_in_their_directory() {
    let directory = std::env::temp_dir().join(format!("azwi-hostile-{}", std::process::id()));
    for (nth, name) in NAMES.iter().chain(&["../../x", "/x"]).enumerate() {
        let (inventory, plan) = migration(name).await;
        let directory = directory.join(nth.to_string());
        files::write(&directory, &plan, &inventory.facts.gaps).unwrap();
        for folder in ["", "patches", "back"] {
            for entry in std::fs::read_dir(directory.join(folder)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    assert_printable(&std::fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        for script in ["move.sh", "back.sh", "federated-credentials.sh"] {
            let script = std::fs::read_to_string(directory.join(script)).unwrap();
            calls(&script).unwrap();
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}
