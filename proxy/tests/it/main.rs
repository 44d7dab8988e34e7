//! The sidecar over sockets, between applications and a scripted Entra and IMDS.

#[cfg(test)]
mod app_service;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod bindings;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod distance;
#[cfg(test)]
mod document;
#[cfg(test)]
mod entra;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod imds;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod malice;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod network;
#[cfg(test)]
mod process;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod redirected;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sidecar;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod system_calls;
#[cfg(test)]
mod token_file;
#[cfg(test)]
mod wire;
