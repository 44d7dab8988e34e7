//! A registry on the test node, which the node trusts and pulls from.

use std::process::Stdio;

use testkit::certificate::Authority;
use tokio::process::{Child, Command};

use crate::{file, path, shell};

/// The node's address, as tests/cluster sets it up.
const ADDRESS: &str = "192.0.2.10";

/// Debian's `docker-registry`, empty, with a certificate of a private authority. It ends with this value.
pub struct Registry(#[expect(dead_code, reason = "it is held")] Child);

impl Registry {
    /// Its name. It listens on the port of HTTPS.
    pub const NAME: &str = "registry.example.org";

    /// Starts it, and makes the node know its name and trust its authority, as an administrator does.
    ///
    /// # Panics
    ///
    /// When the program is missing or does not answer.
    pub async fn start() -> Self {
        let program = std::env::var("DOCKER_REGISTRY")
            .expect("DOCKER_REGISTRY names the program: tests/release/run provides it");
        let authority = Authority::new("test registry").expect("the machine has randomness");
        let server = authority
            .server("registry", &[Self::NAME])
            .expect("it is a DNS name");
        let config = format!(
            r#"version: 0.1
storage: {{filesystem: {{rootdirectory: "{}"}}}}
http: {{addr: "{ADDRESS}:443", tls: {{certificate: "{}", key: "{}"}}}}
"#,
            path("registry").display(),
            file("registry.crt", &server.certificate),
            file("registry.key", &server.key),
        );
        let process = Command::new(program)
            .args(["serve", &file("registry.yaml", &config)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("DOCKER_REGISTRY is a program");
        let (trusted, hosts) = (path("trusted.crt"), path("hosts"));
        let _ = shell(&format!(
            "trusted=/etc/ssl/certs/ca-certificates.crt
             cat $trusted {authority} >{trusted}
             mount --bind {trusted} $trusted
             {{ cat /etc/hosts; echo {ADDRESS} {name}; }} >{hosts}
             mount --bind {hosts} /etc/hosts
             curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-connrefused https://{name}/v2/",
            authority = file("registry-ca.crt", authority.certificate()),
            trusted = trusted.display(),
            hosts = hosts.display(),
            name = Self::NAME,
        ))
        .await;
        Self(process)
    }
}
