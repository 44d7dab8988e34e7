//! Why a call of the API server failed, for a message.

/// The API server's message if it answered. The library's text repeats the whole status.
pub(crate) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
