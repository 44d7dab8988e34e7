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
    seen: RwLock<HashMap<Box<str>, Arc<Key>, RandomState>>,
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
        if let Some(key) = seen.get(query) {
            return Ok(Arc::clone(key));
        }
        drop(seen);
        let request = TokenRequest::parse(query)?;
        let key = Arc::new(Key {
            client_id: self.identities.client_id(&request.identity)?.into(),
            resource: request.resource.into(),
        });
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_QUERIES {
            seen.clear();
        }
        seen.insert(query.into(), Arc::clone(&key));
        Ok(key)
    }
}

/// How many queries are remembered.
const MAX_QUERIES: usize = 1_000;
