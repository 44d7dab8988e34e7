//! The plan of a migration: right for every workload of a cluster that shows every flaw.

use azwi::azure;
use azwi::migrate::inventory::Inventory;
use azwi::migrate::inventory::read;
use azwi::migrate::patch::merged;
use azwi::migrate::plan::{Move, Options, Plan, Sureness, plan};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::api_server::{Cluster, SIGNATURE};
use crate::fixture::{healthy, resource_id};
use crate::pod_identity::{client_id, cluster, identity, nmi};
use crate::process::{azwi, text};

pub(crate) async fn planned(cluster: Cluster, options: &Options) -> (Inventory, Plan) {
    let address = cluster.start().await;
    let config = Config::new(format!("http://{address}").parse().unwrap());
    let mut inventory = read::read(Client::try_from(config).unwrap(), None, true).await;
    assert_eq!(inventory.facts.gaps, []);
    let plan = plan(&mut inventory, options);
    (inventory, plan)
}

fn of<'a>(plan: &'a Plan, object: &str) -> &'a Move {
    let mut moves = plan.moves.iter();
    let found = moves.find(|it| it.workload.object.to_string() == object);
    found.unwrap_or_else(|| panic!("{object} is not in the plan"))
}

/// What is expected of a workload: its identities, how sure, its account, and what blocks it.
type Expected = (
    &'static str,
    &'static [&'static str],
    Sureness,
    &'static str,
    &'static str,
);

const MOVES: &[Expected] = &[
    (
        "CronJob prod/nightly",
        &["shop"],
        Sureness::Certain,
        "jobs",
        "",
    ),
    (
        "DaemonSet prod/agent",
        &["reader"],
        Sureness::Certain,
        "agent",
        "",
    ),
    (
        "Deployment kube-system/system",
        &["shop"],
        Sureness::Certain,
        "shop",
        "AZWI-W003",
    ),
    (
        "Deployment other/far",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    (
        "Deployment prod/asleep",
        &["store"],
        Sureness::Certain,
        "db",
        "",
    ),
    (
        "Deployment prod/both",
        &["reader", "store"],
        Sureness::Likely,
        "both",
        "",
    ),
    (
        "Deployment prod/by-resource",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    (
        "Deployment prod/certificate",
        &["certificate"],
        Sureness::Certain,
        "certificate",
        "",
    ),
    (
        "Deployment prod/dangling",
        &[],
        Sureness::Certain,
        "",
        "AzureIdentity prod/absent, which does not exist",
    ),
    (
        "Deployment prod/equal",
        &["store", "reader"],
        Sureness::Unclear,
        "equal",
        "",
    ),
    (
        "Deployment prod/full",
        &["full"],
        Sureness::Certain,
        "full",
        "",
    ),
    (
        "Deployment prod/host",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    (
        "Deployment prod/moved",
        &["shop"],
        Sureness::Certain,
        "moved",
        "",
    ),
    (
        "Deployment prod/nameless",
        &[],
        Sureness::Certain,
        "",
        "AzureIdentity prod/nameless has no client id",
    ),
    (
        "Deployment prod/odd",
        &[],
        Sureness::Certain,
        "",
        "unknown type 7",
    ),
    (
        "Deployment prod/secret",
        &["secret"],
        Sureness::Certain,
        "secret",
        "",
    ),
    (
        "Deployment prod/split",
        &["reader"],
        Sureness::Certain,
        "db-reader",
        "",
    ),
    (
        "Deployment prod/taken",
        &["taken"],
        Sureness::Certain,
        "taken-2",
        "",
    ),
    (
        "Deployment prod/unbound",
        &[],
        Sureness::Certain,
        "",
        "no AzureIdentityBinding selects label aadpodidbinding: nothing",
    ),
    (
        "Deployment prod/user",
        &["shop"],
        Sureness::Certain,
        "shop",
        "AZWI-W002",
    ),
    (
        "Deployment prod/web",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    (
        "Deployment prod/windows",
        &["shop"],
        Sureness::Certain,
        "shop",
        "AZWI-W002",
    ),
    (
        "Deployment prod/worker",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    (
        "Deployment strict/asking",
        &["shop"],
        Sureness::Certain,
        "shop",
        "169.254.169.254 by its address",
    ),
    (
        "Deployment strict/locked",
        &["shop"],
        Sureness::Certain,
        "shop",
        "",
    ),
    ("Job prod/once", &["shop"], Sureness::Certain, "jobs", ""),
    (
        "Kafka prod/kafka",
        &["store"],
        Sureness::Certain,
        "db",
        "makes its pods itself",
    ),
    ("Pod prod/alone", &["store"], Sureness::Certain, "db", ""),
    (
        "Rollout prod/rollout",
        &["store"],
        Sureness::Certain,
        "db",
        "",
    ),
    (
        "StatefulSet prod/db",
        &["store"],
        Sureness::Certain,
        "db",
        "",
    ),
];

#[tokio::test]
async fn the_plan_is_right_for_every_workload() {
    let (_, plan) = planned(cluster(), &Options::default()).await;
    assert_eq!(plan.findings, []);
    let mut found: Vec<String> = plan
        .moves
        .iter()
        .map(|it| it.workload.object.to_string())
        .collect();
    found.sort();
    let expected: Vec<&str> = MOVES.iter().map(|it| it.0).collect();
    assert_eq!(found, expected);
    for (object, identities, sureness, account, block) in MOVES {
        let it = of(&plan, object);
        let names: Vec<&str> = it.identities.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, *identities, "{object}");
        assert_eq!(it.sureness, *sureness, "{object}");
        assert_eq!(it.account.1, *account, "{object}");
        let blocks: Vec<&str> = it.blocks.iter().map(|it| it.reason.as_str()).collect();
        let is_expected = match blocks.as_slice() {
            [] => block.is_empty(),
            [one] => !block.is_empty() && one.contains(block),
            _ => false,
        };
        assert!(is_expected, "{object}: {blocks:?}");
    }
    let left: Vec<_> = plan.left.iter().map(|it| it.object.to_string()).collect();
    assert_eq!(left, ["Deployment prod/asking", "Deployment prod/excepted"]);
}

#[tokio::test]
async fn templates_get_what_their_applications_need() {
    let (_, plan) = planned(cluster(), &Options::default()).await;
    let annotations = |object: &str| {
        let annotations = of(&plan, object).change.annotations.clone();
        let pairs = annotations.into_iter();
        pairs
            .map(|(key, value)| (key.replace("azure.workload.identity/", ""), value))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let web = of(&plan, "Deployment prod/web");
    assert_eq!(web.change.labels["azure.workload.identity/use"], "true");
    assert_eq!(web.change.service_account.as_deref(), Some("shop"));
    assert_eq!(annotations("Deployment prod/web").len(), 1);
    assert_eq!(
        annotations("Deployment prod/web")["inject-proxy-sidecar"],
        "true"
    );
    for object in ["Deployment strict/locked", "Deployment prod/host"] {
        assert_eq!(annotations(object)["proxy-mode"], "environment", "{object}");
    }
    let both = annotations("Deployment prod/both");
    let map = [
        ("reader", client_id("reader")),
        ("store", client_id("store")),
    ];
    let map = map.map(|(name, id)| format!("{}={id}", resource_id(name).to_ascii_lowercase()));
    assert_eq!(both["identity-map"], map.join(";"));
    assert_eq!(both["skip-containers"], "app");
    let by_resource = annotations("Deployment prod/by-resource");
    assert_eq!(by_resource["skip-containers"], "app");
    assert!(by_resource["identity-map"].ends_with(&client_id("shop")));
    let db = of(&plan, "StatefulSet prod/db");
    assert_eq!(db.change.service_account, None);
    assert!(of(&plan, "Deployment prod/moved").is_moved());
    assert!(!of(&plan, "DaemonSet prod/agent").workload.rolls);
}

#[tokio::test]
async fn service_accounts_get_what_they_need_and_others_stay() {
    let (_, plan) = planned(cluster(), &Options::default()).await;
    let account = |namespace: &str, name: &str| {
        let mut accounts = plan.accounts.iter();
        let found = accounts.find(|it| it.namespace == namespace && it.name == name);
        found.unwrap_or_else(|| panic!("{namespace}/{name}"))
    };
    let shop = account("prod", "shop");
    assert!(shop.is_new);
    let (replaced, details) = shop.replaces.as_ref().unwrap();
    assert_eq!(
        (replaced.as_str(), details.image_pull_secrets.as_slice()),
        ("default", &["registry".to_owned()][..])
    );
    assert_eq!(details.grants[0].role, "view");
    assert_eq!(
        shop.annotations["azure.workload.identity/client-id"],
        client_id("shop")
    );
    assert!(
        !shop
            .annotations
            .contains_key("azure.workload.identity/tenant-id")
    );
    let secret = account("prod", "secret");
    assert!(!secret.is_new);
    assert_eq!(
        secret.annotations["azure.workload.identity/tenant-id"],
        "99999999-2222-3333-4444-555555555555"
    );
    assert!(account("prod", "moved").is_done());
    let names = plan.accounts.iter().map(|it| it.name.as_str());
    assert!(!names.clone().any(|it| it == "default" || it == "taken"));
    // One account for the workloads of `default` with the same identity.
    assert_eq!(
        names.filter(|it| *it == "shop").count(),
        4,
        "in prod, strict, kube-system and other"
    );
}

#[tokio::test]
async fn federated_credentials_are_those_that_azure_lacks() {
    let (_, plan) = planned(cluster(), &Options::default()).await;
    let subjects: Vec<&str> = plan.wanted.iter().map(|it| it.subject.as_str()).collect();
    assert!(subjects.contains(&"system:serviceaccount:prod:shop"));
    assert_eq!(
        subjects
            .iter()
            .filter(|it| it.ends_with(":prod:both"))
            .count(),
        2
    );
    assert!(
        plan.wanted
            .iter()
            .all(|it| it.issuer == "https://issuer.example.com/cluster/")
    );
    assert!(
        plan.wanted
            .iter()
            .all(|it| it.audience == "api://AzureADTokenExchange")
    );
    let secret = plan
        .wanted
        .iter()
        .find(|it| it.subject.ends_with(":prod:secret"))
        .unwrap();
    assert_eq!(secret.identity.resource_id, None);

    let documents = azure_documents(19, &[]);
    let options = Options {
        azure: Some(azure::read(&documents, None).unwrap()),
        issuer: None,
    };
    let (_, known) = planned(cluster(), &options).await;
    let of_shop = |plan: &Plan| {
        plan.wanted
            .iter()
            .filter(|it| it.subject == "system:serviceaccount:prod:shop")
            .count()
    };
    assert_eq!((of_shop(&plan), of_shop(&known)), (1, 0));
    assert!(of(&known, "Deployment prod/full").can_move());
    // The client id of an AzureIdentity without one is that of the resource.
    assert_eq!(
        of(&known, "Deployment prod/nameless").identities[0].client_id,
        client_id("nameless")
    );
}

#[tokio::test]
async fn where_credentials_run_out_a_second_identity_takes_over() {
    let read = |documents: &str| Options {
        azure: Some(azure::read(documents, None).unwrap()),
        issuer: None,
    };
    let (_, plan) = planned(cluster(), &read(&azure_documents(20, &[]))).await;
    let full = of(&plan, "Deployment prod/full");
    assert!(
        full.blocks[0].reason.contains("full has no capacity"),
        "{:?}",
        full.blocks
    );
    assert!(
        full.blocks[0]
            .fix
            .as_ref()
            .unwrap()
            .contains("--name full-2")
    );

    let options = read(&azure_documents(20, &["full-2"]));
    let (_, plan) = planned(cluster(), &options).await;
    let full = of(&plan, "Deployment prod/full");
    assert_eq!(
        (full.identities[0].name.as_str(), full.blocks.as_slice()),
        ("full-2", &[][..])
    );
    let wanted = plan
        .wanted
        .iter()
        .find(|it| it.subject.ends_with(":prod:full"))
        .unwrap();
    assert_eq!(wanted.identity.client_id, client_id("full-2"));
    // The account has it already: the next plan is the same.
    let mut cluster = cluster();
    let account = cluster.get("ServiceAccount", "full");
    account["metadata"]["annotations"] =
        json!({ "azure.workload.identity/client-id": client_id("full-2") });
    let (_, plan) = planned(cluster, &options).await;
    let full = of(&plan, "Deployment prod/full");
    assert_eq!(
        (full.identities[0].name.as_str(), full.account.1.as_str()),
        ("full-2", "full")
    );
}

/// What `az` writes: `count` credentials of identity `full`, one of `shop`, and other identities.
fn azure_documents(count: usize, more: &[&str]) -> String {
    let identity = |name: &str| json!({ "name": name, "clientId": client_id(name), "id": resource_id(name), "principalId": "p", "tenantId": "t" });
    let identities: Vec<Value> = ["shop", "nameless", "full"]
        .iter()
        .chain(more)
        .map(|it| identity(it))
        .collect();
    let credential = |identity: &str, name: String, subject: String| {
        json!({
            "name": name,
            "id": format!("{}/federatedIdentityCredentials/{name}", resource_id(identity)),
            "issuer": "https://issuer.example.com/cluster/",
            "subject": subject,
            "audiences": ["api://AzureADTokenExchange"],
        })
    };
    let subject = |name: &str| format!("system:serviceaccount:prod:{name}");
    let mut credentials = vec![credential("shop", "one".to_owned(), subject("shop"))];
    credentials.extend((0..count).map(|nth| {
        credential(
            "full",
            format!("other-{nth}"),
            subject(&format!("other-{nth}")),
        )
    }));
    format!("{} {}", json!(identities), json!(credentials))
}

/// What an earlier run has done is respected: after the accounts are made and one workload has moved, the rest of
/// the plan is the same.
#[tokio::test]
async fn a_plan_can_be_repeated_half_way() {
    let (_, before) = planned(cluster(), &Options::default()).await;
    let mut half = cluster();
    for account in &before.accounts {
        for object in azwi::migrate::write::manifest::account(account) {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let namespace = object["metadata"]["namespace"].clone();
            let is_same = |it: &Value| {
                it["kind"] == object["kind"]
                    && it["metadata"]["name"] == name.as_str()
                    && it["metadata"]["namespace"] == namespace
            };
            match half.objects.iter_mut().find(|it| is_same(it)) {
                Some(existing) => *existing = merged(existing, &object),
                None => half.objects.push(object),
            }
        }
    }
    let web = of(&before, "Deployment prod/web");
    let patch = azwi::migrate::write::manifest::remembered(web);
    let deployment = half.get("Deployment", "web");
    *deployment = merged(deployment, &patch);
    let (_, after) = planned(half, &Options::default()).await;
    assert!(of(&after, "Deployment prod/web").is_moved());
    assert!(of(&after, "Deployment prod/web").workload.before.is_some());
    assert!(
        after
            .accounts
            .iter()
            .all(azwi::migrate::plan::Account::is_done),
        "{:?}",
        after.accounts
    );
    for it in &before.moves {
        let object = it.workload.object.to_string();
        let again = of(&after, &object);
        assert_eq!(
            (&again.account, &again.identities),
            (&it.account, &it.identities),
            "{object}"
        );
    }
}

#[tokio::test]
async fn bindings_of_other_namespaces_count_as_nmi_counts_them() {
    let mut limited = cluster();
    *limited.get("DaemonSet", "nmi") = nmi(&["--force-namespaced"]);
    let (_, plan) = planned(limited, &Options::default()).await;
    assert!(
        of(&plan, "Deployment other/far").blocks[0]
            .reason
            .contains("no AzureIdentityBinding")
    );
    let mut unknown = cluster();
    unknown.remove("DaemonSet", "nmi");
    let (_, plan) = planned(unknown, &Options::default()).await;
    assert_eq!(of(&plan, "Deployment other/far").sureness, Sureness::Likely);
}

#[tokio::test]
async fn an_identity_that_annotations_limit_counts_in_its_namespace_alone() {
    let mut limited = cluster();
    let shop = limited.get("AzureIdentity", "shop");
    shop["metadata"]["annotations"] = json!({ "aadpodidentity.k8s.io/Behavior": "namespaced" });
    let (_, plan) = planned(limited, &Options::default()).await;
    assert!(!of(&plan, "Deployment other/far").blocks.is_empty());
}

/// `AZURE_CLIENT_ID` in a container says which of several identities its requests mean.
#[tokio::test]
async fn a_container_can_name_its_identity() {
    let mut named = cluster();
    let equal = named.get("Deployment", "equal");
    equal["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{ "name": "AZURE_CLIENT_ID", "value": client_id("reader") }]);
    let (_, plan) = planned(named, &Options::default()).await;
    let equal = of(&plan, "Deployment prod/equal");
    assert_eq!(
        (equal.identities[0].name.as_str(), equal.sureness),
        ("reader", Sureness::Certain)
    );
}

#[tokio::test]
async fn a_cluster_without_webhook_or_with_a_private_issuer_moves_nothing() {
    let mut bare = cluster();
    bare.remove(
        "MutatingWebhookConfiguration",
        crate::fixture::CONFIGURATION,
    );
    bare.issuer.issuer = "https://kubernetes.default.svc";
    let (_, plan) = planned(bare, &Options::default()).await;
    let codes: Vec<&str> = plan.findings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
}

#[tokio::test]
async fn the_program_writes_a_table_and_says_what_blocks() {
    let output = azwi(cluster(), &["migrate", "plan"]).await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    for line in [
        "Deployment prod/web shop certain shop (new) to move",
        "Deployment prod/moved shop certain moved moved",
        "Deployment prod/unbound none certain blocked",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line}\n{text}");
    }
    for line in [
        "\nblocked: Deployment prod/nameless: AzureIdentity prod/nameless has no client id\n    az identity show --ids ",
        "\nleft: Deployment prod/excepted: AzurePodIdentityException prod/past takes its pods past NMI",
        "\nfederated credentials of shop: ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains(SIGNATURE));
}

#[tokio::test]
async fn the_program_plans_one_workload() {
    let output = azwi(
        cluster(),
        &[
            "migrate",
            "plan",
            "deploy/web",
            "-n",
            "prod",
            "-o",
            "kubectl",
        ],
    )
    .await;
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(r#""kind":"ServiceAccount""#)
            && text.contains(r#""imagePullSecrets":[{"name":"registry"}]"#),
        "{text}"
    );
    assert!(
        text.contains("kubectl patch -n prod deployment/web --type merge --patch '{"),
        "{text}"
    );
    assert!(!text.contains("worker"), "{text}");
    let output = azwi(
        cluster(),
        &["migrate", "plan", "deploy/absent", "-n", "prod"],
    )
    .await;
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        crate::process::text(&output)
    );
}

#[tokio::test]
async fn the_program_writes_json_and_every_form_of_credential() {
    let output = azwi(cluster(), &["migrate", "plan", "-o", "json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let workloads = document["workloads"].as_array().unwrap();
    let web = workloads
        .iter()
        .find(|it| it["object"]["name"] == "web")
        .unwrap();
    assert_eq!(web["identities"][0]["clientId"], client_id("shop").as_str());
    assert_eq!(web["sureness"], "certain");
    assert_eq!(web["serviceAccount"]["name"], "shop");
    assert_eq!(web["moved"], false);
    assert!(web["patch"].is_object() && web["back"].is_object());
    assert_eq!(document["issuer"], "https://issuer.example.com/cluster/");
    assert!(document["federatedCredentials"][0]["subject"].is_string());
    for (form, word) in [
        ("az", "az identity federated-credential create "),
        (
            "terraform",
            "resource \"azurerm_federated_identity_credential\"",
        ),
        ("bicep", "@batchSize(1)"),
        ("aso", "kind: FederatedIdentityCredential"),
        ("patches", "inject-proxy-sidecar: \"true\""),
    ] {
        let output = azwi(cluster(), &["migrate", "plan", "-o", form]).await;
        assert!(text(&output).contains(word), "{form}: {}", text(&output));
    }
}

#[tokio::test]
async fn files_have_names_of_their_own_and_are_not_overwritten() {
    let directory = std::env::temp_dir().join(format!("azwi-plan-{}", std::process::id()));
    let path = directory.to_str().unwrap();
    let output = azwi(cluster(), &["migrate", "plan", "--write", path]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let files = |name: &str| {
        let files = std::fs::read_dir(directory.join(name)).unwrap();
        let mut names: Vec<String> = files
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let (_, plan) = planned(cluster(), &Options::default()).await;
    let patched = plan
        .moves
        .iter()
        .filter(|it| it.can_move() && it.workload.manifest.is_none());
    let expected = patched.count() + 1;
    assert_eq!(
        (files("patches").len(), files("back").len()),
        (expected, expected)
    );
    assert!(
        files("patches").contains(&"prod_apps_v1_deployment_web.yaml".to_owned()),
        "{:?}",
        files("patches")
    );
    assert_eq!(files("").len(), 10);
    let again = azwi(cluster(), &["migrate", "plan", "--write", path]).await;
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again).contains("is not empty"), "{}", text(&again));
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn missing_rights_are_named() {
    for (resource, right) in [
        (
            "azureidentities",
            "list azureidentities.aadpodidentity.k8s.io in the cluster",
        ),
        (
            "rolebindings",
            "list rolebindings.rbac.authorization.k8s.io in the cluster",
        ),
        ("token", "create serviceaccounts/token in namespace"),
    ] {
        let mut cluster = cluster();
        cluster.forbidden.insert(resource);
        cluster.objects.push(identity("prod", "foreign", 0));
        let output = azwi(cluster, &["migrate", "plan", "deploy/web", "-n", "prod"]).await;
        let text = text(&output);
        assert!(
            text.contains(&format!("not read: the right to {right}")),
            "{resource}: {text}"
        );
        assert_ne!(output.status.code(), Some(0), "{text}");
    }
}

/// Where not all could be read, there may be workloads after all.
#[tokio::test]
async fn no_workload_is_said_to_use_it_only_as_far_as_could_be_read() {
    for command in ["plan", "status"] {
        let output = azwi(healthy(), &["migrate", command]).await;
        let none = "No workload uses pod-managed identity.\n";
        assert!(text(&output).contains(none), "{}", text(&output));
        let mut cluster = healthy();
        cluster.forbidden.insert("deployments");
        let output = azwi(cluster, &["migrate", command]).await;
        let none = "No workload that could be read uses pod-managed identity.\n";
        assert!(text(&output).contains(none), "{}", text(&output));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    }
}
