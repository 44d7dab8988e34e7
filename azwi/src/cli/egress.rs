//! Which hosts are reached without the egress proxy of the environment: `NO_PROXY`, as kubectl reads it.

use std::net::IpAddr;

/// Whether a host is reached directly, by the value of `NO_PROXY`. As for kubectl, the machine itself always is.
pub(super) fn is_direct(host: &str, no_proxy: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|it| it.is_loopback()) {
        return true;
    }
    let entries = no_proxy.split(',').map(str::trim);
    entries.filter(|it| !it.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let domain = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*"
            || host == domain
            || host.ends_with(&format!(".{domain}"))
            || address.is_some_and(|it| is_in(it, &entry))
    })
}

/// Whether an address is in a range such as `10.0.0.0/8`.
fn is_in(address: IpAddr, range: &str) -> bool {
    let Some((network, length)) = range.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_domains_and_ranges() {
        for (host, no_proxy, expected) in [
            ("api.example.com", "", false),
            ("api.example.com", "example.com", true),
            ("api.example.com", ".example.com, other", true),
            ("api.example.com", "*.example.com", true),
            ("api.example.com", "ple.com", false),
            ("api.example.com", "*", true),
            ("127.0.0.1", "", true),
            ("localhost", "", true),
            ("[::1]", "", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("11.1.2.3", "0.0.0.0/0", true),
            ("[fd00::1]", "fd00::/8", true),
            ("10.1.2.3", "10.0.0.0/99", false),
        ] {
            assert_eq!(is_direct(host, no_proxy), expected, "{host} {no_proxy}");
        }
    }
}
