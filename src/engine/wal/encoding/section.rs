//! The head of a section's file: which log it is of, and which section.

use super::id::LogId;

/// The bytes of a head; the first entry follows.
pub(in crate::engine::wal) const HEAD: u64 = 64;
/// No section is longer.
pub(in crate::engine::wal) const MOST: u64 = 4 << 20;

const MAGIC: &[u8; 8] = b"hivewal\n";
/// The version of the format of the files.
pub(in crate::engine::wal) const FORMAT: u32 = 1;

/// Whether a file begins like a section.
pub(in crate::engine::wal) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) struct Head {
    pub(in crate::engine::wal) id: LogId,
    pub(in crate::engine::wal) section: u64,
    /// The length of the file.
    pub(in crate::engine::wal) length: u64,
}

impl Head {
    /// Magic, format, zeros, log id, section, length, CRC-32 of these, zeros.
    pub(in crate::engine::wal) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.section.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEAD as usize, 0);
        bytes
    }

    /// The head at the beginning of a file; none when there is none.
    pub(in crate::engine::wal) fn decode(bytes: &[u8]) -> Option<Self> {
        let read = bytes.first_chunk::<{ HEAD as usize }>()?;
        let id = LogId(*read.get(16..)?.first_chunk()?);
        let section = u64::from_le_bytes(*read.get(32..)?.first_chunk()?);
        let length = u64::from_le_bytes(*read.get(40..)?.first_chunk()?);
        let head = Self { id, section, length };
        (head.encode() == read && (HEAD..=MOST).contains(&length)).then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;

    #[test]
    fn the_bytes_of_a_head_are_those_of_the_format_and_no_others_are_a_head() {
        let head = Head { id: LogId([7; 16]), section: 3, length: 256 << 10 };
        let bytes = head.encode();
        let expected = "6869766577616c0a01000000000000000707070707070707070707070707070703000000000000000000040000000000\
                        b1b34d32000000000000000000000000";
        assert_eq!(hex(&bytes), expected);
        assert_eq!(Head::decode(&bytes), Some(head));
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert_eq!(Head::decode(&wrong), None, "at={at}");
            assert_eq!(Head::decode(&bytes[..at]), None, "at={at}");
        }
        assert_eq!(Head::decode(&Head { length: MOST + 1, ..head }.encode()), None);
    }
}
