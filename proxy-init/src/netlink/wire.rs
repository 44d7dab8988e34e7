//! Netlink messages and their attributes as bytes: writing and reading, no I/O.
//!
//! Layout: `linux/netlink.h`. Headers are in the machine's byte order; messages and attributes are
//! padded to four bytes.

use nix::libc;

/// `NLM_F_REQUEST`
pub const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// `NLM_F_ACK`
pub const ACK: u16 = libc::NLM_F_ACK as u16;
/// `NLM_F_DUMP`
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// `NLM_F_DUMP_INTR`: the list changed while it was read.
pub const DUMP_INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;
/// `NLM_F_CREATE`
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// `NLM_F_EXCL`
pub const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// `NLM_F_APPEND`
pub const APPEND: u16 = libc::NLM_F_APPEND as u16;

/// `NLMSG_ERROR`: an error, or with number 0 an acknowledgement.
pub const ERROR: u16 = libc::NLMSG_ERROR as u16;
/// `NLMSG_DONE`: the end of a dump.
pub const DONE: u16 = libc::NLMSG_DONE as u16;

/// A message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags`
    pub flags: u16,
    /// `nlmsg_seq`
    pub sequence: u32,
    /// The bytes behind the header.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// The error number of an [`ERROR`] message, positive; 0 acknowledges.
    #[must_use]
    pub fn error_number(&self) -> Option<i32> {
        let number = self.body.first_chunk()?;
        (self.kind == ERROR).then(|| i32::from_ne_bytes(*number).wrapping_neg())
    }
}

/// One message with its header.
#[must_use]
pub fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = (MESSAGE_HEADER + body.len()) as u32;
    let mut bytes = [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &0_u32.to_ne_bytes(), // the port: the kernel fills in the socket's
        body,
    ]
    .concat();
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

/// One attribute.
#[must_use]
pub fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEADER + payload.len()) as u16;
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), payload].concat();
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

/// An attribute that holds a number in network byte order, as nf_tables expects it.
#[must_use]
pub fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// An attribute that holds a zero-terminated string.
#[must_use]
pub fn string(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

/// An attribute that holds attributes.
///
/// Without `NLA_F_NESTED`, as nf_tables itself writes them, so that the rules can be compared as bytes.
#[must_use]
pub fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind, &attributes.concat())
}

/// The messages in a datagram; `None` when it does not consist of complete messages.
#[must_use]
pub fn messages(mut datagram: &[u8]) -> Option<Vec<Message<'_>>> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        let (header, rest) = datagram.get(..length)?.split_at_checked(MESSAGE_HEADER)?;
        messages.push(Message {
            kind: u16::from_ne_bytes(*header.get(4..)?.first_chunk()?),
            flags: u16::from_ne_bytes(*header.get(6..)?.first_chunk()?),
            sequence: u32::from_ne_bytes(*header.get(8..)?.first_chunk()?),
            body: rest,
        });
        datagram = datagram.get(padded(length)..).unwrap_or_default();
    }
    Some(messages)
}

/// Kind and payload of each attribute; `None` when `bytes` does not consist of complete attributes.
#[must_use]
pub fn attributes(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let (header, payload) = bytes.get(..length)?.split_at_checked(ATTRIBUTE_HEADER)?;
        let kind = u16::from_ne_bytes(*header.get(2..)?.first_chunk()?);
        attributes.push((kind & KIND_MASK, payload));
        bytes = bytes.get(padded(length)..).unwrap_or_default();
    }
    Some(attributes)
}

/// Whether `found` has all attributes of `wanted`, in the same order and with the same values.
///
/// Attributes that a newer kernel adds are ignored, on any level.
#[must_use]
pub fn contains(found: &[u8], wanted: &[u8]) -> bool {
    if found == wanted {
        return true;
    }
    let (Some(found), Some(wanted)) = (attributes(found), attributes(wanted)) else {
        return false;
    };
    let mut found = found.into_iter();
    !wanted.is_empty()
        && wanted.into_iter().all(|(wanted_kind, wanted_value)| {
            found.any(|(kind, value)| kind == wanted_kind && contains(value, wanted_value))
        })
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// The kind without the nested and byte-order flags.
const KIND_MASK: u16 = libc::NLA_TYPE_MASK as u16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pads_an_attribute_but_not_its_length() {
        assert_eq!(
            string(7, "ab"),
            [&7_u16.to_ne_bytes()[..], &7_u16.to_ne_bytes(), b"ab\0\0"].concat()
        );
        assert_eq!(attributes(&string(7, "ab")), Some(vec![(7, &b"ab\0"[..])]));
    }

    #[test]
    fn an_error_has_a_number() {
        let bytes = message(ERROR, 0, 3, &(-1_i32).to_ne_bytes());
        let read = messages(&bytes).unwrap();
        assert_eq!(read[0].error_number(), Some(1));
        let bytes = message(DONE, 0, 3, &0_i32.to_ne_bytes());
        assert_eq!(messages(&bytes).unwrap()[0].error_number(), None);
    }

    #[test]
    fn rejects_a_truncated_datagram() {
        let bytes = message(1, 0, 1, b"body");
        for length in 1..bytes.len() {
            assert_eq!(messages(&bytes[..length]), None, "{length}");
        }
        assert_eq!(messages(&[0; 16]), None, "a length of zero");
    }

    #[test]
    fn ignores_attributes_that_a_kernel_adds() {
        let wanted = nested(1, &[number(1, 5), string(2, "x")]);
        let added = nested(
            1,
            &[number(1, 5), number(9, 9), string(2, "x"), number(3, 1)],
        );
        assert!(contains(&added, &wanted));
        assert!(!contains(&wanted, &added));
    }

    #[test]
    fn detects_another_value_or_order() {
        let wanted = nested(1, &[number(1, 5), number(2, 6)]);
        for other in [
            nested(1, &[number(1, 5), number(2, 7)]),
            nested(1, &[number(2, 6), number(1, 5)]),
            nested(1, &[number(1, 5)]),
            nested(2, &[number(1, 5), number(2, 6)]),
            Vec::new(),
        ] {
            assert!(!contains(&other, &wanted), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn reads_or_rejects_any_bytes(bytes: Vec<u8>, other: Vec<u8>) {
            let _ = messages(&bytes);
            let _ = attributes(&bytes);
            let _ = contains(&bytes, &other);
        }

        #[test]
        fn reads_what_it_writes(kind: u16, flags: u16, sequence: u32, body: Vec<u8>) {
            let bytes = message(kind, flags, sequence, &body);
            let expected = Message { kind, flags, sequence, body: &body };
            prop_assert_eq!(messages(&bytes), Some(vec![expected]));
        }
    }
}
