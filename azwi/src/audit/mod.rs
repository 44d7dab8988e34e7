//! `azwi audit`: watches the labelled pods of a cluster, and reports those that do not have the identity that they
//! should have.
//!
//! # Map
//!
//! Each module knows only those below it.
//!
//! | module | subject |
//! |---|---|
//! | [`app`] | opens the ports, puts the parts together and runs them |
//! | `round` | what happens every few seconds: findings, metrics, events, evictions |
//! | `evictions`, `events`, `owners` | calls of the API server |
//! | `unread` | workloads that an eviction skips, because they cannot be read |
//! | `plan`, `turns` | which pod may be evicted next, which findings get an Event; pure |
//! | `findings` | faults of pods and their accounts, by workload; pure |
//! | `watch`, `store` | the pods in memory, from a watch |
//! | `pod` | one pod: its faults, and the little that is kept of it; pure |
//! | `watched`, `object`, `owner`, `fold` | what is read of pods, workloads, owners, namespaces and Events |
//! | [`policy`], [`version`] | the operator's settings |
//!
//! Service accounts come from [`webhook::accounts`], which bounds their memory.

pub mod app;
pub mod policy;
pub mod version;

mod events;
mod evictions;
mod findings;
mod fold;
mod metrics;
mod object;
mod owner;
mod owners;
mod plan;
mod pod;
mod round;
mod store;
mod turns;
mod unread;
mod watch;
mod watched;
