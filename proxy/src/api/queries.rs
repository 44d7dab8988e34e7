//! A cache of parsed queries, because applications repeat the same ones.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;

use super::imds::TokenRequest;
use super::refusal::Refusal;
use crate::identity::Identities;
use crate::token::Key;

/// The key of each query.
#[derive(Debug)]
pub(crate) struct Queries {
    identities: Identities,
    /// Looked up by each request, so with a hash faster than std's.
    seen: RwLock<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    keys: HashMap<Box<str>, Arc<Key>, RandomState>,
}

impl Queries {
    /// An empty cache.
    pub(crate) fn new(identities: Identities) -> Self {
        Self {
            identities,
            seen: RwLock::default(),
        }
    }

    /// The identity and resource that a query asks for.
    ///
    /// # Errors
    ///
    /// The query is malformed, see [`TokenRequest::parse`], or its identity is not known.
    pub(crate) fn key(&self, query: &str) -> Result<Arc<Key>, Refusal> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = seen.keys.get(query) {
            return Ok(Arc::clone(key));
        }
        drop(seen);
        let request = TokenRequest::parse(query)?;
        let key = Arc::new(Key {
            client_id: self.identities.client_id(&request.identity)?.into(),
            resource: request.resource.into(),
        });
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = query.len() + key.client_id.len() + key.resource.len() + OVERHEAD;
        if seen.bytes + bytes > MAX_BYTES {
            *seen = Seen::default();
        }
        seen.bytes += bytes;
        seen.keys.insert(query.into(), Arc::clone(&key));
        Ok(key)
    }
}

/// How many bytes of queries and their keys are remembered. An application has a handful of queries.
const MAX_BYTES: usize = 256 * 1024;

/// Bytes of one query besides its texts: the map's entry and the counters of the key.
const OVERHEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_bounded_number_of_bytes() {
        let queries = Queries::new(Identities {
            default: Some("91be0000-1111-2222-3333-444455556666".to_owned()),
            ..Identities::default()
        });
        for nth in 0..2_000 {
            let query = format!("resource={nth:01000}");
            assert_eq!(queries.key(&query).unwrap().resource.len(), 1_000);
            let seen = queries.seen.read().unwrap();
            let held = seen
                .keys
                .iter()
                .map(|(query, key)| query.len() + key.resource.len());
            assert!(held.sum::<usize>() <= MAX_BYTES && !seen.keys.is_empty());
        }
    }
}
