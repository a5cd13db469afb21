//! Values that are kept in pieces: which of their versions still have all pieces, and what each piece has to be when.
//! One piece at a time, so that a long value with many versions takes no more memory than a short one.

use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, Place};
use crate::engine::format::value;
use crate::engine::redb_file::scratch::{ContentKind, Fact, Scratch};
use crate::error::{ErrorKind, Result};

/// A piece as a version of its value needs it.
pub(super) struct PieceVersion {
    /// From which epoch on.
    pub(super) birth: Epoch,
    /// In which epoch it is found to have become that; none when it is not needed.
    pub(super) source: Option<Epoch>,
}

/// Leaves of a record's versions those whose value is whole.
pub(super) fn drop_incomplete(scratch: &Scratch, record: &[u8], facts: &mut Vec<Fact>) -> Result<()> {
    let mut whole = Vec::with_capacity(facts.len());
    for fact in &*facts {
        whole.push(!matches!(fact.kind, ContentKind::Long(_)) || is_whole(scratch, record, fact)?);
    }
    let mut whole = whole.into_iter();
    facts.retain(|_| whole.next().unwrap_or_default());
    Ok(())
}

fn is_whole(scratch: &Scratch, record: &[u8], fact: &Fact) -> Result<bool> {
    let place = Place::of_record(record);
    let frame = scratch.frame(record, fact)?;
    let state = frame::decode(place, &frame)?.state;
    let piece = |piece: &[u8]| piece_at(scratch, piece, fact.birth);
    match value::verify(place.collection, place.key, state, piece) {
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(false),
        verified => verified.map(|()| true),
    }
}

/// The whole value of the version that a frame is of.
pub(super) fn value_of(scratch: &Scratch, record: &[u8], frame: &[u8]) -> Result<Option<Vec<u8>>> {
    let place = Place::of_record(record);
    let frame = frame::decode(place, frame)?;
    value::whole(place.collection, place.key, frame.state, |piece| piece_at(scratch, piece, frame.birth))
}

/// A piece as it was when its value was written: it may be older, when an earlier value had the same.
fn piece_at(scratch: &Scratch, piece: &[u8], at: Epoch) -> Result<Option<Vec<u8>>> {
    let row = CollectionId::CHUNKS.row_key(piece);
    let Some(fact) = scratch.fact_at(&row, at)? else { return Ok(None) };
    Ok(frame::decode(Place::of_record(&row), &scratch.frame(&row, &fact)?)?.payload().map(<[u8]>::to_vec))
}

/// How many pieces any of a record's versions has.
pub(super) fn most_pieces(facts: &[Fact]) -> u32 {
    facts.iter().map(pieces).max().unwrap_or_default()
}

fn pieces(fact: &Fact) -> u32 {
    match fact.kind {
        ContentKind::Long(pieces) => pieces,
        ContentKind::Absent | ContentKind::Whole => 0,
    }
}

/// The row of a piece of a record's values, and its versions, from the versions of the record, oldest first.
pub(super) fn piece_versions(
    scratch: &Scratch,
    record: &[u8],
    facts: &[Fact],
    number: u32,
) -> Result<(Vec<u8>, Vec<PieceVersion>)> {
    let place = Place::of_record(record);
    let row = CollectionId::CHUNKS.row_key(&value::piece_key(place.collection, place.key, number));
    let (mut versions, mut before) = (Vec::new(), None);
    for fact in facts {
        let found = if number < pieces(fact) { scratch.fact_at(&row, fact.birth)? } else { None };
        let mut now = None;
        if let Some(found) = &found {
            let frame = scratch.frame(&row, found)?;
            now = frame::decode(Place::of_record(&row), &frame)?.payload().map(blake3::hash);
        }
        if now != before {
            let source = found.filter(|_| now.is_some()).map(|found| found.birth);
            versions.push(PieceVersion { birth: fact.birth, source });
            before = now;
        }
    }
    Ok((row, versions))
}

/// The frame of a version of a piece.
pub(super) fn piece_frame(scratch: &Scratch, row: &[u8], version: &PieceVersion) -> Result<Vec<u8>> {
    let piece = Place::of_record(row).key;
    let bytes = version.source.map_or(Ok(None), |source| piece_at(scratch, piece, source))?;
    let mut frame = Vec::new();
    let state = bytes.as_deref().map_or(State::Absent, State::Present);
    frame::encode(&mut frame, Place::of_record(row), version.birth, state);
    Ok(frame)
}
