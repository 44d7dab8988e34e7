//! Objects of the API server of which a few fields are read. Every other field is skipped while the bytes are parsed, and
//! takes no memory.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

/// A part of an object of kind `K`.
#[derive(Clone, Debug)]
pub struct Part<K, F> {
    /// What was read.
    pub fields: F,
    metadata: ObjectMeta,
    kind: PhantomData<K>,
}

impl<K, F> Part<K, F> {
    /// The namespace, empty for an object without one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The name, empty if it was not read.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}

/// What is read of an object.
pub trait Fields: Sized {
    /// The fields as they are written.
    type Wire: DeserializeOwned;

    /// The fields, and the metadata that the object is found by. A watch needs the version, and the name for deletions.
    fn read(wire: Self::Wire) -> (ObjectMeta, Self);
}

impl<'de, K, F: Fields> Deserialize<'de> for Part<K, F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (metadata, fields) = F::read(F::Wire::deserialize(deserializer)?);
        Ok(Self {
            fields,
            metadata,
            kind: PhantomData,
        })
    }
}

impl<K: Resource<DynamicType = ()>, F> Resource for Part<K, F> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
