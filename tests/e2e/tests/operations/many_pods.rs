//! A burst of pods.

use std::collections::BTreeMap;
use std::io::{Write, stderr};

use e2e::{Namespace, create_at_once, kubectl, metrics};

use crate::alone;

const COUNT: usize = 2_000;

/// The smallest bound of the histogram, in seconds, that 99 % of this namespace's reviews are below;
/// and the number of reviews.
fn p99(metrics: &BTreeMap<String, f64>, namespace: &str) -> (f64, f64) {
    let label = format!("namespace=\"{namespace}\"");
    let mut buckets: Vec<(f64, f64)> = metrics
        .iter()
        .filter(|(name, _)| {
            name.starts_with("azwi_mutation_request_bucket") && name.contains(&label)
        })
        .filter_map(|(name, count)| {
            let (_, bound) = name.split_once("le=\"")?;
            let bound = bound.split('"').next()?.parse().unwrap_or(f64::INFINITY);
            Some((bound, *count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (_, total) = *buckets.last().expect("the namespace's reviews are counted");
    let (bound, _) = buckets
        .iter()
        .find(|(_, count)| *count >= total * 0.99)
        .expect("the last bucket has all reviews");
    (*bound, total)
}

#[tokio::test]
async fn injects_two_thousand_pods_at_once() {
    let _alone = alone().await;
    let (namespace, _) = Namespace::with_identity("many").await;
    let tally = create_at_once(&namespace, COUNT).await;
    tally.assert_all_injected();
    assert_eq!(tally.injected, COUNT);
    let (bound, reviews) = p99(&metrics().await, namespace.name());
    // The API server calls the webhook a second time for each pod, since its own admission plugins change
    // what was injected.
    assert!(reviews >= COUNT as f64, "{reviews}");
    let _ = writeln!(
        stderr(),
        "| {COUNT} pods at once through the API server, {:.0} a second | all injected, none refused; the webhook's p99 is below {} ms |",
        tally.rate(),
        bound * 1000.0
    );
    kubectl(&["delete", "namespace", namespace.name(), "--wait=false"]).await;
}
