//! What one connection sends, and what it receives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::answer::{End, check};

/// A step of a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Sends no more, but reads on.
    Finish,
    /// Closes the connection.
    Cut,
}

/// Everything that one connection does.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// Whether a request may have the method HEAD.
    pub has_head: bool,
}

impl Script {
    /// All bytes that it sends.
    pub fn bytes(&self) -> Vec<u8> {
        let sent = self.steps.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        sent.collect::<Vec<_>>().concat()
    }

    /// Sends everything and reads the answers. Ends when the program closes the connection, when it is
    /// idle after a whole answer, or when there is no answer for some seconds. An answer that has begun is
    /// given a minute.
    pub async fn play(&self, stream: impl AsyncRead + AsyncWrite) -> (Vec<u8>, End) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (sent, cut) = (AtomicBool::new(false), AtomicBool::new(false));
        let writing = async {
            for step in &self.steps {
                match step {
                    // The program may refuse a request before its end, so reading goes on.
                    Step::Send(bytes) if writer.write_all(bytes).await.is_err() => break,
                    Step::Send(_) => drop(writer.flush().await),
                    Step::Pause(time) => sleep(*time).await,
                    Step::Finish => drop(writer.shutdown().await),
                    Step::Cut => cut.store(true, Ordering::Relaxed),
                }
            }
            sent.store(true, Ordering::Relaxed);
            std::future::pending::<(Vec<u8>, End)>().await
        };
        let reading = async {
            let mut received = Vec::new();
            let mut piece = vec![0; 16_384];
            let mut last = Instant::now();
            loop {
                match timeout(IDLE, reader.read(&mut piece)).await {
                    Ok(Ok(0) | Err(_)) => return (received, End::Program),
                    Ok(Ok(count)) => {
                        received.extend_from_slice(&piece[..count]);
                        last = Instant::now();
                        continue;
                    }
                    Err(_) => {}
                }
                if cut.load(Ordering::Relaxed) {
                    return (received, End::Adversary);
                }
                let is_sent = sent.load(Ordering::Relaxed);
                let is_whole = check(&received, End::Program, self.has_head).is_ok();
                let wait = match (is_whole, received.is_empty()) {
                    (true, true) => SILENCE,
                    (true, false) if is_sent => IDLE,
                    (true, false) => SILENCE,
                    (false, _) => testkit::poll::MINUTE,
                };
                if last.elapsed() >= wait {
                    return (received, End::Program);
                }
            }
        };
        tokio::select! {
            conversation = reading => conversation,
            conversation = writing => conversation,
        }
    }
}

/// An open connection is left when nothing comes for so long after a whole answer.
const IDLE: Duration = Duration::from_millis(50);

/// A connection without any answer, or with bytes that the program does not read, is left after so long.
const SILENCE: Duration = Duration::from_secs(3);
