//! Servers as processes: starts them, reads what they use, ends them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use testkit::process::{cpu_ticks, end_of_log, peak_resident_kib, resident_kib};

use crate::client::{self, Answer};
use crate::cores::Cores;

/// The deadline for a server to be ready, and for one answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server's command line and the whole of its environment. `{port}` and `{health-port}` in an
/// argument stand for the ports.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name in the table.
    pub name: &'static str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment; `PATH` is added.
    pub environment: BTreeMap<&'static str, String>,
    /// The port that it listens on.
    pub port: u16,
    /// The port of its readiness endpoint.
    pub health_port: u16,
    /// The file for its output.
    pub log: PathBuf,
}

impl Server {
    /// A command line that a shell interprets.
    pub fn shell(command: &str) -> Vec<String> {
        vec!["sh".to_owned(), "-c".to_owned(), format!("exec {command}")]
    }

    /// The command line of the bare server, which is beside this program, with the answer in this file.
    ///
    /// # Errors
    ///
    /// When the path of this program is unknown or not UTF-8.
    pub fn bare(answer: &str) -> Result<Vec<String>> {
        let program = std::env::current_exe()?.with_file_name("bare");
        let program = program
            .to_str()
            .context("this program's path is not UTF-8")?;
        Ok([program, "--port={port}", "--answer", answer]
            .map(str::to_owned)
            .to_vec())
    }

    /// Starts it on the server's core.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(&self, cores: &Cores) -> Result<Running<'_>> {
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let (port, health_port) = (self.port.to_string(), self.health_port.to_string());
        let mut words = self.command.iter().map(|word| {
            word.replace("{port}", &port)
                .replace("{health-port}", &health_port)
        });
        let program = words.next().context("a server needs a command line")?;
        let mut command = Command::new(&program);
        command
            .args(words)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        cores.on_the_servers(|| {
            let started = Instant::now();
            let child = command
                .spawn()
                .with_context(|| format!("cannot start {} ({program})", self.name))?;
            Ok(Running {
                child,
                server: self,
                started,
            })
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The address of its readiness endpoint.
    pub fn health_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.health_port).into()
    }

    /// Sends a request over a new connection.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub fn ask(&self, request: &[u8]) -> io::Result<Answer> {
        client::ask(&mut connect(self.address())?, request)
    }
}

/// A new connection with a read timeout of a minute.
///
/// # Errors
///
/// When the connection fails.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Running<'a> {
    child: Child,
    server: &'a Server,
    started: Instant,
}

impl Running<'_> {
    /// The server that this process runs.
    pub fn server(&self) -> &Server {
        self.server
    }

    /// Asks until the answer is 200, without a pause, and returns the time since the start.
    ///
    /// # Errors
    ///
    /// When the process ends, or a minute has passed.
    pub fn ready(&mut self, ask: impl Fn() -> io::Result<Answer>) -> Result<Duration> {
        while self.started.elapsed() < DEADLINE {
            if ask().is_ok_and(|answer| answer.status == 200) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended with {status}")));
            }
        }
        Err(self.failure(&format!("is not ready after {DEADLINE:?}")))
    }

    /// Sends one request.
    ///
    /// # Errors
    ///
    /// When it is not 200; the message has the end of the server's log.
    pub fn answer(&self, ask: impl FnOnce() -> io::Result<Answer>) -> Result<Answer> {
        ask()
            .and_then(Answer::ok)
            .map_err(|error| self.failure(&format!("does not answer: {error}")))
    }

    /// Resident memory in MiB.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn resident_memory(&self) -> Result<f64> {
        self.memory(resident_kib)
    }

    /// The most resident memory since the start, in MiB.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn peak_memory(&self) -> Result<f64> {
        self.memory(peak_resident_kib)
    }

    /// The CPU time since the start.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let ticks = cpu_ticks(self.child.id()).with_context(|| self.gone())?;
        let in_a_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no clock tick")?;
        Ok(Duration::from_secs(ticks) / u32::try_from(in_a_second)?)
    }

    fn memory(&self, read: fn(u32) -> Option<u64>) -> Result<f64> {
        let kib = read(self.child.id()).with_context(|| self.gone())?;
        Ok(kib as f64 / 1024.0)
    }

    fn gone(&self) -> String {
        format!("{} has ended", self.server.name)
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        let log = end_of_log(&self.server.log);
        anyhow::anyhow!("{} {what}; {log}", self.server.name)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory for the files of one run, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory under the temporary directory.
    ///
    /// # Errors
    ///
    /// When it exists already or cannot be made.
    pub fn new() -> Result<Self> {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos();
        let path = std::env::temp_dir().join(format!("bench-{}-{now}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or its path is not UTF-8.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<String> {
        let path = format!("{}/{name}", self.directory()?);
        fs::write(&path, contents).with_context(|| format!("cannot write {path}"))?;
        Ok(path)
    }

    /// Its path.
    ///
    /// # Errors
    ///
    /// When the path is not UTF-8.
    pub fn directory(&self) -> Result<&str> {
        self.0
            .to_str()
            .context("the path of the temporary directory is not UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failure leaves files in the temporary directory alone.
        let _ = fs::remove_dir_all(&self.0);
    }
}
