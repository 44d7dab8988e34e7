//! The page on self-managed clusters, step by step: the cluster gets an issuer that is a static website, and a new key.
//!
//! This program runs after the others: the API server's flags change.

use azure_emulator::{Service, website_url};
use e2e::page::{Commands, documented};
use e2e::program::{run, shell, text};
use e2e::{
    Container, DEPLOYMENT, ISSUER, Identity, Namespace, Pod, claims, control, flags_of, kubectl,
    restart_with, system,
};
use serde_json::Value;
use tokio::sync::Mutex;

const PAGE: &str = "docs/self-managed.md";
const API_SERVER: &str = "kube-apiserver";
const CONTROLLERS: &str = "kube-controller-manager";

/// The API server has one set of flags.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_cluster_gets_an_issuer_and_rotates_its_key() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::new("issuer").await;
    let new = &cluster.issuer;
    assert_eq!(cluster.issuer_of_a_new_pod().await, ISSUER);

    cluster.make_a_place().await;
    let before = cluster.issuer_flags(&[new, ISSUER]);
    restart_with(API_SERVER, &before).await;
    let found = cluster.check(1).await;
    let url = format!("{new}/.well-known/openid-configuration: its status is 404");
    assert!(
        found.contains("AZWI-T005") && found.contains(&url),
        "{found}"
    );

    cluster
        .publish(documented(PAGE, "az storage blob upload-batch"))
        .await;
    let found = cluster.check(0).await;
    assert_eq!(
        found,
        format!("issuer {new}: 1 keys published, 1 in the cluster\n")
    );
    cluster.federate("").await;
    assert_eq!(&cluster.issuer_of_a_new_pod().await, new);

    let old_key = cluster.rotate(&before).await;
    cluster.drop_key(&old_key).await;
    cluster.undo().await;
}

#[tokio::test]
async fn an_issuer_changes_without_a_gap() {
    let _alone = ALONE.lock().await;
    let cluster = Cluster::new("moved").await;
    let new = &cluster.issuer;
    cluster.make_a_place().await;
    let publish = documented(PAGE, "az storage blob upload-batch");
    let publish = publish.with("publish site", &format!("publish site --issuer {new}"));
    cluster.publish(publish).await;
    assert_eq!(cluster.issuer_of_a_new_pod().await, ISSUER);
    cluster.federate(&format!("--new-issuer {new}")).await;
    assert_eq!(cluster.issuer_of_a_new_pod().await, ISSUER);

    restart_with(API_SERVER, &cluster.issuer_flags(&[new, ISSUER])).await;
    assert_eq!(&cluster.issuer_of_a_new_pod().await, new);
    cluster.check(0).await;
    restart_with(API_SERVER, &cluster.issuer_flags(&[ISSUER, new])).await;
    assert_eq!(cluster.issuer_of_a_new_pod().await, ISSUER);
    cluster.undo().await;
}

/// The cluster, with a directory for the documents and the name of a storage account that the test creates.
struct Cluster {
    namespace: Namespace,
    identity: Identity,
    directory: String,
    account: String,
    issuer: String,
}

impl Cluster {
    async fn new(test: &str) -> Self {
        let (namespace, identity) = Namespace::with_identity(test).await;
        let directory = std::env::temp_dir().join(namespace.name());
        std::fs::create_dir_all(&directory).expect("the folder can be made");
        // Storage accounts have letters and digits alone.
        let account = namespace.name().replace('-', "");
        Self {
            issuer: website_url(&account),
            directory: directory.display().to_string(),
            namespace,
            identity,
            account,
        }
    }

    /// Runs commands of the page in the directory.
    async fn run(&self, commands: Commands) -> String {
        commands.after(&self.prelude()).run().await
    }

    /// The node trusts no public authority of the emulated Azure.
    fn prelude(&self) -> String {
        format!("export SSL_CERT_FILE=$AZURE_CA_FILE\ncd {}", self.directory)
    }

    /// Step 1 of the page.
    async fn make_a_place(&self) {
        let commands = documented(PAGE, "az storage account create")
            .with("<group>", "group")
            .with("<storage account>", &self.account)
            .before("echo \"issuer=$issuer\"");
        let printed = self.run(commands).await;
        assert!(
            printed.ends_with(&format!("issuer={}\n", self.issuer)),
            "{printed}"
        );
    }

    /// Step 2: flags of the API server. The first issuer is in new tokens.
    fn issuer_flags(&self, issuers: &[&str]) -> Vec<String> {
        let mut flags: Vec<String> = issuers
            .iter()
            .map(|it| format!("--service-account-issuer={it}"))
            .collect();
        let first = issuers.first().map(|it| it.trim_end_matches('/'));
        let jwks_uri = format!(
            "--service-account-jwks-uri={}/openid/v1/jwks",
            first.unwrap_or_default()
        );
        flags.push(jwks_uri);
        flags
    }

    /// Step 3.
    async fn publish(&self, commands: Commands) -> String {
        let commands = commands.with("<storage account>", &self.account);
        self.run(commands).await
    }

    async fn publish_again(&self) -> String {
        self.publish(documented(PAGE, "az storage blob upload-batch"))
            .await
    }

    /// Step 4: writes the credentials that are missing.
    async fn federate(&self, options: &str) {
        let namespace = self.namespace.name();
        let lists = format!(
            "--credentials <(az identity list -o json) --credentials <(az identity federated-credential list \
             --identity-name {} --resource-group group -o json)",
            self.identity.client_id
        );
        let line = format!("azwi federate -n {namespace} {options} {lists}");
        let missing = shell(&line).await;
        assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));
        assert!(text(&missing).contains("missing"), "{}", text(&missing));
        // It ends with 1 where something is to do.
        run(&format!("{{ {line} -o az || true; }} | sh -eu")).await;
        let none = shell(&line).await;
        assert_eq!(none.status.code(), Some(0), "{}", text(&none));
    }

    /// Runs the page's check, which has to end with this code, and returns what it wrote.
    async fn check(&self, code: i32) -> String {
        let check = format!(
            "{}\nazwi issuer check --service-account app -n {}",
            self.prelude(),
            self.namespace.name()
        );
        let checked = shell(&check).await;
        assert_eq!(checked.status.code(), Some(code), "{}", text(&checked));
        text(&checked)
    }

    /// The issuer that Entra was shown when a new pod got its token.
    async fn issuer_of_a_new_pod(&self) -> String {
        let exchanges = async || {
            let requests = control().requests(Some(Service::Entra)).await;
            let requests = requests.expect("the emulator records requests").into_iter();
            let own = requests.filter(|it| it.client_id.as_ref() == Some(&self.identity.client_id));
            own.collect::<Vec<_>>()
        };
        let name = format!("pod-{}", exchanges().await.len());
        let pod = Pod::new(&name)
            .with_proxy()
            .container(Container::asking_imds("app"));
        self.namespace.run_to_success(&pod).await;
        let token = claims(&self.namespace.log(&name, "app").await);
        assert_eq!(token["appid"], self.identity.client_id, "its own token");
        let exchanges = exchanges().await;
        let last = exchanges.last().and_then(|it| it.claims.as_ref());
        last.and_then(|it| it["iss"].as_str())
            .expect("an exchange")
            .to_owned()
    }

    /// The page's rotation up to the new key that signs. Returns the id of the old one.
    async fn rotate(&self, issuers: &[String]) -> String {
        let old = flags_of(API_SERVER, "--service-account-key-file");
        let old_id = self.signing_key().await;
        let secret = self.token_in_a_secret().await;
        let old_token = format!("{}/old.token", self.directory);
        let create = "kubectl create token app --audience api://AzureADTokenExchange";
        run(&format!(
            "{create} -n {} >{old_token}",
            self.namespace.name()
        ))
        .await;

        self.run(documented(PAGE, "openssl genrsa")).await;
        let key = |name: &str| format!("{}/sa-new.{name}", self.directory);
        let keys = [&old[..], &[key("pub")]].concat();
        let keys = keys
            .iter()
            .map(|it| format!("--service-account-key-file={it}"));
        let both = [issuers, &keys.collect::<Vec<_>>()].concat();
        restart_with(API_SERVER, &both).await;
        let found = self.check(1).await;
        assert!(found.contains("AZWI-T009"), "{found}");
        self.publish_again().await;
        let found = self.check(0).await;
        assert!(
            found.ends_with("2 keys published, 2 in the cluster\n"),
            "{found}"
        );

        let signing = format!("--service-account-signing-key-file={}", key("key"));
        restart_with(API_SERVER, &[&both[..], &[signing]].concat()).await;
        let signing = format!("--service-account-private-key-file={}", key("key"));
        restart_with(CONTROLLERS, &[signing]).await;
        assert_ne!(self.signing_key().await, old_id);
        self.check(0).await;
        assert_eq!(self.issuer_of_a_new_pod().await, self.issuer);
        self.assert_entra_accepts(&old_token).await;
        assert!(is_accepted(&secret).await);
        old_id
    }

    /// The end of the rotation.
    async fn drop_key(&self, old_id: &str) {
        let secret = self.token_in_a_secret_of("before").await;
        // An hour later the kubelet has done the same.
        restart_the_webhook().await;
        let mut flags = self.issuer_flags(&[&self.issuer, ISSUER]);
        flags.push(format!(
            "--service-account-key-file={}/sa-new.pub",
            self.directory
        ));
        flags.push(format!(
            "--service-account-signing-key-file={}/sa-new.key",
            self.directory
        ));
        restart_with(API_SERVER, &flags).await;
        assert!(!is_accepted(&secret).await, "the page says so");
        let printed = self.publish_again().await;
        assert!(
            printed.contains(&format!("--drop-key {old_id}")),
            "{printed}"
        );
        let found = self.check(0).await;
        assert!(found.contains("AZWI-T010"), "{found}");
        let dropped = documented(PAGE, "--drop-key <key id>").with("<key id>", old_id);
        self.run(dropped).await;
        self.publish_again().await;
        let found = self.check(0).await;
        let clean = format!(
            "issuer {}: 1 keys published, 1 in the cluster\n",
            self.issuer
        );
        assert_eq!(found, clean);
        assert_eq!(self.issuer_of_a_new_pod().await, self.issuer);
    }

    /// The id of the key that signs new tokens.
    async fn signing_key(&self) -> String {
        let header = run(&format!(
            "kubectl create token app -n {} | cut -d. -f1 | base64 --decode 2>/dev/null || true",
            self.namespace.name()
        ))
        .await;
        let header: Value = serde_json::from_str(&header).expect("a token's header");
        header["kid"].as_str().expect("a key id").to_owned()
    }

    /// A file with the token of a Secret, which never expires.
    async fn token_in_a_secret(&self) -> String {
        let namespace = self.namespace.name();
        let secret = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "before", "annotations": { "kubernetes.io/service-account.name": "app" } },
            "type": "kubernetes.io/service-account-token",
        });
        self.namespace.apply(&secret).await;
        kubectl(&[
            "wait",
            "-n",
            namespace,
            "secret/before",
            "--for=jsonpath={.data.token}",
            "--timeout=120s",
        ])
        .await;
        self.token_in_a_secret_of("before").await
    }

    async fn token_in_a_secret_of(&self, name: &str) -> String {
        let file = format!("{}/{name}.token", self.directory);
        run(&format!(
            "kubectl get -n {} secret/{name} -o jsonpath='{{.data.token}}' | base64 --decode >{file}",
            self.namespace.name()
        ))
        .await;
        file
    }

    /// Exchanges the token of a file at Entra.
    async fn assert_entra_accepts(&self, file: &str) {
        let status = run(&format!(
            "curl --silent --show-error --cacert $AZURE_CA_FILE --output /dev/null --write-out '%{{http_code}}' \
             --data-urlencode client_assertion@{file} --data client_id={} --data grant_type=client_credentials \
             --data client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
             --data scope=https://vault.azure.net/.default https://login.microsoftonline.com/{}/oauth2/v2.0/token",
            self.identity.client_id,
            e2e::TENANT
        ))
        .await;
        assert_eq!(status, "200", "a token of the old key");
    }

    /// The page's way back.
    async fn undo(&self) {
        restart_with(API_SERVER, &[]).await;
        restart_with(CONTROLLERS, &[]).await;
        restart_the_webhook().await;
        run(&format!(
            "az storage account delete --name {} --yes",
            self.account
        ))
        .await;
        assert_eq!(self.issuer_of_a_new_pod().await, ISSUER);
        std::fs::remove_dir_all(&self.directory).expect("the test's own folder");
    }
}

/// Whether the API server accepts the token of a file.
async fn is_accepted(file: &str) -> bool {
    let status = run(&format!(
        "curl --silent --show-error --cacert $CLUSTER_API_CA --output /dev/null --write-out '%{{http_code}}' \
         --header \"Authorization: Bearer $(cat {file})\" https://192.0.2.10:6443/api/v1/namespaces/none"
    ))
    .await;
    // 403: it knows who asks.
    status == "403"
}

async fn restart_the_webhook() {
    system(&["rollout", "restart", DEPLOYMENT]).await;
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await;
}
