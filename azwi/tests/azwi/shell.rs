//! What a shell makes of printed commands.

use std::process::Command;

/// The calls that `sh` makes when it reads a script: each with its program and its arguments. `kubectl` and the other
/// programs that printed commands use are functions; every other program is missing, which is an error.
pub(crate) fn calls(script: &str) -> Result<Vec<Vec<String>>, String> {
    let mut filled = script.to_owned();
    for placeholder in PLACEHOLDERS {
        filled = filled.replace(placeholder, "placeholder");
    }
    let functions: String = PROGRAMS
        .iter()
        .map(|it| format!("{it}() {{ printf '%s\\0' {it} \"$@\" >&3; printf '\\n\\0' >&3; }}\n"))
        .collect();
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("exec 3>&1 >&2\n{functions}{filled}")])
        .env_clear()
        .env("PATH", "/nonexistent")
        .env("EDITOR", "kubectl")
        .output()
        .unwrap();
    if !output.status.success() || !output.stderr.is_empty() {
        return Err(format!("{script}\n{output:?}"));
    }
    let text = String::from_utf8(output.stdout).map_err(|it| it.to_string())?;
    let calls = text.split_terminator("\n\0");
    Ok(calls
        .map(|it| it.split_terminator('\0').map(str::to_owned).collect())
        .collect())
}

const PROGRAMS: [&str; 5] = ["kubectl", "az", "helm", "curl", "azwi"];
const PLACEHOLDERS: [&str; 5] = [
    "<client id>",
    "<tenant id>",
    "<group>",
    "<identity>",
    "<issuer>",
];
