//! The kernel's table of the pod's TCP sockets over IPv4: listening ones and connections.
//!
//! Layout: `proc_pid_net(5)`, `/proc/net/tcp`.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The table of this process's network namespace.
pub const PATH: &str = "/proc/self/net/tcp";

/// Reads the table.
///
/// # Errors
///
/// There is no `/proc`.
pub fn read() -> io::Result<String> {
    std::fs::read_to_string(PATH)
}

/// The user whose socket accepts connections to `address`, whether it is bound to that address or to all
/// addresses.
#[must_use]
pub fn listener(table: &str, address: SocketAddrV4) -> Option<u32> {
    rows(table)
        .find(|row| {
            row.state == LISTEN
                && row.local.port() == address.port()
                && (row.local.ip() == address.ip() || row.local.ip().is_unspecified())
        })
        .map(|row| row.uid)
}

/// Whether a connection from `source` ended in a socket at `address`.
#[must_use]
pub fn is_connected(table: &str, address: SocketAddrV4, source: SocketAddrV4) -> bool {
    rows(table).any(|row| row.local == address && row.remote == source)
}

struct Row {
    local: SocketAddrV4,
    remote: SocketAddrV4,
    state: u8,
    uid: u32,
}

fn rows(table: &str) -> impl Iterator<Item = Row> {
    table.lines().filter_map(row)
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid …`
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    Some(Row {
        local: address(fields.next()?)?,
        remote: address(fields.next()?)?,
        state: u8::from_str_radix(fields.next()?, 16).ok()?,
        uid: fields.nth(3)?.parse().ok()?,
    })
}

/// `0100007F:1F40`: the address is a number in the machine's byte order.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (address, port) = text.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(address), port))
}

const LISTEN: u8 = 10;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn v4(text: &str) -> SocketAddrV4 {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_table_is_read() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1501        0 21 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 22 1 0 100 0 0 10 0
   2: 0100007F:1F40 0200F40A:B3E6 01 00000000:00000000 00:00000000 00000000  1501        0 23 1 0 20 4 30 10 -1
";
        assert_eq!(listener(table, v4("127.0.0.1:8000")), Some(1501));
        assert_eq!(
            listener(table, v4("127.0.0.1:80")),
            Some(7),
            "on all addresses"
        );
        assert_eq!(listener(table, v4("127.0.0.2:8000")), None);
        assert_eq!(listener(table, v4("127.0.0.1:8001")), None);
        let address = v4("127.0.0.1:8000");
        assert!(is_connected(table, address, v4("10.244.0.2:46054")));
        assert!(!is_connected(table, address, v4("10.244.0.2:46055")));
        assert!(!is_connected(
            table,
            v4("127.0.0.1:80"),
            v4("10.244.0.2:46054")
        ));
    }

    #[test]
    fn finds_a_real_connection() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = v4(&server.local_addr().unwrap().to_string());
        let client = TcpStream::connect(address).unwrap();
        let source = v4(&client.local_addr().unwrap().to_string());
        let _accepted = server.accept().unwrap();

        let table = read().unwrap();
        assert_eq!(
            listener(&table, address),
            Some(nix::unistd::geteuid().as_raw())
        );
        assert!(is_connected(&table, address, source));
        assert!(!is_connected(&table, source, source));
    }

    proptest! {
        #[test]
        fn reads_any_text(table in "(\\PC|\n)*") {
            let _ = listener(&table, v4("127.0.0.1:8000"));
        }

        #[test]
        fn reads_any_row(line in "[0-9]: ([0-9A-F]{8}:[0-9A-F]{4} ){2}[0-9A-F]{1,3}( \\PC{0,5}){9}") {
            let _ = listener(&line, v4("127.0.0.1:8000"));
        }
    }
}
