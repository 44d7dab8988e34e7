//! A real Kubernetes node that lives as long as one command.
//!
//! `prepare` installs the programs. `run` makes the namespaces and waits; inside them `init`
//! is process 1, and `node` starts the components, waits for the node and runs the command.

pub mod arguments;
pub mod cgroup;
pub mod init;
pub mod node;
pub mod prepare;
pub mod run;

mod cache;
mod exit;
