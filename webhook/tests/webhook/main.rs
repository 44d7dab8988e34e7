//! The webhook from outside its modules: what it adds to pods, what it answers over TLS, how it
//! keeps its certificates. The API server here is a small one in memory; the real one is met by the
//! tests on the node.

#[cfg(test)]
mod accepted_values;
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod environment_mode;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod http;
#[cfg(test)]
mod malice;
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
