//! Whether this process has NET_ADMIN. This distinguishes a missing capability from a refusal by a
//! security module.

/// Whether the capability is in this process's effective set. `false` when that cannot be read.
#[must_use]
pub fn has_net_admin() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| lists_net_admin(&status))
}

fn lists_net_admin(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << CAP_NET_ADMIN) != 0)
}

const CAP_NET_ADMIN: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let status = |effective: &str| {
            format!("Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\nCapBnd:\t0\n")
        };
        assert!(lists_net_admin(&status("0000000000001000")));
        assert!(!lists_net_admin(&status("0000000000000000")));
        assert!(!lists_net_admin(&status("ffffffffffffefff")));
        assert!(!lists_net_admin("CapEff:\tno number\n"));
        assert!(!lists_net_admin(""));
    }
}
