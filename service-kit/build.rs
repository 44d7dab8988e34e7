//! The version of the compiler, which `--version` prints.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(compiler).arg("--version").output();
    let printed = printed.map(|it| it.stdout).unwrap_or_default();
    // `rustc 1.95.0 (…)`
    let printed = String::from_utf8_lossy(&printed);
    let version = printed.split_whitespace().nth(1).unwrap_or_default();
    println!("cargo::rustc-env=COMPILER_VERSION={version}");
}
