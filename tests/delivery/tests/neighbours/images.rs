//! The node's images of other projects' programs.

use delivery::shell;

/// Imports the images whose archives this command writes into a folder, its last argument.
pub async fn import(command: &str) {
    let _ = shell(&format!(
        "folder=$(mktemp -d)
         trap 'rm -rf \"$folder\"' EXIT
         {command} \"$folder\"
         for archive in \"$folder\"/*.tar; do ctr --namespace k8s.io images import \"$archive\"; done"
    ))
    .await;
}
