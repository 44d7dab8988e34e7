//! Gatekeeper's own program, as its chart installs it: its policies refuse pods, and its mutations change them.

mod constraints;
mod installation;
mod mutations;
mod policy;
mod workload;
