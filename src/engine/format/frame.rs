//! The bytes of one stored value: format, state, birth, payload, checksum. Encode beside decode.
//!
//! The checksum also covers where the frame belongs (name space, collection, key), so that a value that turns up under
//! another key is damage. Table and segment are left out: a frame moves from `live` to `undo` unchanged.

use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::Place;
use crate::error::{Error, Result};

/// The first byte of every frame of this version of the format.
const FORMAT: u8 = 1;
/// Format byte, state byte, birth.
const HEADER: usize = 2 + 8;
/// CRC-32 (ISO-HDLC) after the payload.
const CHECKSUM: usize = 4;
/// Its polynomial, the lowest bit first.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The state of a key from its birth on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State<'a> {
    /// There is no record.
    Absent,
    /// The record's bytes.
    Present(&'a [u8]),
    /// The record is longer than one frame holds: this names its length, and its bytes are records of `#chunks`.
    Chunked(&'a [u8]),
}

/// A decoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) birth: Epoch,
    pub(crate) state: State<'a>,
}

impl<'a> Frame<'a> {
    /// The bytes that the collection's digest covers; nothing for an absent key.
    pub(crate) fn payload(&self) -> Option<&'a [u8]> {
        match self.state {
            State::Absent => None,
            State::Present(payload) | State::Chunked(payload) => Some(payload),
        }
    }
}

/// Replaces the contents of `out` by the frame.
pub(crate) fn encode(out: &mut Vec<u8>, place: Place<'_>, birth: Epoch, state: State<'_>) {
    let (tag, payload) = match state {
        State::Absent => (0, &[][..]),
        State::Present(payload) => (1, payload),
        State::Chunked(payload) => (2, payload),
    };
    out.clear();
    out.reserve(HEADER + payload.len() + CHECKSUM);
    out.push(FORMAT);
    out.push(tag);
    out.extend_from_slice(&birth.0.to_le_bytes());
    out.extend_from_slice(payload);
    let checksum = checksum(place, out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads a frame back, comparing its checksum first.
///
/// # Errors
///
/// `Damaged` when the bytes are too short, do not match their checksum in this place, or have an unknown state;
/// `NewerFormat` when a sound frame has a format byte that this version does not know.
pub(crate) fn decode<'a>(place: Place<'_>, bytes: &'a [u8]) -> Result<Frame<'a>> {
    let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(damaged(place, "too short"));
    };
    // F1: no other bytes are ever returned as data.
    if checksum(place, body) != u32::from_le_bytes(*stored) {
        return Err(damaged(place, "its checksum does not match"));
    }
    decode_compared(place, bytes)
}

/// Reads a frame back whose checksum has been compared already.
///
/// # Errors
///
/// As [`decode`], but for the checksum.
pub(crate) fn decode_compared<'a>(place: Place<'_>, bytes: &'a [u8]) -> Result<Frame<'a>> {
    let Some((body, _)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(damaged(place, "too short"));
    };
    let (Some(&[format, tag]), Some(birth), Some(payload)) =
        (body.first_chunk::<2>(), body.get(2..HEADER).and_then(|birth| birth.first_chunk::<8>()), body.get(HEADER..))
    else {
        return Err(damaged(place, "too short"));
    };
    if format != FORMAT {
        return Err(Error::new(
            crate::ErrorKind::NewerFormat,
            format!("a newer version wrote a record; use that version: {place} format={format}"),
        ));
    }
    let state = match (tag, payload) {
        // F3: an absent frame has no payload.
        (0, []) => State::Absent,
        (1, payload) => State::Present(payload),
        (2, payload) => State::Chunked(payload),
        _ => return Err(damaged(place, "its state is unknown")),
    };
    Ok(Frame { birth: Epoch(u64::from_le_bytes(*birth)), state })
}

/// The bit, counted from the first byte on, of which the checksum says that it alone may have been flipped; none when
/// it matches, or when more than one bit must have been.
///
/// Flipping a bit changes the checksum by a value that depends on nothing but how far from the end the bit
/// is, and no two bits of a frame have the same. It is no proof: of other damage, one in some thousands
/// looks like a bit of a long frame.
pub(crate) fn flipped_bit(place: Place<'_>, bytes: &[u8]) -> Option<usize> {
    let (body, stored) = bytes.split_last_chunk::<CHECKSUM>()?;
    let difference = checksum(place, body) ^ u32::from_le_bytes(*stored);
    if difference.is_power_of_two() {
        return Some(body.len() * 8 + difference.trailing_zeros() as usize);
    }
    let mut changes: [u32; 8] = std::array::from_fn(|bit| through_a_byte(1 << bit));
    for at in (0..body.len()).rev() {
        if let Some(bit) = changes.iter().position(|change| *change == difference) {
            return Some(at * 8 + bit);
        }
        changes = changes.map(through_a_byte);
    }
    None
}

/// The effect of one more byte on a difference in the state of a CRC-32.
fn through_a_byte(difference: u32) -> u32 {
    let [low, ..] = difference.to_le_bytes();
    (difference >> 8) ^ TABLE.get(usize::from(low)).copied().unwrap_or_default()
}

/// The same for differences of one byte, worked out bit by bit.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut state = byte;
        let mut bit = 0;
        while bit < 8 {
            state = (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte as usize] = state;
        byte += 1;
    }
    table
};

fn checksum(place: Place<'_>, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.prefix());
    hasher.update(place.key);
    hasher.update(body);
    hasher.finalize()
}

fn damaged(place: Place<'_>, what: &str) -> Error {
    Error::damaged(format!("a stored record is damaged ({what}): {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::schema::{CollectionId, Space};
    use crate::error::ErrorKind;

    fn place(key: &[u8]) -> Place<'_> {
        Place { space: Space::Record, collection: CollectionId(7), key }
    }

    fn bytes(state: State<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, place(b"key"), Epoch(9), state);
        out
    }

    /// `bytes` with the checksum that belongs to them.
    fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len() - CHECKSUM;
        let sum = checksum(place(b"key"), &bytes[..body]);
        bytes.truncate(body);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn an_encoded_frame_is_decoded() {
        for state in [State::Absent, State::Present(b""), State::Present(b"payload"), State::Chunked(b"head")] {
            let encoded = bytes(state);
            assert_eq!(decode(place(b"key"), &encoded).unwrap(), Frame { birth: Epoch(9), state });
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        assert_eq!(bytes(State::Present(b"hi")), [1, 1, 9, 0, 0, 0, 0, 0, 0, 0, b'h', b'i', 0xfb, 0x97, 0x8d, 0x64]);
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_found() {
        let good = bytes(State::Present(b"payload"));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(place(b"key"), &bad).unwrap_err().kind(), ErrorKind::Damaged, "bit {bit}");
        }
        for len in 0..good.len() {
            assert_eq!(decode(place(b"key"), &good[..len]).unwrap_err().kind(), ErrorKind::Damaged, "length {len}");
        }
        let mut long = good;
        long.push(0);
        assert_eq!(decode(place(b"key"), &long).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn the_one_bit_that_was_flipped_is_named() {
        let good = bytes(State::Present(&[b'v'; 3000]));
        assert_eq!(flipped_bit(place(b"key"), &good), None);
        for bit in (0..80).chain((80..good.len() * 8).step_by(41)).chain(good.len() * 8 - 40..good.len() * 8) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(flipped_bit(place(b"key"), &bad), Some(bit));
            bad[1500] ^= 0xff;
            assert_eq!(flipped_bit(place(b"key"), &bad), None, "{bit}");
        }
        assert_eq!(flipped_bit(place(b"key"), b"x"), None);
    }

    #[test]
    fn a_frame_in_the_wrong_place_is_damage() {
        let good = bytes(State::Present(b"payload"));
        assert!(decode(place(b"kez"), &good).is_err());
        assert!(decode(Place { collection: CollectionId(8), ..place(b"key") }, &good).is_err());
        assert!(decode(Place { space: Space::Meta, ..place(b"key") }, &good).is_err());
    }

    #[test]
    fn an_unknown_state_and_a_newer_format_are_named() {
        let mut unknown = bytes(State::Present(b"p"));
        unknown[1] = 3;
        assert_eq!(decode(place(b"key"), &resealed(unknown)).unwrap_err().kind(), ErrorKind::Damaged);
        let mut absent = bytes(State::Present(b"p"));
        absent[1] = 0;
        assert_eq!(decode(place(b"key"), &resealed(absent)).unwrap_err().kind(), ErrorKind::Damaged);
        let mut newer = bytes(State::Present(b"p"));
        newer[0] = 2;
        assert_eq!(decode(place(b"key"), &resealed(newer)).unwrap_err().kind(), ErrorKind::NewerFormat);
    }
}
