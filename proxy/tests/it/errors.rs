//! The answers to applications when there is no token (IMDS R8).

use crate::entra::{Entra, Reply, aadsts, answer};
use crate::sidecar::{CLIENT, ISSUER, OTHER_CLIENT, SUBJECT, Sidecar};

const VAULT: &str = "resource=https://vault.azure.net";

async fn failing(reply: Reply) -> (Entra, Sidecar) {
    let entra = Entra::start("localhost").await;
    entra.answer(move |_, _| reply.clone());
    let sidecar = Sidecar::start(&entra, &[]).await;
    (entra, sidecar)
}

/// Compares with a golden file.
#[track_caller]
fn assert_golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}.http", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, golden, "{path}");
}

#[tokio::test]
async fn r8_d5_answers_permanent_errors_with_400_and_does_not_retry_them() {
    for (status, error, code) in [
        (400, "unauthorized_client", 700016),
        (400, "invalid_request", 90002),
        (400, "invalid_resource", 500011),
        (400, "invalid_scope", 70011),
        (401, "invalid_client", 7000112),
        (400, "invalid_grant", 53003),
        (403, "access_denied", 1),
    ] {
        let (entra, sidecar) = failing(aadsts(status, error, code)).await;
        let answer = sidecar.token(VAULT).await;
        assert!(
            answer.head.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{code}: {answer:?}"
        );
        assert_eq!(answer.text("error"), error);
        let text = answer.text("error_description");
        assert!(
            text.contains(&format!("AADSTS{code}: text of Entra.")),
            "{text}"
        );
        assert!(text.contains(&format!("Trace ID: t-{code}")), "{text}");
        assert_golden(&format!("error-{code}"), &answer.golden());
        sidecar.token(VAULT).await;
        assert_eq!(
            entra.requests().len(),
            1,
            "{code}: the failure is remembered"
        );
    }
}

#[tokio::test]
async fn law_7_reports_a_missing_credential_with_a_command_to_paste() {
    let (entra, sidecar) = failing(aadsts(401, "invalid_client", 700213)).await;
    let answer = sidecar.token(VAULT).await;
    assert_golden("error-700213", &answer.golden());
    let text = answer.text("error_description");
    for part in [ISSUER, SUBJECT, "api://AzureADTokenExchange", CLIENT] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(entra.requests().len(), 4, "retried within the budget");
}

#[tokio::test]
async fn reports_an_unknown_client_at_once_with_entras_text() {
    let entra = Entra::start("localhost").await;
    entra.answer(|_, request| match &*request.form["client_id"] {
        OTHER_CLIENT => aadsts(400, "unauthorized_client", 700016),
        _ => crate::entra::token("t", 3600),
    });
    let sidecar = Sidecar::start(&entra, &[]).await;
    let refused = sidecar
        .token(&format!("{VAULT}&client_id={OTHER_CLIENT}"))
        .await;
    assert_eq!(refused.status, 400);
    assert!(refused.text("error_description").contains("AADSTS700016"));
    assert_eq!(entra.requests().len(), 1);
    assert_eq!(
        sidecar.token(VAULT).await.status,
        200,
        "the pod's own identity is not affected"
    );
}

#[tokio::test]
async fn r8_answers_throttling_with_429_and_entras_retry_after() {
    let (entra, sidecar) = failing(answer(429, Some("60"), "Too Many Requests")).await;
    let refused = sidecar.token(VAULT).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_golden("error-429", &refused.golden());
    let again = sidecar.token(VAULT).await;
    let left: u64 = again.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=70).contains(&left), "{left}");
    assert_eq!(entra.requests().len(), 1, "Entra gets no further request");
    entra.answer(|_, _| crate::entra::token("t", 3600));
    assert_eq!(
        sidecar.token("resource=other").await.status,
        200,
        "another key is not affected"
    );
}

#[tokio::test]
async fn r8_reads_a_date_in_retry_after() {
    // Far ahead: Retry-After is honoured for an hour at most.
    let date = "Fri, 06 Nov 2093 08:49:37 GMT";
    for status in [429, 503] {
        let (entra, sidecar) = failing(answer(status, Some(date), "{}")).await;
        let refused = sidecar.token(VAULT).await;
        assert_eq!(refused.status, status);
        sidecar.token(VAULT).await;
        assert_eq!(
            entra.requests().len(),
            1,
            "{status}: not retried before Retry-After"
        );
        assert_eq!(refused.header("retry-after"), Some("3600"));
    }
}

#[tokio::test]
async fn r8_pauses_for_a_minute_when_entra_sees_a_loop() {
    let (_entra, sidecar) = failing(aadsts(400, "invalid_request", 50196)).await;
    let refused = sidecar.token(VAULT).await;
    assert_golden("error-50196", &refused.golden());
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("60"))
    );
}

#[tokio::test]
async fn r8_answers_transient_errors_with_503() {
    for (name, reply) in [
        ("500", answer(500, None, "<html>secret</html>")),
        ("502", answer(502, Some("120"), "")),
        ("no-json", answer(200, None, "<html>Please log in</html>")),
        ("no-expiry", answer(200, None, r#"{"access_token":"t"}"#)),
        ("90033", aadsts(503, "temporarily_unavailable", 90033)),
    ] {
        let (_entra, sidecar) = failing(reply).await;
        let answer = sidecar.token(VAULT).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_golden(&format!("error-{name}"), &answer.golden());
        assert!(!answer.body.contains("secret"), "{answer:?}");
        answer.text("error");
    }
}

#[tokio::test]
async fn does_not_follow_redirects() {
    let (entra, sidecar) = failing(answer(302, None, "")).await;
    let refused = sidecar.token(VAULT).await;
    assert_golden("error-redirect", &refused.golden());
    assert_eq!(entra.requests().len(), 1);
}

#[tokio::test]
async fn gives_up_on_a_hanging_entra_within_the_budget() {
    let (entra, sidecar) = failing(Reply::Hang).await;
    let answer = sidecar.token(VAULT).await;
    assert_golden("error-hang", &answer.golden());
    assert_eq!(
        entra.requests().len(),
        2,
        "five seconds, and the rest of eight"
    );
}
