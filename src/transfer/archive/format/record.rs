//! The exact form of a record in an archive: the length of its key as u16, that of its payload as u64, both
//! little-endian, then both. A payload begins with the version byte of its type, or is JSON text, as in the store.

use std::io::Read;

use crate::engine::write::transaction::MAX_KEY;
use crate::error::{Error, Hint, Result};

/// The bytes before key and payload.
pub(super) const HEAD: usize = 2 + 8;

/// Appends a record.
///
/// # Errors
///
/// `Damaged` when the key is longer than any stored one.
pub(in crate::transfer::archive) fn write(out: &mut Vec<u8>, key: &[u8], payload: &[u8]) -> Result<()> {
    let length = u16::try_from(key.len()).map_err(|_| Error::damaged("a key is too long to be stored"))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(payload);
    Ok(())
}

/// Reads the next record into two buffers. Returns whether there was one. The memory grows only with bytes that exist,
/// up to `limit` for a payload.
///
/// # Errors
///
/// `Damaged` for a wrong record, or the error of reading.
pub(in crate::transfer::archive) fn read(
    from: &mut impl Read,
    limit: u64,
    key: &mut Vec<u8>,
    payload: &mut Vec<u8>,
) -> Result<bool> {
    let mut head = [0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match from.read(head.get_mut(filled..).unwrap_or_default())? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(cut_off()),
            read => filled += read,
        }
    }
    let ([a, b], rest) = (head.first_chunk::<2>().copied().unwrap_or_default(), head.last_chunk::<8>());
    let (key_len, payload_len) = (u16::from_le_bytes([a, b]), u64::from_le_bytes(rest.copied().unwrap_or_default()));
    refuse_long_key(key_len.into())?;
    if payload_len > limit {
        return Err(too_long(payload_len, limit));
    }
    fill(from, key, key_len.into())?;
    fill(from, payload, payload_len)?;
    Ok(true)
}

fn fill(from: &mut impl Read, to: &mut Vec<u8>, length: u64) -> Result<()> {
    to.clear();
    let read = from.take(length).read_to_end(to)?;
    if read as u64 == length { Ok(()) } else { Err(cut_off()) }
}

/// Refuses a key that is longer than any stored one.
///
/// # Errors
///
/// `Damaged` if it is.
pub(super) fn refuse_long_key(bytes: usize) -> Result<()> {
    if bytes > MAX_KEY {
        return Err(Error::damaged(format!("a key is too long: bytes={bytes} max={MAX_KEY}")));
    }
    Ok(())
}

/// The error for a record beyond the limit.
pub(in crate::transfer::archive) fn too_long(bytes: u64, limit: u64) -> Error {
    let message = "a record is too long; if it really is, raise the limit";
    Error::invalid(format!("{message}: bytes={bytes} limit={limit}")).with_hint(Hint::RaiseRecordLimit)
}

fn cut_off() -> Error {
    Error::damaged("a record is truncated")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8], limit: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (mut records, mut key, mut payload) = (Vec::new(), Vec::new(), Vec::new());
        while read(&mut bytes, limit, &mut key, &mut payload)? {
            records.push((key.clone(), payload.clone()));
        }
        Ok(records)
    }

    #[test]
    fn records_are_decoded_again_and_their_bytes_are_fixed() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"k", b"payload").unwrap();
        write(&mut bytes, b"", b"").unwrap();
        assert_eq!(bytes, b"\x01\0\x07\0\0\0\0\0\0\0kpayload\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(all(&bytes, 7).unwrap(), [(b"k".to_vec(), b"payload".to_vec()), (vec![], vec![])]);
    }

    #[test]
    fn a_truncated_or_too_long_record_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"key", b"payload").unwrap();
        for length in 1..bytes.len() {
            assert!(all(&bytes[..length], 7).unwrap_err().to_string().contains("truncated"), "{length}");
        }
        assert!(all(&bytes, 6).unwrap_err().to_string().ends_with("bytes=7 limit=6"));
        bytes[1] = 0xff;
        assert!(all(&bytes, 7).unwrap_err().to_string().contains("a key is too long"));
        let endless = [&[0, 0][..], &[0xff; 8]].concat();
        assert!(all(&endless, u64::MAX).unwrap_err().to_string().contains("truncated"));
    }
}
