//! Certificates that the webhook issues itself, and certificates from files.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::json;
use testkit::certificate::Authority;
use testkit::poll;
use webhook::certificate::Serving;
use webhook::certificate::keeper::{self, CONFIGURATION, Keeper, SECRET};

use crate::cluster::{CONFIGURATIONS, Cluster, SECRETS, decoded};
use crate::http::{self, SERVER_NAME, connect_as_api_server, roots};
use crate::process::Webhook;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One replica, driven step by step.
struct Replica {
    cluster: Cluster,
    keeper: Keeper,
    serving: Arc<Serving>,
}

impl Replica {
    fn new(cluster: &Cluster) -> Self {
        let serving = Arc::new(Serving::default());
        let keeper = Keeper::new(cluster.client(), "system".to_owned(), Arc::clone(&serving));
        Self {
            cluster: cluster.clone(),
            keeper,
            serving,
        }
    }

    fn look(&mut self) {
        let secret = self.cluster.get(SECRETS, "system", SECRET);
        self.keeper
            .see_secret(serde_json::from_value(secret).unwrap());
        let configuration = self.cluster.get(CONFIGURATIONS, "", CONFIGURATION);
        self.keeper
            .see_configuration(serde_json::from_value(configuration).unwrap());
    }

    async fn step(&mut self, now: SystemTime) {
        self.look();
        self.keeper.reconcile(now).await.unwrap();
        self.assert_trusted(now);
    }

    /// The API server would accept the certificate.
    fn assert_trusted(&self, now: SystemTime) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(roots(&self.cluster.bundle()));
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap();
        let leaf = CertificateDer::from(self.serving.leaf().expect("no certificate"));
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap());
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], now)
            .unwrap();
        assert!(self.serving.is_ready());
    }
}

fn authorities(cluster: &Cluster) -> usize {
    cluster.bundle().matches("BEGIN CERTIFICATE").count()
}

#[tokio::test]
async fn replicas_that_start_at_once_agree() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replicas: Vec<_> = (0..4).map(|_| Replica::new(&cluster)).collect();
    // All have seen the empty Secret before any writes.
    replicas.iter_mut().for_each(Replica::look);
    let runs = replicas
        .iter_mut()
        .map(|replica| replica.keeper.reconcile(now));
    for result in futures_util::future::join_all(runs).await {
        result.unwrap();
    }
    assert_eq!(
        cluster.writes(SECRETS),
        2,
        "the chart writes it empty, then one replica fills it"
    );
    for replica in &mut replicas {
        replica.step(now).await;
    }
    assert_eq!(authorities(&cluster), 1);
    let leaves: std::collections::BTreeSet<_> = replicas
        .iter()
        .map(|replica| replica.serving.leaf())
        .collect();
    assert_eq!(leaves.len(), 4, "each replica has its own key");
}

#[tokio::test]
async fn names_another_writer_of_the_bundle_and_writes_rarely() {
    let cluster = Cluster::installed().await;
    let mut replica = Replica::new(&cluster);
    let mut contested = None;
    for _ in 0..50 {
        let mut edited = cluster.get(CONFIGURATIONS, "", CONFIGURATION);
        edited["webhooks"][0]["clientConfig"]["caBundle"] = "bm8gY2VydGlmaWNhdGU=".into();
        edited["metadata"]["managedFields"] = json!([{
            "manager": "another",
            "fieldsType": "FieldsV1",
            "fieldsV1": { "f:webhooks": { "f:clientConfig": { "f:caBundle": {} } } },
        }]);
        cluster.put(CONFIGURATIONS, "", CONFIGURATION, edited);
        replica.look();
        contested = replica.keeper.reconcile(SystemTime::now()).await.err();
    }
    let contested = contested.expect("an error").to_string();
    assert!(
        contested.contains("last by field manager another:"),
        "{contested}"
    );
    let writes = cluster.writes(CONFIGURATIONS);
    assert!(writes < 70, "{writes}");
}

#[tokio::test]
async fn restores_the_bundle_and_the_secret() {
    let cluster = Cluster::installed().await;
    let serving = Arc::new(Serving::default());
    tokio::spawn(keeper::run(
        cluster.client(),
        "system".to_owned(),
        Arc::clone(&serving),
    ));
    cluster
        .until("a bundle", || authorities(&cluster) == 1)
        .await;
    let bundle = cluster.bundle();

    cluster.reset_configuration();
    cluster
        .until("healed after a reset", || cluster.bundle() == bundle)
        .await;

    cluster.delete(CONFIGURATIONS, "", CONFIGURATION);
    cluster.reset_configuration();
    cluster
        .until("healed after a deletion", || cluster.bundle() == bundle)
        .await;

    let mut edited = cluster.get(CONFIGURATIONS, "", CONFIGURATION);
    edited["webhooks"][0]["clientConfig"]["caBundle"] = "bm8gY2VydGlmaWNhdGU=".into();
    cluster.put(CONFIGURATIONS, "", CONFIGURATION, edited);
    cluster
        .until("healed after an edit", || cluster.bundle() == bundle)
        .await;

    // A new authority; the old one is still trusted, since replicas serve with it.
    cluster.put(SECRETS, "system", SECRET, json!({}));
    cluster
        .until("both authorities", || authorities(&cluster) == 2)
        .await;
    assert!(
        cluster.bundle().ends_with(&bundle),
        "the new authority comes first"
    );

    cluster.delete(SECRETS, "system", SECRET);
    cluster
        .until("a third authority", || authorities(&cluster) == 3)
        .await;
}

#[tokio::test]
async fn replicas_that_miss_the_secret_at_once_agree_on_the_next() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replicas: Vec<_> = (0..3).map(|_| Replica::new(&cluster)).collect();
    for replica in &mut replicas {
        replica.step(now).await;
    }
    let before = cluster.bundle();
    cluster.delete(SECRETS, "system", SECRET);
    for replica in &mut replicas {
        replica.look();
        let error = replica.keeper.reconcile(now).await.unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        replica.assert_trusted(now);
    }
    assert!(
        cluster.get(SECRETS, "system", SECRET).is_null(),
        "a Secret that is being removed stays removed"
    );
    let now = now + Duration::from_secs(10);
    let runs = replicas
        .iter_mut()
        .map(|replica| replica.keeper.reconcile(now));
    for result in futures_util::future::join_all(runs).await {
        result.unwrap();
    }
    for replica in &mut replicas {
        replica.step(now).await;
    }
    assert_eq!(
        authorities(&cluster),
        2,
        "one new authority and the old one"
    );
    assert!(cluster.bundle().ends_with(&before));
    assert_eq!(
        cluster.requests("POST /api/v1/namespaces/system/secrets"),
        0,
        "the webhook has no right to create Secrets of any name"
    );
}

/// The Secret is deleted and `caBundle` reset in the same moment: the first write after that restores the
/// bundle, and the replicas' certificates are trusted before the Secret is created again.
#[tokio::test]
async fn restores_the_bundle_from_memory_while_the_secret_is_missing() {
    for count in [1, 2, 5] {
        let cluster = Cluster::installed().await;
        let now = SystemTime::now();
        let mut replicas: Vec<_> = (0..count).map(|_| Replica::new(&cluster)).collect();
        for replica in &mut replicas {
            replica.step(now).await;
        }
        let bundle = cluster.bundle();
        cluster.delete(SECRETS, "system", SECRET);
        cluster.reset_configuration();
        let writes = cluster.writes(CONFIGURATIONS);

        replicas.iter_mut().for_each(Replica::look);
        let runs = replicas
            .iter_mut()
            .map(|replica| replica.keeper.reconcile(now));
        for result in futures_util::future::join_all(runs).await {
            let error = result.unwrap_err();
            assert!(error.to_string().contains("is missing"), "{error}");
        }
        assert_eq!(cluster.bundle(), bundle, "{count} replicas");
        for replica in &mut replicas {
            replica.look();
            replica.keeper.reconcile(now).await.unwrap_err();
            replica.assert_trusted(now);
        }
        assert_eq!(
            cluster.writes(CONFIGURATIONS) - writes,
            1,
            "one of {count} replicas restores it, and the others leave it"
        );
        assert!(cluster.get(SECRETS, "system", SECRET).is_null());
    }
}

#[tokio::test]
async fn restores_the_bundle_on_the_watch_event_while_the_secret_is_missing() {
    let cluster = Cluster::installed().await;
    let servings: Vec<_> = (0..5).map(|_| Arc::new(Serving::default())).collect();
    for serving in &servings {
        let (client, serving) = (cluster.client(), Arc::clone(serving));
        tokio::spawn(keeper::run(client, "system".to_owned(), serving));
    }
    let are_ready = async || servings.iter().all(|it| it.is_ready());
    poll::until("all replicas to be ready", are_ready, |ready| *ready).await;
    let bundle = cluster.bundle();
    let secrets = cluster.writes(SECRETS);

    cluster.delete(SECRETS, "system", SECRET);
    // A replica that learns of the configuration first has the Secret still.
    let have_seen = async || servings.iter().all(|it| it.is_degraded());
    poll::until("all replicas to miss the Secret", have_seen, |seen| *seen).await;
    cluster.reset_configuration();
    cluster
        .until("the bundle", || cluster.bundle() == bundle)
        .await;
    assert_eq!(
        cluster.writes(SECRETS) - secrets,
        1,
        "the deletion: the bundle does not wait for another Secret"
    );
    poll::until("all replicas to be ready", are_ready, |ready| *ready).await;
}

#[tokio::test]
async fn a_replica_that_is_about_to_end_leaves_another_tools_bundle_alone() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replica = Replica::new(&cluster);
    replica.step(now).await;
    let [_, _, authority] = pair();
    let mut configuration = cluster.get(CONFIGURATIONS, "", CONFIGURATION);
    for entry in configuration["webhooks"].as_array_mut().unwrap() {
        entry["clientConfig"]["caBundle"] = encoded(&authority).into();
    }
    cluster.delete(SECRETS, "system", SECRET);
    cluster.put(CONFIGURATIONS, "", CONFIGURATION, configuration);
    replica.look();
    replica.keeper.reconcile(now).await.unwrap_err();
    assert_eq!(cluster.bundle(), authority);
    assert!(
        !replica.serving.is_ready(),
        "API servers trust the other tool's certificates alone"
    );
}

#[tokio::test]
async fn serves_a_valid_certificate_after_the_clock_jumps() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replica = Replica::new(&cluster);
    // Ahead by years, as a machine may be before its clock is synchronized; back; and ahead again.
    for time in [now + 3 * YEAR, now, now + DAY, now - 5 * DAY, now + YEAR] {
        // Again a minute later, when API servers trust a new authority.
        replica.look();
        replica.keeper.reconcile(time).await.unwrap();
        replica.step(time + Duration::from_secs(60)).await;
    }
    assert!(authorities(&cluster) <= 4);
}

#[tokio::test]
async fn a_new_authority_is_trusted_before_it_signs() {
    let cluster = Cluster::installed().await;
    let mut now = SystemTime::now();
    let end = now + 400 * DAY;
    let mut replicas = [Replica::new(&cluster), Replica::new(&cluster)];
    let mut rotations = 0;
    while now < end {
        let before = authorities(&cluster);
        for replica in &mut replicas {
            let leaf = replica.serving.leaf();
            replica.step(now).await;
            // The clients of this replica may not trust the other one's authority yet.
            if authorities(&cluster) != before && before > 0 {
                rotations += 1;
                assert_eq!(
                    replica.serving.leaf(),
                    leaf,
                    "signed by an authority that is not trusted yet"
                );
            }
            replica.look();
        }
        for replica in &replicas {
            replica.assert_trusted(now);
        }
        now += DAY;
    }
    assert!(rotations > 0);
    assert!(authorities(&cluster) <= 2);
}

#[tokio::test]
async fn a_minute_passes_between_a_new_authority_and_its_use() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replica = Replica::new(&cluster);
    replica.step(now).await;
    let leaf = replica.serving.leaf();
    cluster.put(SECRETS, "system", SECRET, json!({}));
    for seconds in [0, 30, 59] {
        replica.step(now + Duration::from_secs(seconds)).await;
        assert_eq!(replica.serving.leaf(), leaf, "after {seconds} s");
    }
    replica.step(now + Duration::from_secs(60)).await;
    assert_ne!(replica.serving.leaf(), leaf);
}

#[tokio::test]
async fn keeps_the_old_authority_when_the_bundle_was_lost() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    let mut replica = Replica::new(&cluster);
    replica.step(now).await;
    let old = cluster.bundle();
    cluster.reset_configuration();
    // At the time of its renewal, so that the keeper makes a new one.
    let mut late = Replica::new(&cluster);
    late.look();
    late.keeper.reconcile(now + 300 * DAY).await.unwrap();
    assert!(cluster.bundle().ends_with(&old) && cluster.bundle() != old);
}

#[tokio::test]
async fn takes_over_the_authority_of_upstream() {
    let cluster = Cluster::installed().await;
    let certificate = include_str!("data/upstream-ca.crt");
    let data = json!({
        "ca.crt": encoded(certificate),
        "ca.key": encoded(include_str!("data/upstream-ca.key")),
        "tls.crt": encoded("theirs"),
    });
    cluster.put(SECRETS, "system", SECRET, json!({ "data": data }));
    let mut replica = Replica::new(&cluster);
    replica.step(SystemTime::now()).await;
    assert_eq!(
        cluster.get(SECRETS, "system", SECRET)["data"],
        data,
        "the Secret stays as it was"
    );
    assert_eq!(
        cluster.bundle().replace('\n', ""),
        certificate.replace('\n', "")
    );
}

#[tokio::test]
async fn replaces_a_damaged_secret() {
    let cluster = Cluster::installed().await;
    let now = SystemTime::now();
    Replica::new(&cluster).step(now).await;
    let mut secret = cluster.get(SECRETS, "system", SECRET);
    // The key of another authority.
    let other = Cluster::installed().await;
    Replica::new(&other).step(now).await;
    secret["data"]["ca.key"] = other.get(SECRETS, "system", SECRET)["data"]["ca.key"].clone();
    cluster.put(SECRETS, "system", SECRET, secret);
    Replica::new(&cluster).step(now).await;
    assert_eq!(authorities(&cluster), 2);
    let first = decoded(&cluster.get(SECRETS, "system", SECRET)["data"]["ca.crt"]);
    assert_eq!(first, cluster.bundle());
}

#[tokio::test]
async fn reports_a_forbidden_write_and_serves_on() {
    let cluster = Cluster::installed().await;
    cluster.forbid(Method::PATCH, CONFIGURATIONS);
    let mut replica = Replica::new(&cluster);
    replica.look();
    let error = replica
        .keeper
        .reconcile(SystemTime::now())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(CONFIGURATION) && error.contains("Allow"),
        "{error}"
    );
    assert!(replica.serving.leaf().is_some());
    assert!(
        !replica.serving.is_ready(),
        "the API server does not trust it"
    );
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A pair that is not ours: `tls.crt`, `tls.key`, and the authority that signed it.
fn pair() -> [String; 3] {
    let authority = Authority::new("authority").unwrap();
    let server = authority.server("server", &[SERVER_NAME]).unwrap();
    let trusted = authority.certificate().to_owned();
    [server.certificate, server.key, trusted]
}

#[tokio::test]
async fn follows_files_and_ignores_a_bad_pair() {
    let directory = std::env::temp_dir().join(format!("webhook-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let [certificate, key, first] = pair();
    write("tls.crt", &certificate);
    write("tls.key", &key);

    let cluster = Cluster::installed().await;
    let flag = format!("--webhook-cert-dir={}", directory.display());
    let webhook = Webhook::ready(&cluster, &["--disable-cert-rotation", &flag]).await;
    let is_served = async |bundle: &str| connect_as_api_server(webhook.admission, bundle).await;
    is_served(&first).await.unwrap();
    assert_eq!(cluster.requests("GET /api/v1/namespaces/system/secrets"), 0);
    assert_eq!(
        cluster.requests("GET /apis/"),
        0,
        "in this mode the webhook leaves the configuration alone"
    );

    // Half of a new pair, then no key at all: the old one stays.
    let [certificate, key, second] = pair();
    write("tls.crt", &certificate);
    webhook.logged("cannot be used").await;
    is_served(&first).await.unwrap();
    write("tls.key", "rubbish");
    webhook.logged("tls.key holds no private key").await;
    is_served(&first).await.unwrap();
    std::fs::remove_file(directory.join("tls.key")).unwrap();
    webhook.logged("cannot read").await;

    write("tls.key", &key);
    let connect = async || is_served(&second).await;
    let replaced = poll::until("the second pair", connect, Result::is_ok).await;
    replaced.unwrap();
    assert!(is_served(&first).await.is_err());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn writes_an_event_about_a_forbidden_write() {
    let cluster = Cluster::installed().await;
    cluster.forbid(Method::PATCH, SECRETS);
    let webhook = Webhook::start(&cluster, &[]).await;
    webhook
        .logged("cannot write the certificate authority to Secret")
        .await;
    let events = || cluster.requests("POST /apis/events.k8s.io/v1/namespaces/system/events");
    cluster.until("an event", || events() == 1).await;
    let text = http::get(webhook.metrics, "/metrics").await.unwrap().text();
    assert!(text.contains("azwi_certificate_troubled 1"), "{text}");
}

/// The Secret holds the authority's key. An answer that is not understood is not quoted, whatever is wrong with
/// it, in a list or a watch, at any level.
#[tokio::test]
async fn law_8_logs_nothing_of_a_secret_that_cannot_be_parsed() {
    let malformed = [
        json!({ "data": KEY }),
        json!({ "data": { "ca.key": [KEY] } }),
        json!({ "data": { "ca.key": format!("{KEY}?") } }),
    ];
    let levels = ["info", "debug", "trace"];
    let cases = levels
        .iter()
        .flat_map(|level| malformed.iter().map(move |secret| (level, secret)));
    let cases = cases.map(|(level, secret)| async move {
        let log = log_of_malformed_secret(level, secret).await;
        let quoting = log
            .into_iter()
            .find(|line| line.contains(&KEY[..8]) || line.contains("secret key"));
        assert_eq!(quoting, None, "{level}: {secret}");
    });
    futures_util::future::join_all(cases).await;
}

const KEY: &str = "c2VjcmV0IGtleSBtYXRlcmlhbA==";

async fn log_of_malformed_secret(level: &str, secret: &serde_json::Value) -> Vec<String> {
    const PROBLEM: &str = "certificate objects cannot be watched";
    let cluster = Cluster::installed().await;
    cluster.put(SECRETS, "system", SECRET, secret.clone());
    let level = format!("--log-level={level}");
    let webhook = Webhook::start(&cluster, &[&level]).await;
    webhook.logged(PROBLEM).await;
    cluster.put(SECRETS, "system", SECRET, json!({}));
    webhook.logged("serving certificate issued").await;
    // Now a watch is open, which has it.
    cluster.put(SECRETS, "system", SECRET, secret.clone());
    let problems = async || {
        let log = webhook.log();
        log.iter().filter(|line| line.contains(PROBLEM)).count()
    };
    poll::until("the watch's error", problems, |count| *count >= 2).await;
    webhook.log()
}
