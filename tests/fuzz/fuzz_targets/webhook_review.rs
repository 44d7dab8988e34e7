//! Any body of a request: the answer is an AdmissionReview, or a 4xx with a sentence, and a patch applies
//! to its pod.

#![no_main]

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use http_body_util::BodyExt;
use kube::Client;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower_service::Service;
use webhook::accounts::Accounts;
use webhook::admission::Admission;
use webhook::admission::handler::{PATH, router};
use webhook::admission::metrics::Metrics;

fuzz_target!(|bytes: &[u8]| {
    let (runtime, router) = &*WEBHOOK;
    let (status, answer) = runtime.block_on(async {
        let request = http::Request::post(PATH)
            .header("content-type", "application/json")
            .body(Body::from(bytes.to_vec()))
            .unwrap();
        let answer = router.clone().call(request).await.unwrap();
        let status = answer.status();
        (
            status,
            answer.into_body().collect().await.unwrap().to_bytes(),
        )
    });
    if status.is_client_error() {
        assert!(answer.ends_with(b"\n") && answer.len() > 10, "{answer:?}");
        return;
    }
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let response = &answer["response"];
    let review: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(response["uid"], review["request"]["uid"]);
    if response["allowed"] == false {
        assert!(!response["status"]["message"].as_str().unwrap().is_empty());
    }
    if let Some(patch) = response["patch"].as_str() {
        let patch = base64_simd::STANDARD.decode_to_vec(patch).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut pod = review["request"]["object"].clone();
        // An API server sends no pod without them.
        if pod["spec"].is_object() && pod["metadata"].is_object() {
            json_patch::patch(&mut pod, &patch).unwrap();
        }
    }
});

static WEBHOOK: LazyLock<(Runtime, axum::Router)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let admission = runtime.block_on(async {
        // Every service account exists and has an identity.
        let api = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            let account = json!({ "metadata": {
                "name": "sa",
                "annotations": { "azure.workload.identity/client-id": fuzz::CLIENT_ID },
            } });
            Ok::<_, Infallible>(http::Response::new(Body::from(account.to_string())))
        });
        let accounts = Arc::new(Accounts::new(Client::new(api, "default")));
        let metrics = Metrics::register(&mut Default::default(), false);
        Admission::new(accounts, fuzz::config(true).into(), metrics)
    });
    (runtime, router(Arc::new(admission)))
});
