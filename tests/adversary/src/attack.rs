//! The attack: many connections at a time, each checked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use testkit::poll;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::answer::{Answer, End, check};
use crate::script::Script;
use crate::{request, review};

/// The name in the webhook's certificate.
pub const SERVER_NAME: &str = "azure-wi-webhook-webhook-service.azure-workload-identity-system.svc";

/// A socket under attack.
#[derive(Clone)]
pub struct Target {
    /// Its name in messages.
    pub name: &'static str,
    /// Its address.
    pub address: SocketAddr,
    /// How it is trusted, when it speaks TLS: it gets reviews, others get requests.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// A connection to a socket that speaks TLS.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn connect_tls(&self, tls: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await
    }

    fn script(&self, rng: &mut Rng) -> Script {
        match &self.tls {
            Some(_) if rng.u8(..8) > 0 => request::with_review(&review::mutated(rng), rng),
            _ => request::connection(rng),
        }
    }

    /// `None` when there is no connection: one too many is closed by the program.
    async fn play(&self, script: &Script) -> Option<(Vec<u8>, End)> {
        match &self.tls {
            Some(tls) => {
                let stream = timeout(poll::MINUTE, self.connect_tls(tls))
                    .await
                    .ok()?
                    .ok()?;
                Some(script.play(stream).await)
            }
            None => Some(
                script
                    .play(TcpStream::connect(self.address).await.ok()?)
                    .await,
            ),
        }
    }
}

/// What was attacked, and how the program answered.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of connections.
    pub connections: u64,
    /// The number of those that could not be opened.
    pub failed: u64,
    /// The number of answers by status.
    pub answers: BTreeMap<u16, u64>,
}

/// An attack on one socket.
pub struct Attack {
    target: Target,
    seed: u64,
    failures: PathBuf,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

impl Attack {
    /// Makes one. A script whose answer is wrong is written into the folder `failures`.
    #[must_use]
    pub fn new(target: Target, seed: u64, failures: &Path) -> Arc<Self> {
        Arc::new(Self {
            target,
            seed,
            failures: failures.to_owned(),
            next: AtomicU64::new(0),
            tally: Mutex::default(),
        })
    }

    /// Sends one script after the other until `deadline`.
    ///
    /// # Errors
    ///
    /// When an answer breaks a rule: with the file of the script.
    pub async fn run(&self, deadline: Instant) -> Result<(), String> {
        while Instant::now() < deadline {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            let script = self.script(nth);
            let Some((received, end)) = self.target.play(&script).await else {
                self.note(|tally| tally.failed += 1);
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let answers = check(&received, end, script.has_head)
                .map_err(|reason| self.failure(nth, &script, &reason))?;
            self.count(&answers);
        }
        Ok(())
    }

    /// What was done so far.
    ///
    /// # Panics
    ///
    /// When a worker has panicked.
    pub fn summary(&self) -> String {
        let tally = self.tally.lock().expect("no worker has panicked");
        format!(
            "{}: {} connections, {} not opened, answers by status {:?}",
            self.target.name, tally.connections, tally.failed, tally.answers
        )
    }

    /// Mostly a connection of its own. At times, several huge reviews of one kind in a row: many at the same
    /// time take the most memory.
    fn script(&self, nth: u64) -> Script {
        let burst = nth / BURST;
        if self.target.tls.is_some() && burst % BETWEEN == BETWEEN - 1 {
            let review = review::huge(&mut self.random(!burst));
            return request::whole(&review);
        }
        self.target.script(&mut self.random(nth))
    }

    fn random(&self, nth: u64) -> Rng {
        let name = self
            .target
            .name
            .bytes()
            .fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name ^ nth.rotate_left(32))
    }

    fn count(&self, answers: &[Answer]) {
        self.note(|tally| {
            tally.connections += 1;
            for answer in answers {
                *tally.answers.entry(answer.status).or_default() += 1;
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().expect("no worker has panicked"));
    }

    fn failure(&self, nth: u64, script: &Script, reason: &str) -> String {
        let file = self
            .failures
            .join(format!("{}-{}-{nth}", self.target.name, self.seed));
        let written = std::fs::create_dir_all(&self.failures)
            .and_then(|()| std::fs::write(&file, script.bytes()));
        let file = match written {
            Ok(()) => file.display().to_string(),
            Err(error) => format!("not written: {error}"),
        };
        format!(
            "{}, connection {nth}: {reason}\nwhat was sent: {file}",
            self.target.name
        )
    }
}

/// How many huge reviews follow each other, and how many times as many connections are between them.
const BURST: u64 = 32;
const BETWEEN: u64 = 8;

/// The pause before another connection when none can be opened.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::imds::MARKER;

    /// Attacks a server that gives each connection this answer.
    async fn attacked(answer: String) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        let target = Target {
            name: "fake",
            address,
            tls: None,
        };
        let failures = std::env::temp_dir().join(format!("adversary-test-{}", address.port()));
        let attack = Attack::new(target, 1, &failures);
        let ended = attack.run(Instant::now() + Duration::from_secs(20)).await;
        if let Err(reason) = &ended {
            let file = reason.rsplit("sent: ").next().unwrap();
            assert!(!std::fs::read(file).unwrap().is_empty(), "{reason}");
            std::fs::remove_dir_all(&failures).unwrap();
        }
        ended
    }

    fn answer(body: &str, length: usize) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn finds_a_server_that_relays_the_identity_of_the_node() {
        let body = format!("{{\"access_token\":\"{MARKER}\"}}");
        let reason = attacked(answer(&body, body.len())).await.unwrap_err();
        assert!(reason.contains("identity of the node"), "{reason}");
    }

    #[tokio::test]
    async fn finds_a_server_that_cuts_its_answers_short() {
        let reason = attacked(answer("{}", 3)).await.unwrap_err();
        assert!(reason.contains("cut short"), "{reason}");
    }

    #[tokio::test]
    async fn finds_a_server_whose_answers_are_not_json() {
        let reason = attacked(answer("{]", 2)).await.unwrap_err();
        assert!(reason.contains("not JSON"), "{reason}");
    }
}
