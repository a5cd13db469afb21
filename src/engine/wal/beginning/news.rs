//! The logs that an opening, or the turn behind a process that died, took up or set aside.

use jiff::Timestamp;

/// A log that was taken up, and those that were set aside.
#[derive(Debug, Default)]
pub(crate) struct LogNews {
    /// The log of a process that did not close its store.
    pub(crate) taken: Option<TakenLog>,
    /// The names that logs of other files beside the store were given.
    pub(crate) set_aside: Vec<String>,
}

impl LogNews {
    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_none() && self.set_aside.is_empty()
    }

    /// Adds later news.
    pub(crate) fn add(&mut self, later: Self) {
        self.taken = later.taken.or(self.taken);
        self.set_aside.extend(later.set_aside);
    }
}

/// A log that a process left in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TakenLog {
    pub(crate) sections: u64,
    /// The entries that the file did not have.
    pub(crate) entries: u64,
    /// The time up to which the file had everything.
    pub(crate) since: Timestamp,
}
