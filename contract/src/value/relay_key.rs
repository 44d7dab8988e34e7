//! The key with which the proxy announces its connections to IMDS.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A secret that only proxy-init and the proxy of one pod have.
///
/// Every process that becomes the proxy's user could pass for the proxy. So the proxy announces each of its
/// connections to IMDS: before it connects, it sends [`RelayKey::announcement`] in a UDP datagram to the
/// address and port of IMDS. The rules of proxy-init take the datagram out, and exempt the next connection
/// from that source port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RelayKey([u8; Self::LENGTH]);

/// The text is not a key. The message does not repeat it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("it must be {} hexadecimal digits", 2 * RelayKey::LENGTH)]
pub struct RelayKeyError;

impl RelayKey {
    /// Length in bytes: the most that a rule of nf_tables compares at once.
    pub const LENGTH: usize = 16;

    /// Length of an announcement in bytes.
    pub const ANNOUNCEMENT_LENGTH: usize = Self::LENGTH + 2;

    /// A key of these bytes, which must be random.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The datagram that announces a connection from `source_port`: the key, then the port in network byte
    /// order.
    #[must_use]
    pub fn announcement(&self, source_port: u16) -> [u8; Self::ANNOUNCEMENT_LENGTH] {
        let mut datagram = [0; Self::ANNOUNCEMENT_LENGTH];
        let bytes = self.0.into_iter().chain(source_port.to_be_bytes());
        for (place, byte) in datagram.iter_mut().zip(bytes) {
            *place = byte;
        }
        datagram
    }
}

impl FromStr for RelayKey {
    type Err = RelayKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        // `from_str_radix` accepts a sign.
        if !text.bytes().all(|it| it.is_ascii_hexdigit()) || text.len() != 2 * Self::LENGTH {
            return Err(RelayKeyError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| RelayKeyError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for RelayKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Hides the key.
impl fmt::Debug for RelayKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RelayKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_a_source_port() {
        let key: RelayKey = " 000102030405060708090a0b0c0d0e0F\n".parse().unwrap();
        let announcement = key.announcement(0x1234);
        assert_eq!(announcement[..16], *key.bytes());
        assert_eq!(announcement[14..], [14, 15, 0x12, 0x34]);
        assert_eq!(key.to_string(), "000102030405060708090a0b0c0d0e0f");
    }

    #[test]
    fn accepts_no_other_length_or_digit_and_repeats_no_value() {
        for text in [
            "",
            "0",
            &"0".repeat(31),
            &"0".repeat(33),
            &"g".repeat(32),
            "+1",
        ] {
            let error = text.parse::<RelayKey>().unwrap_err();
            assert_eq!(error.to_string(), "it must be 32 hexadecimal digits");
        }
        let signed = format!("+{}", "0".repeat(31));
        assert_eq!(signed.parse::<RelayKey>(), Err(RelayKeyError));
        assert_eq!(format!("{:?}", RelayKey::new([7; 16])), "RelayKey");
    }
}
