//! The redirect: its bytes, and the binary in real network namespaces, run as an init container is.
//!
//! Needs root, and the Debian packages iproute2, iptables, nftables and procps.

#[cfg(test)]
mod announcements;
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
