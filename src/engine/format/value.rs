//! Values of any length: over 1 MiB, a value is a head that names its length and hash, and its bytes are records of
//! the hidden collection `#chunks`, versioned like every record.
//!
//! redb keeps a value in a run of pages whose number is a power of two, so long values would waste up to half of it.

use std::borrow::Cow;

use crate::engine::format::frame::State;
use crate::engine::format::schema::CollectionId;
use crate::error::{Error, Result};

/// A longer value is kept in pieces.
pub(crate) const MAX_WHOLE: usize = 1 << 20;
/// The length of a piece, which fits with its key and frame into 64 pages of 4 KiB.
pub(crate) const PIECE: usize = 252 << 10;
/// Length and BLAKE3 of the whole value.
const HEAD: usize = 8 + 32;

/// The key in `#chunks` of one piece of a value.
pub(crate) fn piece_key(collection: CollectionId, key: &[u8], piece: u32) -> Vec<u8> {
    [&piece_prefix(collection, key)[..], &piece.to_be_bytes()].concat()
}

/// The beginning of the keys of all pieces of a value.
fn piece_prefix(collection: CollectionId, key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
    [&collection.0.to_be_bytes()[..], &length.to_be_bytes(), key].concat()
}

/// The collection that a piece belongs to.
pub(crate) fn owner_of_piece(key: &[u8]) -> Option<CollectionId> {
    CollectionId::split_row_key(key).map(|(owner, _)| owner)
}

/// The key, in its own collection, of the record that a piece belongs to.
pub(crate) fn owner_key_of_piece(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = CollectionId::split_row_key(key)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

pub(crate) fn head(payload: &[u8]) -> Vec<u8> {
    head_of(payload.len() as u64, &blake3::hash(payload))
}

fn head_of(length: u64, hash: &blake3::Hash) -> Vec<u8> {
    [&length.to_le_bytes()[..], hash.as_bytes()].concat()
}

/// The payload of a value's frame, which statistics count: the value, or its head when it is kept in pieces.
pub(crate) fn in_frame(payload: &[u8]) -> Cow<'_, [u8]> {
    if payload.len() <= MAX_WHOLE { Cow::Borrowed(payload) } else { Cow::Owned(head(payload)) }
}

/// The length that a head names, when it has the form of one.
fn length_in(head: &[u8]) -> Option<u64> {
    let (length, hash) = head.split_first_chunk::<8>()?;
    (hash.len() == HEAD - 8).then(|| u64::from_le_bytes(*length))
}

/// How many pieces the value has that a frame stands for.
pub(crate) fn pieces_of(state: State<'_>) -> u32 {
    match state {
        State::Chunked(head) => length_in(head).map_or(0, pieces),
        State::Absent | State::Present(_) => 0,
    }
}

/// How many pieces a value of that length has.
fn pieces(length: u64) -> u32 {
    u32::try_from(length.div_ceil(PIECE as u64)).unwrap_or(u32::MAX)
}

/// The value that a frame stands for; `piece` reads one of its pieces. Memory grows only with pieces that exist.
pub(crate) fn whole(
    collection: CollectionId,
    key: &[u8],
    state: State<'_>,
    piece: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>> {
    match state {
        State::Absent => Ok(None),
        State::Present(payload) => Ok(Some(payload.to_vec())),
        State::Chunked(head) => {
            let mut value = Vec::new();
            each_piece(collection, key, head, piece, |bytes| value.extend_from_slice(bytes))?;
            Ok(Some(value))
        }
    }
}

/// Compares the value that a frame stands for with its head, piece by piece, so that it is never in memory as a whole.
pub(crate) fn verify(
    collection: CollectionId,
    key: &[u8],
    state: State<'_>,
    piece: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<()> {
    match state {
        State::Absent | State::Present(_) => Ok(()),
        State::Chunked(head) => each_piece(collection, key, head, piece, |_| ()),
    }
}

/// Calls `each` with the bytes of every piece of a long value. They are its value only if no error comes.
fn each_piece(
    collection: CollectionId,
    key: &[u8],
    head: &[u8],
    piece: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    let damaged = |what| Error::damaged(format!("a long value is damaged ({what}): key={}", key.escape_ascii()));
    // A piece that had pieces itself could lead as deep as the file is long.
    if collection == CollectionId::CHUNKS {
        return Err(damaged("a piece has pieces"));
    }
    let length = length_in(head).ok_or_else(|| damaged("its head"))?;
    let (mut hasher, mut met) = (blake3::Hasher::new(), 0);
    for number in 0..pieces(length) {
        let bytes = piece(&piece_key(collection, key, number))?.ok_or_else(|| damaged("a piece is missing"))?;
        hasher.update(&bytes);
        met += bytes.len() as u64;
        each(&bytes);
    }
    // V1: the length and the hash of all pieces together.
    if head_of(met, &hasher.finalize()) != head {
        return Err(damaged("its hash does not match"));
    }
    Ok(())
}
