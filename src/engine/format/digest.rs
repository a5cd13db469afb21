//! The running digest of a collection: the sum of the hashes of its records, so that it follows a change in O(1) and
//! does not depend on the order of changes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::format::codec::Stored;
use crate::error::{Error, Result};

/// Up to this length a record is hashed in one piece: a check of records of 256 bytes takes a tenth less time.
const SHORT: usize = 512;

/// A 256-bit sum of record hashes. Two collections with the same records have the same digest.
///
/// It finds accidents; it is no seal against forgers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest([u64; 4]);

impl Digest {
    /// The digest of one record: BLAKE3(u32 LE key length ‖ key ‖ payload).
    pub(crate) fn of(key: &[u8], payload: &[u8]) -> Self {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
        let parts = [&length, key, payload];
        let mut room = [0; SHORT];
        let hash = match in_one_piece(&mut room, &parts) {
            Some(record) => blake3::hash(record),
            None => {
                let mut hasher = blake3::Hasher::new();
                parts.iter().for_each(|part| _ = hasher.update(part));
                hasher.finalize()
            }
        };
        Self::from_bytes(*hash.as_bytes())
    }

    /// Adds a record's digest.
    pub(crate) fn add(&mut self, other: Self) {
        let mut carry = false;
        for (limb, other) in self.0.iter_mut().zip(other.0) {
            (*limb, carry) = limb.carrying_add(other, carry);
        }
    }

    /// Takes a record's digest away.
    pub(crate) fn subtract(&mut self, other: Self) {
        let mut borrow = false;
        for (limb, other) in self.0.iter_mut().zip(other.0) {
            (*limb, borrow) = limb.borrowing_sub(other, borrow);
        }
    }

    /// The sum as 32 bytes, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*chunk);
        }
        Self(limbs)
    }
}

/// The parts joined, if there is room for them.
fn in_one_piece<'a>(room: &'a mut [u8], parts: &[&[u8]]) -> Option<&'a [u8]> {
    let mut end = 0;
    for part in parts {
        room.get_mut(end..)?.get_mut(..part.len())?.copy_from_slice(part);
        end += part.len();
    }
    room.get(..end)
}

/// Two hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of which these are the hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

/// Sixty-four hexadecimal digits of the little-endian bytes.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("a digest is 64 hexadecimal digits: digest={text}"));
        let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self::from_bytes).ok_or_else(wrong)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.to_bytes().serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            Ok(Self::from_bytes(<[u8; 32]>::deserialize(from)?))
        }
    }
}

/// The content of a collection in numbers. Every put and remove updates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Records.
    pub count: u64,
    /// The summed length of their payloads, in bytes.
    pub bytes: u64,
    /// The sum of their hashes.
    pub digest: Digest,
}

impl Stats {
    /// A record has come.
    pub(crate) fn add(&mut self, key: &[u8], payload: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload.len() as u64);
        self.digest.add(Digest::of(key, payload));
    }

    /// A record has gone.
    pub(crate) fn subtract(&mut self, key: &[u8], payload: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub(payload.len() as u64);
        self.digest.subtract(Digest::of(key, payload));
    }

    /// A part of the same collection has gone.
    pub(crate) fn subtract_stats(&mut self, other: &Self) {
        self.count = self.count.wrapping_sub(other.count);
        self.bytes = self.bytes.wrapping_sub(other.bytes);
        self.digest.subtract(other.digest);
    }

    /// Another part of the same collection.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.digest.add(other.digest);
    }
}

impl Stored for Stats {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the statistics of a collection";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_changes_does_not_matter_and_taking_away_undoes_adding() {
        let (mut forth, mut back) = (Stats::default(), Stats::default());
        for i in 0..100u8 {
            forth.add(&[i], &[i; 9]);
            back.add(&[99 - i], &[99 - i; 9]);
        }
        assert_eq!(forth, back);
        for i in 0..100u8 {
            forth.subtract(&[i], &[i; 9]);
        }
        assert_eq!(forth, Stats::default());
    }

    #[test]
    fn key_and_payload_do_not_run_together() {
        assert_ne!(Digest::of(b"ab", b"c"), Digest::of(b"a", b"bc"));
    }

    #[test]
    fn a_carry_runs_through_all_limbs() {
        let mut digest = Digest([u64::MAX, u64::MAX, u64::MAX, 0]);
        digest.add(Digest([1, 0, 0, 0]));
        assert_eq!(digest, Digest([0, 0, 0, 1]));
        digest.subtract(Digest([1, 0, 0, 0]));
        assert_eq!(digest, Digest([u64::MAX, u64::MAX, u64::MAX, 0]));
    }

    #[test]
    fn the_text_of_a_digest_reads_back() {
        let digest = Digest::of(b"key", b"payload");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!("zz".parse::<Digest>().is_err());
    }
}
