//! The waiting callers that a transaction concerns, as the rules of the index tell them from the rows that it changes.

use std::collections::BTreeMap;

/// The callers that a transaction concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes {
    /// Whether it may concern all of them.
    pub(crate) everybody: bool,
    /// For how many of them there is something, whoever they are.
    pub(crate) anybody: u64,
    /// For how many callers of a name there is something.
    pub(crate) named: BTreeMap<Vec<u8>, u64>,
}

impl Wakes {
    /// They may all be concerned.
    pub(crate) fn everybody() -> Self {
        Self { everybody: true, ..Self::default() }
    }

    /// There is something for a caller of that name, or for any caller.
    pub(crate) fn add(&mut self, name: Option<&[u8]>) {
        let count = match name {
            None => &mut self.anybody,
            Some(name) => self.named.entry(name.to_vec()).or_default(),
        };
        *count = count.saturating_add(1);
    }

    /// Whether it concerns none of them.
    pub(crate) fn is_nobody(&self) -> bool {
        !self.everybody && self.anybody == 0 && self.named.is_empty()
    }
}
