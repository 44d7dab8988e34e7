//! The connection to IMDS, announced to the rules of proxy-init.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use contract::value::RelayKey;
use tokio::net::{TcpSocket, TcpStream};
use tracing::debug;

/// Connects to `imds`. With a key, proxy-init exempts from the redirect only connections that are
/// announced with it.
pub(super) async fn connect(imds: SocketAddr, key: Option<RelayKey>) -> io::Result<TcpStream> {
    let (Some(key), SocketAddr::V4(_)) = (key, imds) else {
        return TcpStream::connect(imds).await;
    };
    let socket = TcpSocket::new_v4()?;
    // The port belongs to this socket before it is announced.
    socket.bind(ANY.into())?;
    let port = socket.local_addr()?.port();
    if let Err(error) = announce(imds, &key.announcement(port)) {
        debug!(%error, "cannot announce a connection");
    }
    // Does not wait before it has sent the first packet, so the announcement does not expire.
    socket.connect(imds).await
}

/// Sends the announcement to the rules of proxy-init.
///
/// # Errors
///
/// No rule took it. The connection may succeed all the same: rules without a key exempt the user.
fn announce(imds: SocketAddr, announcement: &[u8]) -> io::Result<()> {
    match UdpSocket::bind(ANY)?.send_to(announcement, imds) {
        Ok(_) => Err(io::Error::other("no rule takes announcements")),
        // A rule took the datagram out.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
