//! `kubectl debug`: adds a container to a running pod.

use std::io::Write;

use serde_json::{Value, json};

use crate::{Container, Namespace, kubectl};

impl Namespace {
    /// Adds an ephemeral container to a pod, and does not wait for it.
    pub async fn debug(&self, pod: &str, container: Container) {
        let mut manifest = container.manifest();
        let take = |manifest: &mut Value, field: &str| manifest[field].take();
        let name = take(&mut manifest, "name");
        let image = take(&mut manifest, "image");
        let command = take(&mut manifest, "command");
        // kubectl has no flags for these.
        let rest = json!({
            "env": manifest["env"],
            "securityContext": manifest["securityContext"],
            "volumeMounts": manifest["volumeMounts"],
        });
        let path = std::env::temp_dir().join(format!("debug-{}-{pod}", self.name()));
        let mut file = std::fs::File::create(&path).expect("the file can be made");
        write!(file, "{rest}").expect("the file can be written");
        let custom = format!("--custom={}", path.display());
        let mut args = vec![
            "debug",
            "-n",
            self.name(),
            pod,
            "--profile=general",
            &custom,
            "--quiet",
        ];
        args.extend(["-c", text(&name), "--image", text(&image), "--"]);
        args.extend(command.as_array().into_iter().flatten().map(text));
        kubectl(&args).await;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
