//! Starts many pods at once on the node, as after an outage, and measures until each has its first token.

use azure_emulator::Service;
use e2e::{Namespace, Pod, control, kubectl, list};
use endurance::{alone, in_mode_environment, with_sidecar};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The node's two cores start so many in a minute or two.
const PODS: usize = 100;

const FIRST: &str = env!("CARGO_BIN_EXE_first");

/// A row for pods alone, with the sidecar, and with it in mode `environment`.
pub async fn rows() -> [String; 3] {
    [
        row("alone", &alone(FIRST)).await,
        row("with a proxy each", &with_sidecar(FIRST)).await,
        row(
            "with a proxy each, mode `environment`",
            &in_mode_environment(FIRST),
        )
        .await,
    ]
}

async fn row(form: &str, pod: &Pod) -> String {
    let (namespace, identity) = Namespace::with_identity("starts").await;
    let created = Timestamp::now();
    namespace.apply(&copies(pod)).await;
    let (mut first_lines, mut tokens) = (Vec::new(), Vec::new());
    for number in 0..PODS {
        let name = name(number);
        let code = namespace.container_ended(&name, "app").await;
        assert_eq!(code, 0, "{name}");
        let log = namespace.timed_log(&name, "app").await;
        let mut lines = log
            .iter()
            .map(|(time, _)| time.duration_since(created).as_secs_f64());
        first_lines.extend(lines.next());
        tokens.extend(lines.next());
    }
    assert_eq!(first_lines.len(), PODS, "an application printed no line");
    let mut outcome = format!("first line after {}", spread(first_lines));
    if !tokens.is_empty() {
        assert_eq!(tokens.len(), PODS, "an application has no token");
        let exchanges = control().requests(Some(Service::Entra)).await;
        let exchanges = exchanges.expect("the emulator lists its requests");
        let own = |id: Option<&str>| id == Some(&identity.client_id);
        let exchanges = exchanges.iter().filter(|it| own(it.client_id.as_deref()));
        outcome += &format!(
            ", first token after {}; {} exchanges",
            spread(tokens),
            exchanges.count()
        );
    }
    kubectl(&["delete", "namespace", namespace.name(), "--wait=true"]).await;
    format!("| {PODS} pods created at once, {form} | {outcome} |")
}

/// One manifest of all pods, so that no time passes between their creations.
fn copies(pod: &Pod) -> Value {
    let copy = |number| {
        let mut pod = pod.manifest();
        pod["metadata"]["name"] = json!(name(number));
        pod
    };
    let items: Vec<_> = (0..PODS).map(copy).collect();
    list(&items)
}

fn name(number: usize) -> String {
    format!("start-{number}")
}

/// The median and the last of these times in seconds.
fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let [median, last] = [PODS / 2, PODS - 1].map(|index| times[index]);
    format!("{median:.1} s (median), {last:.1} s (all)")
}
