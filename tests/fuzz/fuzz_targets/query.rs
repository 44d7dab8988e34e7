//! A token request's query: any text names one identity and one resource, or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::api::imds::{TokenRequest, is_guid};
use proxy::identity::Identity;

fuzz_target!(|query: &str| {
    let Ok(request) = TokenRequest::parse(query) else {
        return;
    };
    assert!(!request.resource.is_empty());
    match request.identity {
        Identity::Client(id) => assert!(is_guid(&id), "{id:?}"),
        Identity::Other { id, .. } => assert!(!id.is_empty()),
        // A request that names an identity does not get the default identity's token.
        Identity::Default => assert!(
            !query.split('&').any(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                !value.is_empty() && SELECTORS.contains(&&*name.to_ascii_lowercase())
            }),
            "{query:?}"
        ),
    }
});

const SELECTORS: [&str; 7] = [
    "client_id",
    "clientid",
    "object_id",
    "principal_id",
    "msi_res_id",
    "mi_res_id",
    "msi-res-id",
];
