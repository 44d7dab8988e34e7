//! Reading what the token endpoint answered.

pub use e2e::claims;
