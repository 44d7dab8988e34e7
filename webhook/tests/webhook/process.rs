//! The real program, with a real command line, against the API server in memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use crate::cluster::Cluster;
use crate::http::{self, Answer};

/// A running webhook, ended when it is dropped.
pub(crate) struct Webhook {
    pub(crate) admission: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) cluster: Cluster,
    child: Child,
    directory: PathBuf,
    log: watch::Receiver<Vec<String>>,
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

    /// The same with another way to start it.
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

        let mut child = command
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
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = watch::channel(Vec::new());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("{line}");
                sender.send_modify(|lines: &mut Vec<String>| lines.push(line));
            }
        });
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut webhook = Self {
            admission: any,
            health: any,
            metrics: any,
            cluster: cluster.clone(),
            child,
            directory,
            log,
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
        self.log.borrow().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log.
    pub(crate) async fn logged(&self, part: &str) -> String {
        let mut log = self.log.clone();
        let found = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
        let waiting = tokio::time::timeout(Duration::from_secs(60), log.wait_for(found));
        let lines = waiting
            .await
            .expect("not logged in a minute")
            .expect("the webhook ended");
        lines
            .iter()
            .find(|line| line.contains(part))
            .unwrap()
            .clone()
    }

    /// Asks `/readyz` until it says yes.
    pub(crate) async fn until_ready(&self) {
        let asking = async {
            while http::get(self.health, "/readyz")
                .await
                .is_ok_and(|it| it.status != 200)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking)
            .await
            .expect("not ready in a minute");
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
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .expect("not ended in a minute")
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
