//! The application whose start is measured: a pod that runs `src/bin/first.rs`. The functions take the program's path,
//! which only a test knows: `env!("CARGO_BIN_EXE_first")`.

use contract::annotation;
use e2e::{Container, Pod};
use serde_json::json;

/// The pod alone, for which no webhook is called.
pub fn alone(program: &str) -> Pod {
    with_token(program).without_label()
}

/// The pod with a service account token. It asks for no token of Entra's.
pub fn with_token(program: &str) -> Pod {
    application(program, None)
}

/// The pod with the sidecar.
pub fn with_sidecar(program: &str) -> Pod {
    application(program, Some("169.254.169.254:80")).with_proxy()
}

/// The pod with the sidecar, in mode `environment`.
pub fn in_mode_environment(program: &str) -> Pod {
    application(program, Some("127.0.0.1:8000"))
        .with_proxy()
        .annotate(annotation::PROXY_MODE, "environment")
}

fn application(program: &str, token_from: Option<&str>) -> Pod {
    let container = Container::new("app", &["/first"]).mount("first", "/first");
    let container = match token_from {
        Some(address) => container.env("FIRST_TOKEN_FROM", address),
        None => container,
    };
    Pod::new("start")
        .volume(json!({ "name": "first", "hostPath": { "path": program, "type": "File" } }))
        .container(container)
}
