//! Netlink: the socket to the kernel, its messages, and the rules of nf_tables as messages.

pub mod nftables;
mod socket;
pub mod wire;

pub use socket::{NetlinkError, Socket};
