//! Random seeds, read from the kernel many at a time: one system call for each costs a part of a review.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

use crate::inject::Seed;

/// Seeds that are handed out once each.
pub(super) struct Seeds(Mutex<Vec<[u8; Seed::LENGTH]>>);

impl Seeds {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::with_capacity(COUNT)))
    }

    /// The next seed. Nothing keeps its bytes.
    ///
    /// # Errors
    ///
    /// When the kernel returns no random numbers.
    pub(super) fn next(&self) -> Result<Seed, Unspecified> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seed) = left.pop() {
            return Ok(Seed(seed));
        }
        let mut bytes = [[0; Seed::LENGTH]; COUNT];
        SystemRandom::new().fill(bytes.as_flattened_mut())?;
        left.extend(bytes);
        left.pop().map(Seed).ok_or(Unspecified)
    }
}

/// Hides the bytes: secrets are made of them.
impl fmt::Debug for Seeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seeds")
    }
}

const COUNT: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_seed_is_handed_out_twice() {
        let seeds = Seeds::new();
        let all: HashSet<_> = (0..3 * COUNT).map(|_| seeds.next().unwrap().0).collect();
        assert_eq!(all.len(), 3 * COUNT);
        assert!(!all.contains(&[0; Seed::LENGTH]));
    }
}
