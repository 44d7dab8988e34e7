//! `kubectl debug`: a further container in a living pod.

use std::io::Write;

use serde_json::{Value, json};

use crate::{Container, Namespace, kubectl};

impl Namespace {
    /// Puts an ephemeral container into a pod and leaves it to itself.
    pub async fn debug(&self, pod: &str, container: Container) {
        let mut manifest = container.manifest();
        let take = |manifest: &mut Value, field: &str| manifest[field].take();
        let name = take(&mut manifest, "name");
        let image = take(&mut manifest, "image");
        let command = take(&mut manifest, "command");
        // What kubectl has no flags for.
        let rest = json!({
            "env": manifest["env"],
            "securityContext": manifest["securityContext"],
            "volumeMounts": manifest["volumeMounts"],
        });
        let path = std::env::temp_dir().join(format!("debug-{}-{pod}", self.name()));
        let mut file = std::fs::File::create(&path).expect("the node has a folder for this");
        write!(file, "{rest}").expect("it is short");
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
