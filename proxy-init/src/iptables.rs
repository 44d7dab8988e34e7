//! The same rules with iptables, if the kernel lacks nf_tables. Our image has no iptables; an image
//! that a user builds on it may have it.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::config::{Config, Exemption};

/// The rules are not in force.
#[derive(Debug, thiserror::Error)]
pub enum IptablesError {
    /// The image has no iptables.
    #[error("the image has no iptables")]
    Absent,
    /// The message of each flavour that the image has.
    #[error("{}", .0.join("; "))]
    Failed(Vec<String>),
}

/// Writes the rules with the first flavour that succeeds, and returns its name.
///
/// # Errors
///
/// No flavour succeeds, or the image has none.
pub fn write(config: &Config) -> Result<&'static str, IptablesError> {
    let mut failures = Vec::new();
    for flavour in FLAVOURS {
        match restore(flavour, config) {
            Ok(()) => return Ok(flavour),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => failures.push(format!("{flavour}: {error}")),
        }
    }
    Err(if failures.is_empty() {
        IptablesError::Absent
    } else {
        IptablesError::Failed(failures)
    })
}

/// One transaction of this flavour of iptables: empties and fills our chains, and makes our jumps the
/// first rules of the hooks.
///
/// # Errors
///
/// `NotFound` if the image lacks it, else its message.
pub fn restore(flavour: &str, config: &Config) -> io::Result<()> {
    let mut present = Vec::new();
    for (table, hook, chain) in CHAINS {
        let check = command(flavour)
            .args(["-t", table, "-C", hook, "-j", chain])
            .stderr(Stdio::null())
            .status()?;
        present.push(check.success());
    }
    let mut child = command(&format!("{flavour}-restore"))
        .arg("--noflush")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ends before it has read everything reports its own error.
        let _ = input.write_all(transaction(config, &present).as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{} ({})",
        said.split_whitespace().collect::<Vec<_>>().join(" "),
        output.status
    )))
}

/// The lock protects against other programs that write this namespace's rules. In an init container there
/// are none, and the lock's default file is on a root file system that is usually read-only.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("XTABLES_LOCKFILE", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The input of `iptables-restore --noflush`. `present` says for each of [`CHAINS`] whether the hook has our jump.
fn transaction(config: &Config, present: &[bool]) -> String {
    let (address, port, uid) = (
        config.metadata.ip(),
        config.metadata.port(),
        config.proxy_uid,
    );
    let imds = format!("-d {address}/32 -p tcp --dport {port}");
    let exempts = config.exemption != Exemption::Nothing;
    let mut lines = Vec::new();
    let begin = |lines: &mut Vec<String>, name: &str| {
        lines.push(format!("*{name}"));
        let ours = CHAINS.iter().zip(present);
        for ((_, hook, chain), present) in ours.filter(|((table, ..), _)| *table == name) {
            lines.push(format!(":{chain} - [0:0]"));
            if *present {
                lines.push(format!("-D {hook} -j {chain}"));
            }
            lines.push(format!("-I {hook} 1 -j {chain}"));
        }
    };
    begin(&mut lines, "nat");
    // `nftables` explains the rules. iptables cannot take announcements, so every connection of the
    // user is exempt.
    if exempts {
        lines.push(format!(
            "-A AZWI_OUTPUT {imds} -m owner --uid-owner {uid} -j DNAT --to-destination {address}:{port}"
        ));
    }
    for chain in ["AZWI_OUTPUT", "AZWI_PREROUTING"] {
        lines.push(format!(
            "-A {chain} {imds} -j REDIRECT --to-ports {}",
            config.proxy_port
        ));
    }
    lines.push("COMMIT".to_owned());
    begin(&mut lines, "filter");
    let others = if exempts {
        format!(" -m owner ! --uid-owner {uid}")
    } else {
        String::new()
    };
    lines.push(format!("-A AZWI_GUARD {imds} --syn{others} -j DROP"));
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

/// The programs to try, in this order. `iptables` is the one that the distribution prefers.
const FLAVOURS: [&str; 3] = ["iptables-legacy", "iptables-nft", "iptables"];

/// Table, hook, and our chain for it.
const CHAINS: [(&str, &str, &str); 3] = [
    ("nat", "OUTPUT", "AZWI_OUTPUT"),
    ("nat", "PREROUTING", "AZWI_PREROUTING"),
    ("filter", "OUTPUT", "AZWI_GUARD"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_jumps_to_the_front_and_never_doubles_them() {
        let config = Config::from_environment(|_| None).unwrap();
        let fresh = transaction(&config, &[false; 3]);
        assert_eq!(
            fresh,
            "*nat\n\
             :AZWI_OUTPUT - [0:0]\n\
             -I OUTPUT 1 -j AZWI_OUTPUT\n\
             :AZWI_PREROUTING - [0:0]\n\
             -I PREROUTING 1 -j AZWI_PREROUTING\n\
             -A AZWI_OUTPUT -d 169.254.169.254/32 -p tcp --dport 80 -m owner --uid-owner 1501 \
             -j DNAT --to-destination 169.254.169.254:80\n\
             -A AZWI_OUTPUT -d 169.254.169.254/32 -p tcp --dport 80 -j REDIRECT --to-ports 8000\n\
             -A AZWI_PREROUTING -d 169.254.169.254/32 -p tcp --dport 80 -j REDIRECT --to-ports 8000\n\
             COMMIT\n\
             *filter\n\
             :AZWI_GUARD - [0:0]\n\
             -I OUTPUT 1 -j AZWI_GUARD\n\
             -A AZWI_GUARD -d 169.254.169.254/32 -p tcp --dport 80 --syn -m owner ! --uid-owner 1501 -j DROP\n\
             COMMIT\n"
        );
        let again = transaction(&config, &[true, false, false]);
        assert!(
            again
                .contains("-D OUTPUT -j AZWI_OUTPUT\n-I OUTPUT 1 -j AZWI_OUTPUT\n:AZWI_PREROUTING"),
            "{again}"
        );
    }
}
