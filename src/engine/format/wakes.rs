//! The waiting callers that a transaction concerns, as the rules of the index tell them from the rows that it changes.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The callers that a transaction concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes {
    /// Whether it may concern all of them.
    pub(crate) everybody: bool,
    /// For how many of them there is something, whichever they are.
    pub(crate) anybody: u64,
    /// Whether another process may have committed something. The first of `anybody` looks for how many that is.
    pub(crate) from_others: bool,
    /// For how many callers of a name there is something.
    pub(crate) named: BTreeMap<Vec<u8>, u64>,
    /// The first time at which there will be something.
    pub(crate) due: Option<Timestamp>,
}

impl Wakes {
    /// They may all be concerned.
    pub(crate) fn everybody() -> Self {
        Self { everybody: true, ..Self::default() }
    }

    /// Another process may have committed something, for nobody knows how many of them.
    pub(crate) fn or_of_others(mut self) -> Self {
        self.from_others = true;
        self.anybody = self.anybody.max(1);
        self
    }

    /// There is something for a caller of that name, or for any caller.
    pub(crate) fn add(&mut self, name: Option<&[u8]>) {
        let count = match name {
            None => &mut self.anybody,
            Some(name) => self.named.entry(name.to_vec()).or_default(),
        };
        *count = count.saturating_add(1);
    }

    /// There will be something at that time.
    pub(crate) fn add_at(&mut self, time: Timestamp) {
        self.due = self.due.into_iter().chain([time]).min();
    }

    /// Whether it concerns none of them now.
    pub(crate) fn is_nobody(&self) -> bool {
        !self.everybody && self.anybody == 0 && self.named.is_empty()
    }
}
