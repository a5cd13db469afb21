//! The engine's own parts for `benches/parts.rs`, which cannot reach them otherwise. Nothing here is promised.

use crate::engine::codec;
use crate::engine::digest::{Digest, Stats};
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::schema::Place;
use crate::error::Result;
use crate::state::queue::Task;

/// Replaces the contents of `out` by the frame of a record.
pub fn encode_frame(out: &mut Vec<u8>, row_key: &[u8], payload: &[u8]) {
    frame::encode(out, Place::of_record(row_key), Epoch(1), State::Present(payload));
}

/// The payload of a frame.
///
/// # Errors
///
/// `Damaged` when the frame is not one of that record.
pub fn decode_frame<'a>(row_key: &[u8], frame: &'a [u8]) -> Result<&'a [u8]> {
    frame::decode(Place::of_record(row_key), frame).map(|frame| frame.payload().unwrap_or_default())
}

/// The contribution of one record to the digest of its collection.
pub fn digest(key: &[u8], payload: &[u8]) -> Digest {
    let mut stats = Stats::default();
    stats.add(key, payload);
    stats.digest
}

/// The bytes that a task is stored as.
///
/// # Errors
///
/// `Invalid` when it cannot be stored.
pub fn encode_task(task: &Task) -> Result<Vec<u8>> {
    codec::encode(task)
}

/// The task of stored bytes; its id is not among them.
///
/// # Errors
///
/// `Damaged` when they are not of a task.
pub fn decode_task(bytes: &[u8]) -> Result<Task> {
    codec::decode(bytes)
}
