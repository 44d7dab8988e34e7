//! A route to IMDS. Without one the kernel refuses a connection before the redirect sees it. A pod that has
//! only IPv6 has none, so the address is added to `lo` (`169.254.169.254/32`). The proxy, which the
//! redirect exempts, would then reach the pod's own port 80: it refuses to relay there.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::SockProtocol;

use crate::error::RedirectError;
use crate::netlink::wire::{ACK, CREATE, EXCLUSIVE, REQUEST, attribute, message};
use crate::netlink::{NetlinkError, Socket};

/// How the pod reaches the address of IMDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through an address that was added to `lo`.
    Loopback,
    /// Through a route that existed before.
    Present,
}

/// Makes sure that a connection to `metadata` finds a route.
///
/// # Errors
///
/// There is no route, and the address cannot be added to `lo`.
pub fn ensure(metadata: SocketAddrV4) -> Result<Route, RedirectError> {
    if look_up(metadata).is_ok() {
        return Ok(Route::Present);
    }
    put_on_loopback(*metadata.ip()).map_err(|error| match error {
        NetlinkError::Refused {
            errno: Errno::EPERM,
            ..
        } => RedirectError::NoCapability,
        _ => RedirectError::NoRoute {
            address: *metadata.ip(),
            cause: error.to_string(),
        },
    })?;
    look_up(metadata).map_err(|error| RedirectError::NoRoute {
        address: *metadata.ip(),
        cause: error.to_string(),
    })?;
    Ok(Route::Loopback)
}

/// Connecting a datagram socket looks the route up and sends nothing.
fn look_up(metadata: SocketAddrV4) -> io::Result<()> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.connect(metadata)
}

fn put_on_loopback(address: Ipv4Addr) -> Result<(), NetlinkError> {
    let socket = Socket::open(SockProtocol::NetlinkRoute)?;
    match socket.request(&new_address(address), 1) {
        Err(NetlinkError::Refused {
            errno: Errno::EEXIST,
            ..
        }) => Ok(()),
        result => result,
    }
}

/// `RTM_NEWADDR`: what `ip address add ADDRESS/32 dev lo scope host` sends.
fn new_address(address: Ipv4Addr) -> Vec<u8> {
    let header = [
        &[FAMILY_IPV4, 32, 0, SCOPE_HOST][..], // family, prefix length, flags, scope
        &LOOPBACK.to_ne_bytes(),
    ]
    .concat();
    let attributes = [
        attribute(ADDRESS_LOCAL, &address.octets()),
        attribute(ADDRESS_PEER, &address.octets()),
    ]
    .concat();
    message(
        NEW_ADDRESS,
        REQUEST | ACK | CREATE | EXCLUSIVE,
        1,
        &[header, attributes].concat(),
    )
}

const NEW_ADDRESS: u16 = libc::RTM_NEWADDR;
const FAMILY_IPV4: u8 = libc::AF_INET as u8;
const SCOPE_HOST: u8 = libc::RT_SCOPE_HOST;
/// `lo` is interface 1 in every network namespace.
const LOOPBACK: u32 = 1;
const ADDRESS_PEER: u16 = libc::IFA_ADDRESS;
const ADDRESS_LOCAL: u16 = libc::IFA_LOCAL;
