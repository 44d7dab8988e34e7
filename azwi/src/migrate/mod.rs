//! `azwi migrate`: from pod-managed identity (aad-pod-identity) to workload identity.
//!
//! | module | subject |
//! |---|---|
//! | [`inventory`] | what the cluster has, as plain values; `inventory::read` reads it |
//! | [`plan`] | inventory in, plan out: each workload's identity, service account and change, and what blocks it; pure |
//! | [`patch`] | a change of a pod template, and its way back |
//! | [`status`] | how far the migration is, and what can be removed; pure, but for the logs of proxies |
//! | [`mod@write`] | plan and status as a table, as JSON, as commands and as files |
//! | [`apply`] | changes the cluster, one workload at a time |

pub mod apply;
pub mod inventory;
pub mod patch;
pub mod plan;
pub mod status;
pub mod write;

/// The annotation of what a migration has changed: the patch that restores a workload, or the values of a service
/// account's annotations before it.
pub const BEFORE: &str = "azwi-migrate/before";

/// The annotation of a service account that a migration has made: the name of the account that it replaces.
pub const REPLACES: &str = "azwi-migrate/replaces";
