//! The installed product on the test node, from a user's view.

mod adds_only;
mod clients;
mod dry_run;
mod environment;
mod environment_mode;
mod examples;
mod forged_identity;
mod identity_bindings;
mod imds;
mod ip_families;
mod manual_form;
mod newer_kubernetes;
mod node_identity;
mod proxy_init;
mod python;
mod refusals;
mod reinvocation;
mod rotation;
mod security;
mod sidecar;
mod startup;
mod system_calls;
mod token_place;
