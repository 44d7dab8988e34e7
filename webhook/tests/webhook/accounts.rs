//! Service accounts from memory, and by look-up at the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::json;
use testkit::poll;
use webhook::accounts::{Accounts, LookupError, watch};
use webhook::inject::Account;

use crate::cluster::{ACCOUNTS, Cluster};

const GETS: &str = "GET /api/v1/namespaces/";
const LISTS: &str = "GET /api/v1/serviceaccounts";

fn annotations(client_id: &str) -> serde_json::Value {
    json!({ "azure.workload.identity/client-id": client_id })
}

async fn watching(cluster: &Cluster) -> Arc<Accounts> {
    watching_by(cluster, false).await
}

async fn watching_by(cluster: &Cluster, streams: bool) -> Arc<Accounts> {
    let accounts = Arc::new(Accounts::new(cluster.client()));
    let running = watch::run(cluster.client(), Arc::clone(&accounts), streams);
    tokio::spawn(running);
    until_listed(&accounts).await;
    accounts
}

async fn until_listed(accounts: &Accounts) {
    let is_listed = async || accounts.are_listed();
    poll::until("the end of the list", is_listed, |is_listed| *is_listed).await;
}

/// Waits until the watch has led to this many accounts in memory.
async fn until_count(accounts: &Accounts, wanted: usize) {
    let count = async || accounts.count();
    poll::until("accounts in memory", count, |count| *count == wanted).await;
}

/// The account as a review gets it.
async fn find(accounts: &Accounts, name: &str) -> Result<Option<Account>, LookupError> {
    match accounts.known("ns", name) {
        Some(account) => Ok(Some(account)),
        None => accounts.look_up("ns", name).await,
    }
}

async fn client_id(accounts: &Accounts, name: &str) -> Option<String> {
    let account = find(accounts, name).await.unwrap();
    account.map(|account| account.client_id.to_string())
}

#[tokio::test]
async fn lists_accounts_in_pages_and_follows_them() {
    let cluster = Cluster::start().await;
    for number in 0..2_200 {
        cluster.account(
            "ns",
            &format!("sa-{number}"),
            annotations(&number.to_string()),
        );
    }
    for number in 0..100 {
        cluster.account("other", &format!("plain-{number}"), json!({ "a": "b" }));
    }
    let accounts = watching(&cluster).await;
    assert_eq!(accounts.count(), 2_200, "only annotated ones are kept");
    assert!(
        cluster.requests(LISTS) >= 3,
        "2,300 accounts are three pages"
    );
    assert_eq!(client_id(&accounts, "sa-2199").await.unwrap(), "2199");

    cluster.account("ns", "new", annotations("new"));
    cluster.delete(ACCOUNTS, "ns", "sa-0");
    until_count(&accounts, 2_200).await;
    cluster.account("ns", "sa-1", json!({}));
    until_count(&accounts, 2_199).await;
    assert_eq!(client_id(&accounts, "new").await.unwrap(), "new");
    assert_eq!(cluster.requests(GETS), 0, "every account came from memory");
}

#[tokio::test]
async fn serves_a_slow_list_while_it_grows() {
    let cluster = Cluster::start().await;
    for number in 0..1_100 {
        let name = format!("sa-{number:04}");
        cluster.account("ns", &name, annotations(&number.to_string()));
    }
    cluster.hold_pages(true);
    let accounts = Arc::new(Accounts::new(cluster.client()));
    assert!(!accounts.are_ready());
    let running = watch::run(cluster.client(), Arc::clone(&accounts), false);
    tokio::spawn(running);
    let is_ready = async || accounts.are_ready();
    poll::until("the first page", is_ready, |is_ready| *is_ready).await;
    assert!(!accounts.are_listed());
    assert_eq!(client_id(&accounts, "sa-0001").await.unwrap(), "1");
    assert_eq!(
        cluster.requests(GETS),
        0,
        "the first page is served from memory"
    );
    assert_eq!(client_id(&accounts, "sa-1050").await.unwrap(), "1050");
    assert_eq!(cluster.requests(GETS), 1);

    cluster.hold_pages(false);
    until_listed(&accounts).await;
    assert_eq!(client_id(&accounts, "sa-1050").await.unwrap(), "1050");
    assert_eq!(cluster.requests(GETS), 1);
}

#[tokio::test]
async fn is_not_ready_without_a_list() {
    let cluster = Cluster::start().await;
    cluster.account("ns", "sa", annotations("1"));
    cluster.forbid(Method::GET, ACCOUNTS);
    let accounts = Arc::new(Accounts::new(cluster.client()));
    let running = watch::run(cluster.client(), Arc::clone(&accounts), false);
    tokio::spawn(running);
    cluster.until_requests(LISTS, 2).await;
    assert!(!accounts.are_ready());
    assert!(accounts.watch_is_failing());
}

#[tokio::test]
async fn lists_as_a_stream_where_the_api_server_can() {
    let refusals = [
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::INTERNAL_SERVER_ERROR,
    ];
    for refusal in refusals.map(Some).into_iter().chain([None]) {
        let cluster = Cluster::start().await;
        if let Some(status) = refusal {
            cluster.refuse_streams(status);
        }
        for number in 0..1_100 {
            cluster.account(
                "ns",
                &format!("sa-{number}"),
                annotations(&number.to_string()),
            );
        }
        let accounts = watching_by(&cluster, true).await;
        assert_eq!(accounts.count(), 1_100);
        let pages = cluster.requests("GET /api/v1/serviceaccounts?&limit=");
        assert_eq!(pages, if refusal.is_some() { 2 } else { 0 });
        cluster.account("ns", "new", annotations("new"));
        until_count(&accounts, 1_101).await;
    }
}

#[tokio::test]
async fn lists_again_after_a_gap() {
    for streams in [false, true] {
        let cluster = Cluster::start().await;
        cluster.account("ns", "old", annotations("old"));
        let accounts = watching_by(&cluster, streams).await;
        let requests = cluster.requests(LISTS);
        cluster.delete(ACCOUNTS, "ns", "old");
        cluster.compact();
        cluster.account("ns", "new", annotations("new"));
        cluster.account("ns", "newer", annotations("newer"));
        until_count(&accounts, 2).await;
        assert!(cluster.requests(LISTS) > requests);
        assert_eq!(client_id(&accounts, "newer").await.unwrap(), "newer");
    }
}

/// The first ones are repeated at once, and then with pauses of one and two seconds.
#[tokio::test]
async fn a_watch_that_ends_at_once_is_asked_for_more_and_more_slowly() {
    for streams in [false, true] {
        let cluster = Cluster::start().await;
        let accounts = watching_by(&cluster, streams).await;
        let watches = "GET /api/v1/serviceaccounts?&watch=true";
        let before = cluster.requests(watches);
        cluster.end_watches(true);
        cluster.until_requests(watches, before + 4).await;
        let since = Instant::now();
        cluster.until_requests(watches, before + 5).await;
        assert!(
            since.elapsed() > Duration::from_secs(1),
            "{:?}",
            since.elapsed()
        );
        cluster.end_watches(false);
        cluster.account("ns", "new", annotations("new"));
        until_count(&accounts, 1).await;
        assert!(cluster.requests(watches) < before + 10);
    }
}

#[tokio::test]
async fn concurrent_reviews_share_one_lookup() {
    let cluster = Cluster::start().await;
    // Without a watch, as if it lagged.
    let accounts = Arc::new(Accounts::new(cluster.client()));
    cluster.account("ns", "late", annotations("late"));
    cluster.slow_accounts(true);
    let lookups: Vec<_> = (0..50)
        .map(|_| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move { client_id(&accounts, "late").await })
        })
        .collect();
    let waiting = async || accounts.live_lookups();
    poll::until("50 waiting reviews", waiting, |count| *count == 50).await;
    cluster.slow_accounts(false);
    for lookup in lookups {
        assert_eq!(lookup.await.unwrap().unwrap(), "late");
    }
    assert_eq!(cluster.requests(GETS), 1);
}

#[tokio::test]
async fn looks_up_an_account_without_client_id_once_more() {
    let cluster = Cluster::start().await;
    cluster.account(
        "ns",
        "sa",
        json!({ "azure.workload.identity/tenant-id": "contoso.com" }),
    );
    let accounts = watching(&cluster).await;
    assert_eq!(accounts.count(), 1);
    assert_eq!(client_id(&accounts, "sa").await.unwrap(), "");
    assert_eq!(cluster.requests(GETS), 1);

    // No client id is not an error, and then neither is a failed look-up.
    cluster.forbid(Method::GET, ACCOUNTS);
    let account = find(&accounts, "sa").await.unwrap().unwrap();
    assert_eq!(&*account.tenant_id, "contoso.com");
}

#[tokio::test]
async fn distinguishes_missing_from_unknown() {
    let cluster = Cluster::start().await;
    let accounts = watching(&cluster).await;
    assert!(find(&accounts, "missing").await.unwrap().is_none());
    cluster.account("ns", "plain", json!({}));
    assert!(find(&accounts, "plain").await.unwrap().is_some());

    cluster.slow_accounts(true);
    let error = find(&accounts, "slow").await.unwrap_err().to_string();
    assert!(
        error.contains("ns/slow") && error.contains("500 ms"),
        "{error}"
    );
    cluster.forbid(Method::GET, ACCOUNTS);
    assert!(find(&accounts, "forbidden").await.is_err());
}
