//! The sidecar as its neighbours see it: over sockets, against a scripted Entra and IMDS.

mod bindings;
mod cache;
mod entra;
mod errors;
mod exchange;
mod imds;
mod limits;
mod process;
mod raw;
mod relay;
mod sidecar;
mod wire;
