//! The bytes of the keys of index rows.

use jiff::Timestamp;

use crate::engine::records::KeyRange;
use crate::error::{Error, Hint};
use crate::state::ids::TaskId;

/// The first byte of the queue's rows.
pub(in crate::state::queue) const QUEUE: u8 = b'q';
// The first three together are the tasks in the state ready.
pub(super) const READY: u8 = 1;
pub(super) const DELAYED: u8 = 2;
pub(super) const WAITING: u8 = 3;
pub(in crate::state::queue) const LEASE: u8 = 4;
pub(super) const HELD: u8 = 5;
pub(super) const SESSION: u8 = 6;
pub(in crate::state::queue) const FINISHED: u8 = 7;
pub(super) const KNOWN: u8 = 8;

/// Ends a name.
pub(super) const END: u8 = 0;
/// Follows each capability of a lane. It sorts after [`END`], so the rows of a lane come before
/// those of lanes that require more.
pub(super) const AND: u8 = 1;
/// Sorts after every name, because no UTF-8 text has this byte.
pub(super) const BEHIND_NAMES: u8 = 0xff;

/// The bit that is inverted in times, so that times before 1970 sort first.
pub(super) const SIGN: u64 = 1 << 63;

/// The beginning of a row's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::state::queue) struct Key(pub(in crate::state::queue) Vec<u8>);

impl Key {
    pub(in crate::state::queue) fn of(kind: u8) -> Self {
        Self(vec![QUEUE, kind])
    }

    /// Every key that begins with this.
    pub(in crate::state::queue) fn range(self) -> KeyRange {
        KeyRange::prefix(&self.0)
    }

    pub(in crate::state::queue) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    pub(in crate::state::queue) fn name(self, name: &[u8]) -> Self {
        self.bytes(name).byte(END)
    }

    pub(in crate::state::queue) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(in crate::state::queue) fn time(self, time: Timestamp) -> Self {
        self.bytes(&time_key(time))
    }

    pub(in crate::state::queue) fn id(self, id: &TaskId) -> Vec<u8> {
        self.bytes(id.as_bytes()).0
    }

    /// The keys of this kind whose time is at or before `time`.
    pub(super) fn until_time(self, time: Timestamp) -> KeyRange {
        let end = self.clone().time(time).byte(BEHIND_NAMES);
        self.range().until(&end.0)
    }
}

pub(super) fn behind_name(rest: &[u8]) -> Option<&[u8]> {
    let end = rest.iter().position(|byte| *byte == END)?;
    rest.get(end + 1..)
}

pub(in crate::state::queue) fn wrong(row: &[u8]) -> Error {
    Error::damaged(format!("a row of the index cannot be read; check the store: key={}", row.escape_ascii()))
        .with_hint(Hint::CheckStore)
}

/// The bytes of a time in keys: microseconds since 1970, in an order that includes times before 1970.
pub(in crate::state::queue) fn time_key(time: Timestamp) -> [u8; 8] {
    (time.as_microsecond().cast_unsigned() ^ SIGN).to_be_bytes()
}
