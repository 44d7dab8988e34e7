//! Tests of the webhook through its public interface: its patches, its answers over TLS, its
//! certificates. The API server is a fake in memory; the tests on the node use a real one.

#[cfg(test)]
mod accepted_values;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod credential_chains;
#[cfg(test)]
mod environment_mode;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod http;
#[cfg(test)]
mod malice;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod patch_examples;
#[cfg(test)]
mod patch_properties;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod process;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod review_properties;
#[cfg(test)]
mod server;
#[cfg(test)]
mod token_place;
