//! A new certificate authority while pods are created.

use e2e::authority::{bundle, certificates, is_trusted, near_its_end, store, stored};
use e2e::{Load, Namespace, replicas, until};
use rustls::pki_types::CertificateDer;

#[tokio::test]
async fn rotates_the_authority_without_losing_a_review() {
    let (namespace, _) = Namespace::with_identity("rotation").await;
    let load = Load::start(&namespace, 20).await;
    let before = stored().await;
    let old = certificates(&before);
    let serving = serving(&old).await;
    let due = near_its_end();
    let both = [due.certificate(), &before].concat();
    store(&[("ca.crt", &both), ("ca.key", &due.key())]).await;

    let due = certificates(due.certificate());
    let bundled = until("a new authority in the bundle", bundle, |bundle| {
        let bundled = certificates(bundle);
        let is_new = |it| !due.contains(it) && !old.contains(it);
        bundled.iter().any(is_new)
    })
    .await;
    let bundled = certificates(&bundled);
    let (new, rest) = bundled.split_first().expect("the bundle is not empty");
    assert!(!old.contains(new), "the new authority is the first");
    assert!(
        serving.iter().all(|it| rest.contains(it)),
        "an old authority left the bundle while replicas serve with it"
    );

    let new = [new.clone()];
    until(
        "all replicas to serve with the new authority",
        async || {
            let mut all = true;
            for replica in replicas().await {
                let trusted = certificates(&bundle().await);
                assert!(
                    is_trusted(&replica, &trusted).await,
                    "the API server trusts the replica at every moment"
                );
                all &= is_trusted(&replica, &new).await;
            }
            all
        },
        |all| *all,
    )
    .await;
    load.stop().await.assert_all_injected();
}

/// The authorities that replicas serve with. The Secret may hold older ones, too.
async fn serving(authorities: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let mut serving = Vec::new();
    for replica in replicas().await {
        for authority in authorities {
            if is_trusted(&replica, std::slice::from_ref(authority)).await {
                serving.push(authority.clone());
            }
        }
    }
    assert!(!serving.is_empty(), "replicas serve with what is stored");
    serving
}
