//! Rows that are buffered for about a second and written in one transaction, so that the heartbeats of a thousand bots
//! cost one commit a second.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock::after;

/// Rows wait no longer than this when another one comes.
const BUFFERED_FOR: Duration = Duration::from_millis(900);

/// Rows of [`Table::Liveness`](crate::engine::format::schema::Table::Liveness) that are not written yet, by their keys.
pub(crate) type BufferedRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows that an open store is still to write.
#[derive(Default)]
pub(crate) struct Buffered(Mutex<State>);

#[derive(Default)]
struct State {
    rows: BufferedRows,
    /// Since when rows are buffered; none before the first.
    since: Option<Timestamp>,
}

/// The next step after a row was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was the first of this open store: register a write for its close.
    Begin,
    /// Nothing.
    Wait,
    /// Write the buffered rows now; for a while no other caller gets this answer.
    Write,
}

impl Buffered {
    /// Adds a row, in place of one with that key.
    pub(crate) fn add(&self, now: Timestamp, key: &[u8], payload: Vec<u8>) -> Next {
        let mut state = self.0.lock();
        let begins = state.rows.is_empty();
        state.rows.insert(key.to_vec(), payload);
        let next = match state.since {
            None => Next::Begin,
            Some(_) if begins => Next::Wait,
            // After the clock was set back, rows are written at once.
            Some(since) if since <= now && now < after(since, BUFFERED_FOR) => return Next::Wait,
            Some(_) => Next::Write,
        };
        state.since = Some(now);
        next
    }

    /// The row with that key, if it is not written yet.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().rows.get(key).cloned()
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().rows.is_empty()
    }

    /// All of them.
    pub(crate) fn rows(&self) -> BufferedRows {
        self.0.lock().rows.clone()
    }

    /// Forgets a row, because a newer one is written directly.
    pub(crate) fn forget(&self, key: &[u8]) {
        self.0.lock().rows.remove(key);
    }

    /// Forgets the written rows, unless they were replaced meanwhile.
    pub(crate) fn written(&self, rows: &BufferedRows) {
        self.0.lock().rows.retain(|key, payload| rows.get(key) != Some(payload));
    }
}
