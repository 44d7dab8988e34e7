//! A cache of parsed queries, because applications repeat the same ones.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use foldhash::fast::RandomState;

use super::imds::TokenRequest;
use super::refusal::Refusal;
use crate::identity::{Identities, Identity, IdentityError};
use crate::token::{Key, Wanted};

/// A query that was understood.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) key: Arc<Key>,
    pub(crate) wanted: Wanted,
}

/// The meaning of each query.
#[derive(Debug)]
pub(crate) struct Queries {
    identities: Identities,
    /// The object id of the default identity, once a token of it has said it.
    own_object_id: OnceLock<String>,
    /// Looked up by each request, so with a hash faster than std's.
    seen: RwLock<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    queries: HashMap<Box<str>, Arc<Query>, RandomState>,
}

impl Queries {
    /// An empty cache.
    pub(crate) fn new(identities: Identities) -> Self {
        Self {
            identities,
            own_object_id: OnceLock::new(),
            seen: RwLock::default(),
        }
    }

    /// The identity and resource that a query asks for, and whether a token in memory will do.
    ///
    /// # Errors
    ///
    /// The query is malformed, see [`TokenRequest::parse`], or its identity is not known.
    pub(crate) fn read(&self, query: &str) -> Result<Arc<Query>, Refusal> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.queries.get(query) {
            return Ok(Arc::clone(known));
        }
        drop(seen);
        let request = TokenRequest::parse(query)?;
        let key = Arc::new(Key {
            client_id: self.client_id(&request.identity)?.into(),
            resource: request.resource.into(),
            claims: request.claims,
        });
        let known = Arc::new(Query {
            key: Arc::clone(&key),
            wanted: request.wanted,
        });
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = query.len() + key.bytes() + OVERHEAD;
        if seen.bytes + bytes > MAX_BYTES {
            *seen = Seen::default();
        }
        seen.bytes += bytes;
        seen.queries.insert(query.into(), Arc::clone(&known));
        Ok(known)
    }

    /// The default identity and the resource that a query asks for, if the query names an object id that may
    /// be that identity's: only a token can say.
    pub(crate) fn maybe_own(&self, query: &str) -> Option<Key> {
        let request = TokenRequest::parse(query).ok()?;
        request.identity.object_id()?;
        let client_id = self.identities.default.as_deref()?;
        self.own_object_id.get().is_none().then(|| Key {
            client_id: client_id.into(),
            resource: request.resource.into(),
            claims: request.claims,
        })
    }

    /// Remembers the object id of the default identity.
    pub(crate) fn set_own_object_id(&self, id: String) {
        let _ = self.own_object_id.set(id);
    }

    fn client_id<'a>(&'a self, identity: &'a Identity<'_>) -> Result<&'a str, IdentityError> {
        let own = self.own_object_id.get();
        let is_own = |id: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(id));
        match self.identities.client_id(identity) {
            Err(IdentityError::Unknown { .. }) if identity.object_id().is_some_and(is_own) => self
                .identities
                .default
                .as_deref()
                .ok_or(IdentityError::NoDefault),
            other => other,
        }
    }
}

/// How many bytes of queries and their keys are remembered. An application has a handful of queries.
const MAX_BYTES: usize = 256 * 1024;

/// Bytes of one query besides its texts: the map's entry, the hash of a token, and counters.
const OVERHEAD: usize = 256;

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
            assert_eq!(queries.read(&query).unwrap().key.resource.len(), 1_000);
            let seen = queries.seen.read().unwrap();
            let held = seen
                .queries
                .iter()
                .map(|(query, known)| query.len() + known.key.resource.len());
            assert!(held.sum::<usize>() <= MAX_BYTES && !seen.queries.is_empty());
        }
    }
}
