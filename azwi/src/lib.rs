//! `azwi`: says whether workload identity works, for every workload of a cluster, and moves workloads to it.
//!
//! # Map
//!
//! Each module knows only those below it.
//!
//! | module | subject |
//! |---|---|
//! | [`cli`] | the command line; one file a subcommand; exit codes |
//! | [`audit`] | the labelled pods of a cluster, watched: metrics, Events, evictions |
//! | [`migrate`] | from pod-managed identity to workload identity: plan, files, status, and changes of the cluster |
//! | [`federate`] | service accounts and federated credentials in, what to write and to remove out; runs `az` |
//! | [`issuer`] | public keys from files, and the documents that an issuer publishes |
//! | [`report`] | findings as text for people, and as JSON for programs |
//! | [`checks`] | facts in, findings out; pure, each finding with a stable [code](checks::Code) |
//! | [`facts`] | what was read of the cluster and of the issuer, as plain values; [`facts::read`] reads it |
//! | [`azure`] | identities and federated credentials, as `az` writes them |
//! | [`command`] | commands that are printed: whatever a name has, a shell reads it as one argument |
//! | [`document`] | foreign text in JSON and YAML, without characters that control a terminal |
//!
//! [`audit`], [`migrate`], [`federate`], [`issuer`] and [`report`] do not know each other.
//!
//! What the webhook does with a pod is not written here again: [`checks`] asks [`webhook::inject`]. What Entra's answers
//! mean says [`proxy::entra`].
//!
//! No token is kept: [`facts::read`] reads a token's claims and drops it, so no output can contain one.

pub mod audit;
pub mod azure;
pub mod checks;
pub mod cli;
pub mod command;
pub mod document;
pub mod facts;
pub mod federate;
pub mod issuer;
pub mod migrate;
pub mod report;
