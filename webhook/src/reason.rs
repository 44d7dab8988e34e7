//! Why a call of the API server failed, in words for people.

/// The API server's own words, where it answered; the library's hold the whole status, twice.
pub(crate) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
