//! The policy of docs/roll-out.md that refuses labelled pods without a token.

use delivery::{empty, install, yaml};
use e2e::{Container, Namespace, Pod, kubectl_with_input, try_kubectl, until};

const PAGE: &str = "docs/roll-out.md";

/// Its message, as the policy has it.
const REFUSED: &str = "has the label azure.workload.identity/use but no token volume";

#[tokio::test]
async fn the_documented_guard_refuses_labelled_pods_without_a_token_and_admits_injected_ones() {
    let _node = empty().await;
    let (namespace, _) = Namespace::with_identity("guard").await;
    let name = namespace.name();
    let pod = Pod::new("pod").container(Container::shell("app", "true"));
    let labelled = pod.manifest().to_string();
    let dry_run = [
        "create",
        "--dry-run=server",
        "--namespace",
        name,
        "--filename",
        "-",
    ];
    let create = async |manifest: &str| try_kubectl(&dry_run, manifest).await;
    // Nothing is installed: without the policy such a pod starts without its identity.
    create(&labelled).await.expect("no policy yet");

    let guard = yaml(PAGE, "ValidatingAdmissionPolicyBinding");
    let warning = guard.replace("[Deny]", "[Warn]");
    assert_ne!(warning, guard);
    kubectl_with_input(&["apply", "--filename", "-"], &warning).await;
    let create_aloud = async || kubectl_with_input(&dry_run, &labelled).await;
    let _ = until("a warning", create_aloud, |it| it.contains(REFUSED)).await;

    kubectl_with_input(&["apply", "--filename", "-"], &guard).await;
    let is_refused =
        |it: &Result<String, String>| it.as_ref().is_err_and(|error| error.contains(REFUSED));
    let _ = until("a refusal", async || create(&labelled).await, is_refused).await;
    let unlabelled = pod.without_label().manifest().to_string();
    create(&unlabelled).await.expect("it has no label");

    install("--wait --timeout 2m").await;
    let _ = until(
        "an injected pod",
        async || create(&labelled).await,
        Result::is_ok,
    )
    .await;
}
