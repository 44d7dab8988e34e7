//! The real program, with a real command line, against the API server in memory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;
use testkit::poll;
use testkit::program::Program;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;

use crate::cluster::Cluster;
use crate::http::{self, Answer};

/// A running webhook, ended when it is dropped.
pub(crate) struct Webhook {
    pub(crate) admission: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) cluster: Cluster,
    program: Program,
    directory: PathBuf,
}

impl Webhook {
    /// Starts it and waits until it is ready.
    pub(crate) async fn ready(cluster: &Cluster, args: &[&str]) -> Self {
        let webhook = Self::start(cluster, args).await;
        webhook.until_ready().await;
        webhook
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(cluster: &Cluster, args: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_webhook"));
        Self::start_as(command, cluster, args).await
    }

    /// The same, with a command that runs the program.
    pub(crate) async fn start_as(mut command: Command, cluster: &Cluster, args: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("webhook-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let kubeconfig = directory.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\n\
             users: [{{name: c, user: {{}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n",
            cluster.address
        );
        std::fs::write(&kubeconfig, text).unwrap();

        command
            .args([
                "-port=0",
                "--log-format=text",
                "--health-addr=127.0.0.1:0",
                "--metrics-addr",
                "127.0.0.1:0",
            ])
            .args(args)
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .env("AZURE_TENANT_ID", crate::fixture::TENANT_ID)
            .env("PROXY_IMAGE", "registry.example.com/proxy:v1")
            .env("POD_NAMESPACE", "system")
            // As in the chart.
            .env(
                "GLIBC_TUNABLES",
                "glibc.malloc.mmap_threshold=262144:glibc.malloc.trim_threshold=2097152",
            );
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut webhook = Self {
            admission: any,
            health: any,
            metrics: any,
            cluster: cluster.clone(),
            program: Program::start(command),
            directory,
        };
        webhook.metrics = webhook.address("metrics").await;
        webhook.health = webhook.address("health").await;
        webhook.admission = webhook.address("admission").await;
        webhook
    }

    async fn address(&self, purpose: &str) -> SocketAddr {
        let purpose = format!("purpose=\"{purpose}\"");
        let line = self.logged(&purpose).await;
        let address = line
            .split("address=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.program.log()
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Waits for a line of the log with `part` in it.
    pub(crate) async fn logged(&self, part: &str) -> String {
        self.program.logged(part).await
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn until_ready(&self) {
        let probe = async || http::get(self.health, "/readyz").await.unwrap();
        poll::until("readiness", probe, |answer| answer.status == 200).await;
    }

    /// A connection as an API server makes it, with the trust that the cluster has now.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        http::connect_as_api_server(self.admission, &self.cluster.bundle())
            .await
            .unwrap()
    }

    /// Sends a review over a new connection.
    pub(crate) async fn review(&self, body: &serde_json::Value) -> Answer {
        http::review(&mut self.connect().await, body.to_string().as_bytes())
            .await
            .unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.program.ended().await
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
