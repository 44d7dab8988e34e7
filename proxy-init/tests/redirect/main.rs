//! The redirect: its bytes, and in real network namespaces what the binary does when it is run as
//! an init container is.
//!
//! Needs root, and the Debian packages iproute2, iptables, nftables and procps.

#[cfg(test)]
mod batch;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod mesh;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod world;
