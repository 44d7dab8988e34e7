//! The kernel's answers over netlink and its table of sockets, as proxy-init reads them.

#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};

use libfuzzer_sys::fuzz_target;
use proxy_init::config::Config;
use proxy_init::netlink::{nftables, wire};
use proxy_init::socket_table;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = Config::from_environment(|_| None) else {
        unreachable!("nothing is mandatory");
    };
    if let Some(messages) = wire::messages(bytes) {
        let listed: Vec<_> = messages
            .iter()
            .map(|message| message.body.to_vec())
            .collect();
        let differs = nftables::differs(&listed, &config);
        // Rules count as ours only if each of them names our table.
        let name = nftables::TABLE.as_bytes();
        assert!(
            differs
                || listed
                    .iter()
                    .all(|rule| rule.windows(name.len()).any(|part| part == name))
        );
        for message in messages {
            let _ = message.error_number();
            // Parsed attributes are written again as they were, and contain themselves.
            let written =
                wire::message(message.kind, message.flags, message.sequence, message.body);
            let read = wire::messages(&written).and_then(|mut read| read.pop());
            assert_eq!(read.map(|read| read.body), Some(message.body));
            assert!(wire::contains(message.body, message.body));
        }
    }
    let table = String::from_utf8_lossy(bytes);
    let proxy = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8000);
    let _ = socket_table::listener(&table, proxy);
    let _ = socket_table::is_connected(&table, proxy, proxy);
});
