//! Reads the API server's version, on which the form of the sidecar depends.

use k8s_openapi::apimachinery::pkg::version::Info;

use super::reader::Reader;

/// The version as the API server says it.
pub(super) async fn read(reader: &mut Reader) -> Option<Info> {
    reader.json("/version").await
}
