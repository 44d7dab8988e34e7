//! The netlink socket: sends requests to the kernel and checks every answer.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::wire;

/// The kernel did not do what was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel's answer cannot be read.
    #[error("the kernel's answer over netlink cannot be read")]
    Malformed,
    /// The kernel opens no socket of this kind.
    #[error("cannot open a netlink socket: {0}")]
    Open(Errno),
    /// The kernel did not answer.
    #[error("no answer over netlink: {0}")]
    Receive(Errno),
    /// The kernel refused the message with this number.
    #[error("the kernel refused message {sequence}: {errno}")]
    Refused {
        /// The message's number.
        sequence: u32,
        /// The reason.
        errno: Errno,
    },
    /// The request was not sent.
    #[error("cannot send over netlink: {0}")]
    Send(Errno),
}

/// A netlink socket to the kernel.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens a socket for `protocol`.
    ///
    /// # Errors
    ///
    /// The kernel lacks the protocol, or a seccomp filter refuses it.
    pub fn open(protocol: SockProtocol) -> Result<Self, NetlinkError> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )
        .map_err(NetlinkError::Open)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))
            .map_err(NetlinkError::Open)?;
        Ok(Self(socket))
    }

    /// Sends messages numbered from 1 to `count`, each with the flag [`wire::ACK`], and waits until
    /// each is acknowledged.
    ///
    /// # Errors
    ///
    /// The first refusal.
    pub fn request(&self, bytes: &[u8], count: usize) -> Result<(), NetlinkError> {
        self.send(bytes)?;
        let mut acknowledged = 0;
        while acknowledged < count {
            let datagram = self.receive()?;
            for message in wire::messages(&datagram).ok_or(NetlinkError::Malformed)? {
                match message.error_number().ok_or(NetlinkError::Malformed)? {
                    0 => acknowledged += 1,
                    number => {
                        return Err(NetlinkError::Refused {
                            sequence: message.sequence,
                            errno: Errno::from_raw(number),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a request for a list and returns the bodies of its items.
    ///
    /// # Errors
    ///
    /// A refusal, or a list that changed in every attempt.
    pub fn list(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            self.send(bytes)?;
            if let Some(items) = self.items()? {
                return Ok(items);
            }
        }
        Err(NetlinkError::Receive(Errno::EINTR))
    }

    /// One complete list; `None` when it changed while it was read.
    fn items(&self) -> Result<Option<Vec<Vec<u8>>>, NetlinkError> {
        let mut items = Vec::new();
        let mut consistent = true;
        loop {
            let datagram = self.receive()?;
            for message in wire::messages(&datagram).ok_or(NetlinkError::Malformed)? {
                consistent &= message.flags & wire::DUMP_INTERRUPTED == 0;
                if let Some(number) = message.error_number() {
                    return Err(NetlinkError::Refused {
                        sequence: message.sequence,
                        errno: Errno::from_raw(number),
                    });
                }
                if message.kind == wire::DONE {
                    return Ok(consistent.then_some(items));
                }
                items.push(message.body.to_vec());
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), bytes, &kernel, MsgFlags::empty())
            .map(drop)
            .map_err(NetlinkError::Send)
    }

    fn receive(&self) -> Result<Vec<u8>, NetlinkError> {
        let mut buffer = vec![0; ANSWER_BYTES];
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(buffer);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(NetlinkError::Receive(errno)),
            }
        }
    }
}

/// A timeout for a kernel that does not answer. It normally answers within the system call.
const ANSWER_SECONDS: i64 = 10;

/// The largest answer that the kernel sends at once.
const ANSWER_BYTES: usize = 32 * 1024;

/// How many times a list is requested if it changes while it is read.
const DUMP_ATTEMPTS: usize = 10;
