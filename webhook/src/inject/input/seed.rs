//! The random bytes of one review. They come in as a value, so that deciding needs no I/O.

use std::fmt;
use std::fmt::Write;

use contract::value::RelayKey;

/// Random bytes for one pod, used once.
#[derive(Clone)]
pub struct Seed(pub [u8; Self::LENGTH]);

impl Seed {
    /// The seed of pods that get no secret. Random bytes cost a part of a review.
    pub const UNUSED: Self = Self([0; Self::LENGTH]);

    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// The proxy's port in a pod on the node's network. The pod declares it, which makes it a
    /// hostPort: the scheduler never places two pods with the same one on a node. The range is below
    /// the usual ephemeral ports (32768 to 60999) and node ports (30000 to 32767).
    pub(crate) fn port(&self) -> u16 {
        const FIRST: u16 = 20_000;
        const COUNT: u16 = 10_000;
        let [.., high, low] = self.0;
        FIRST + u16::from_be_bytes([high, low]) % COUNT
    }

    /// The key of the injected containers in mode `redirect`.
    pub(crate) fn relay_key(&self) -> RelayKey {
        let mut key = [0; RelayKey::LENGTH];
        for (place, byte) in key.iter_mut().zip(self.0) {
            *place = byte;
        }
        RelayKey::new(key)
    }

    /// The secret of mode `environment` in hexadecimal: 240 bits. The last two bytes are left to [`Self::port`].
    pub(crate) fn secret(&self) -> String {
        let mut secret = String::with_capacity(2 * Self::LENGTH);
        for byte in self.0.iter().take(Self::LENGTH - 2) {
            // Writing to a String does not fail.
            let _ = write!(secret, "{byte:02x}");
        }
        secret
    }
}

/// Hides the bytes: a secret is made of them.
impl fmt::Debug for Seed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_port_and_secret_from_different_bytes() {
        let mut bytes = [0xab; Seed::LENGTH];
        let seed = Seed(bytes);
        assert_eq!(seed.secret(), "ab".repeat(30));
        bytes[30..].copy_from_slice(&[0, 7]);
        let other = Seed(bytes);
        assert_eq!(other.secret(), seed.secret());
        assert_eq!(other.port(), 20_007);
    }

    #[test]
    fn keeps_ports_below_the_nodes_own_ranges() {
        for last in [[0, 0], [0xff, 0xff], [0x27, 0x0f], [0x27, 0x10]] {
            let mut bytes = [0; Seed::LENGTH];
            bytes[30..].copy_from_slice(&last);
            assert!((20_000..30_000).contains(&Seed(bytes).port()), "{last:?}");
        }
    }

    #[test]
    fn debug_hides_the_bytes() {
        assert_eq!(format!("{:?}", Seed([1; Seed::LENGTH])), "Seed");
    }
}
