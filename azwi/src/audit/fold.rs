//! Folds a list while it is parsed: each item is in memory only until it has been read.
//!
//! A user can make lists of hundreds of thousands of items, each of which takes a hundred times its bytes as a value.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Calls `each` with every item of a list, which may be null.
pub(super) fn each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    each: impl FnMut(T),
) -> Result<(), D::Error> {
    deserializer.deserialize_any(Each(each, PhantomData))
}

struct Each<F, T>(F, PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<F, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Option<T>>()? {
            item.into_iter().for_each(&mut self.0);
        }
        Ok(())
    }
}
