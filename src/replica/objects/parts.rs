//! The body of a manifest: the length and the check of each part of the base.

use super::layout::{OBJECT_MAX, ObjectHash};
use super::name::PART_MAX;
use crate::error::{Error, Result};

/// A length and a check.
const ENTRY: usize = 36;

/// A part of a base, as its manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartEntry {
    /// The length of the whole object.
    pub(crate) length: u32,
    pub(crate) hash: ObjectHash,
}

/// The body of a manifest.
///
/// # Errors
///
/// `Invalid` for more parts than there are names.
pub(crate) fn encode(parts: &[PartEntry]) -> Result<Vec<u8>> {
    if parts.len() > PART_MAX as usize {
        return Err(Error::invalid(format!("the store is too large for a base: parts={}", parts.len())));
    }
    Ok(parts.iter().flat_map(|part| part.length.to_le_bytes().into_iter().chain(part.hash.0)).collect())
}

/// The parts in the body of a manifest that has so many.
///
/// # Errors
///
/// `Damaged` for bytes that no writer makes.
pub(crate) fn decode(body: &[u8], count: u32) -> Result<Vec<PartEntry>> {
    let damaged = || Error::damaged(format!("a manifest of the replica has other parts than it says: parts={count}"));
    let (entries, rest) = body.as_chunks::<ENTRY>();
    if !rest.is_empty() || entries.len() != count as usize || count > PART_MAX {
        return Err(damaged());
    }
    let entry = |[a, b, c, d, hash @ ..]: &[u8; ENTRY]| PartEntry {
        length: u32::from_le_bytes([*a, *b, *c, *d]),
        hash: ObjectHash(*hash),
    };
    let parts: Vec<_> = entries.iter().map(entry).collect();
    if parts.iter().any(|part| part.length as usize > OBJECT_MAX) {
        return Err(damaged());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn parts_have_golden_bytes_and_read_back() {
        let parts = [
            PartEntry { length: 0x0102, hash: ObjectHash([7; 32]) },
            PartEntry { length: 0, hash: ObjectHash([0; 32]) },
        ];
        let bytes = [&[2, 1, 0, 0][..], &[7; 32], &[0; 36]].concat();
        assert_eq!(encode(&parts).unwrap(), bytes);
        assert_eq!(decode(&bytes, 2).unwrap(), parts);
        assert_eq!(decode(b"", 0).unwrap(), []);
    }

    #[test]
    fn a_manifest_with_other_parts_than_it_says_is_damaged() {
        let bytes = [0xff; 72];
        for (bytes, count) in [(&bytes[..], 2), (&bytes[..36], 2), (&bytes[..35], 1), (&bytes[..0], u32::MAX)] {
            assert_eq!(decode(bytes, count).unwrap_err().kind(), ErrorKind::Damaged, "{count}");
        }
        let many = vec![PartEntry { length: 0, hash: ObjectHash([0; 32]) }; PART_MAX as usize + 1];
        assert_eq!(encode(&many).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
