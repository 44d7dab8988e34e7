//! The real webhook and proxy, and what they need around them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use azure_emulator::{AUDIENCE, Application, Azure, Issuer, Options, SigningKey, Tenant};
use contract::variable;
use rustls::ClientConfig;
use serde_json::json;
use testkit::certificate::{Authority, client_config};

use crate::arguments::Arguments;
use crate::attack::{SERVER_NAME, Target};
use crate::cluster::{self, ACCOUNT, CLIENT_ID, NAMESPACE};
use crate::honest::Client;
use crate::imds;
use crate::limit::Limit;
use crate::program::Program;

/// Both programs, ready, and all that may be attacked.
pub struct World {
    /// The programs.
    pub programs: Vec<Program>,
    /// Their sockets.
    pub targets: Vec<Target>,
    /// Clients that are served meanwhile.
    pub clients: Vec<Client>,
    /// Emulated Entra; it ends when this is dropped.
    pub azure: Azure,
}

impl World {
    /// Starts everything, with logs and other files in the output folder.
    ///
    /// # Panics
    ///
    /// When a part does not start.
    pub async fn start(arguments: &Arguments) -> Self {
        std::fs::create_dir_all(&arguments.output).expect("the output folder can be made");
        let azure = Azure::start(Options {
            token_proxy_address: None,
            ..Options::default()
        })
        .await;
        let mut world = Self {
            programs: Vec::new(),
            targets: Vec::new(),
            clients: Vec::new(),
            azure: azure.expect("the emulated Entra starts"),
        };
        world.start_proxy(arguments).await;
        world.start_webhook(arguments).await;
        for client in &world.clients {
            client.until_served().await;
        }
        world
    }

    async fn start_proxy(&mut self, arguments: &Arguments) {
        let token = register(&self.azure).await;
        let file = write(&arguments.output, "service-account-token", token.as_bytes());
        let node = imds::start().await;
        let address = free();
        let mut command = Command::new(&arguments.proxy);
        command
            .arg(format!("--proxy-port={}", address.port()))
            .env_clear()
            .env(variable::CLIENT_ID, CLIENT_ID)
            .env(variable::TENANT_ID, TENANT)
            .env(variable::FEDERATED_TOKEN_FILE, file)
            .env(variable::AUTHORITY_HOST, self.azure.entra_url())
            .env(variable::CA_DATA, &self.azure.ca_pem)
            // The attack has no redirect.
            .env(variable::LOOPBACK, "on")
            .env(variable::METADATA_IP, node.ip().to_string())
            .env(variable::METADATA_PORT, node.port().to_string());
        let signature = token.rsplit('.').next().unwrap_or(&token).to_owned();
        let log = arguments.output.join("proxy.log");
        self.programs.push(Program::start(
            "proxy",
            command,
            Some(limit("proxy")),
            log,
            vec![token, signature],
        ));
        self.targets.push(Target {
            name: "proxy",
            address,
            tls: None,
        });
        self.clients.push(Client::Sdk(address));
    }

    async fn start_webhook(&mut self, arguments: &Arguments) {
        let tls = certificate(&arguments.output);
        let kubeconfig = write(
            &arguments.output,
            "kubeconfig",
            kubeconfig(cluster::start().await).as_bytes(),
        );
        let (admission, health, metrics) = (free(), free(), free());
        let mut command = Command::new(&arguments.webhook);
        command
            .arg(format!("--port={}", admission.port()))
            .arg(format!("--health-addr={health}"))
            .arg(format!("--metrics-addr={metrics}"))
            .arg("--disable-cert-rotation")
            .arg("--webhook-cert-dir")
            .arg(&arguments.output)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("AZURE_TENANT_ID", TENANT)
            .env("PROXY_IMAGE", "registry.example.com/proxy:v1");
        let log = arguments.output.join("webhook.log");
        self.programs.push(Program::start(
            "webhook",
            command,
            Some(limit("webhook")),
            log,
            Vec::new(),
        ));
        let reviews = Target {
            name: "webhook",
            address: admission,
            tls: Some(Arc::clone(&tls)),
        };
        self.clients.extend([
            Client::ApiServer(reviews.clone(), tls),
            Client::Kubelet(health),
        ]);
        let plain = |name, address| Target {
            name,
            address,
            tls: None,
        };
        self.targets.extend([
            reviews,
            plain("webhook-health", health),
            plain("webhook-metrics", metrics),
        ]);
    }
}

fn limit(program: &str) -> Limit {
    Limit::new(program, LIMIT).unwrap_or_else(|error| panic!("{error}"))
}

/// The chart's limit of memory for the webhook and for the proxy, in KiB.
pub const LIMIT: u64 = 64 * 1024;

/// Writes the webhook's certificate, and returns the trust in it.
fn certificate(folder: &Path) -> Arc<ClientConfig> {
    let authority = Authority::new("Adversary CA").expect("an authority");
    let server = authority
        .server("webhook", &[SERVER_NAME])
        .expect("a certificate");
    write(folder, "tls.crt", server.certificate.as_bytes());
    write(folder, "tls.key", server.key.as_bytes());
    client_config(authority.certificate().as_bytes()).expect("it is well-formed")
}

/// Registers a tenant with an identity that trusts a service account, and signs its token.
async fn register(azure: &Azure) -> String {
    let key = SigningKey::generate().expect("a key");
    let control = &azure.control;
    control
        .add_tenant(&Tenant::new(TENANT))
        .await
        .expect("a tenant");
    let issuer = Issuer {
        issuer: ISSUER.to_owned(),
        jwks: Some(key.key_set()),
        ..Issuer::default()
    };
    control.add_issuer(&issuer).await.expect("an issuer");
    let subject = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let application: Application = serde_json::from_value(json!({
        "tenant": TENANT, "client_id": CLIENT_ID,
        "federated_credentials": [{ "issuer": ISSUER, "subject": subject, "audiences": [AUDIENCE] }],
    }))
    .expect("an application");
    control
        .add_application(&application)
        .await
        .expect("it is registered");
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("it is later")
        .as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + DAY,
    });
    key.sign(&claims).expect("a token")
}

fn kubeconfig(server: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\n\
         users: [{{name: c, user: {{}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n"
    )
}

fn write(folder: &Path, name: &str, contents: &[u8]) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, contents)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    file
}

/// An address whose port is free.
fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it listens")
}

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const ISSUER: &str = "https://oidc.cluster.example/";

/// In seconds.
const DAY: u64 = 86_400;
