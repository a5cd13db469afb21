//! Values that are kept in pieces: which of their versions still have all pieces, and what each piece has to be when.

use std::collections::BTreeMap;

use super::scratch::{Fact, Scratch};
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::schema::{CollectionId, Place};
use crate::engine::value;
use crate::error::{ErrorKind, Result};

/// A piece as a version of its value needs it: from which epoch on, and its bytes; none when it is not needed.
type Needed = (Epoch, Option<Vec<u8>>);

/// Leaves of a record's versions those whose value is whole.
pub(super) fn drop_incomplete(scratch: &Scratch, record: &[u8], facts: &mut Vec<Fact>) -> Result<()> {
    let mut whole = Vec::with_capacity(facts.len());
    for fact in &*facts {
        whole.push(is_whole(scratch, record, fact)?);
    }
    let mut whole = whole.into_iter();
    facts.retain(|_| whole.next().unwrap_or_default());
    Ok(())
}

fn is_whole(scratch: &Scratch, record: &[u8], fact: &Fact) -> Result<bool> {
    let place = Place::of_record(record);
    let state = frame::decode(place, &fact.frame)?.state;
    if !matches!(state, State::Chunked(_)) {
        return Ok(true);
    }
    match value_of(scratch, record, fact) {
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(false),
        value => value.map(|value| value.is_some()),
    }
}

/// The whole value of one version.
pub(super) fn value_of(scratch: &Scratch, record: &[u8], fact: &Fact) -> Result<Option<Vec<u8>>> {
    let place = Place::of_record(record);
    let state = frame::decode(place, &fact.frame)?.state;
    value::whole(place.collection, place.key, state, |piece| piece_at(scratch, piece, fact.birth))
}

/// A piece as it was when its value was written: it may be older, when an earlier value had the same.
fn piece_at(scratch: &Scratch, piece: &[u8], at: Epoch) -> Result<Option<Vec<u8>>> {
    let row = CollectionId::CHUNKS.row_key(piece);
    let facts = scratch.facts(&row)?;
    let Some(fact) = facts.iter().rfind(|fact| fact.birth <= at) else { return Ok(None) };
    Ok(frame::decode(Place::of_record(&row), &fact.frame)?.payload().map(<[u8]>::to_vec))
}

/// The versions of every piece of a record's values, from the versions of the record, oldest first.
pub(super) fn pieces(scratch: &Scratch, record: &[u8], facts: &[Fact]) -> Result<BTreeMap<Vec<u8>, Vec<Fact>>> {
    let mut needed: BTreeMap<Vec<u8>, Vec<Needed>> = BTreeMap::new();
    let place = Place::of_record(record);
    let most = facts.iter().map(|fact| Ok(value::pieces_of(frame::decode(place, &fact.frame)?.state)));
    let most = most.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or_default();
    for fact in facts {
        let count = value::pieces_of(frame::decode(place, &fact.frame)?.state);
        for number in 0..most {
            let key = value::piece_key(place.collection, place.key, number);
            let bytes = if number < count { piece_at(scratch, &key, fact.birth)? } else { None };
            let versions = needed.entry(CollectionId::CHUNKS.row_key(&key)).or_default();
            let before = versions.last().and_then(|(_, bytes)| bytes.as_ref());
            if before != bytes.as_ref() {
                versions.push((fact.birth, bytes));
            }
        }
    }
    Ok(needed.into_iter().map(|(row, versions)| (row.clone(), as_facts(&row, versions, facts))).collect())
}

fn as_facts(row: &[u8], versions: Vec<Needed>, of_value: &[Fact]) -> Vec<Fact> {
    let framed = |(birth, bytes): Needed| {
        let mut frame = Vec::new();
        let state = bytes.as_deref().map_or(State::Absent, State::Present);
        frame::encode(&mut frame, Place::of_record(row), birth, state);
        let found = of_value.iter().find(|fact| fact.birth == birth).map(|fact| fact.found);
        found.map(|found| Fact { birth, found, frame })
    };
    versions.into_iter().filter_map(framed).collect()
}
