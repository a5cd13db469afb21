//! The slots of one term, page by page, with the objects that a list shows there: for those who look for missing ones.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::Result;
use crate::replica::connection::opened::OpenReplica;
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};

/// The slot behind the last object of a term that has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replica) enum End {
    At(u64),
    /// That one, or one behind it that a list shows.
    From(u64),
}

/// Slots in a row, and the lengths of the objects that a list shows in them.
pub(in crate::replica) struct LogPage {
    pub(in crate::replica) slots: Range<u64>,
    pub(in crate::replica) lengths: BTreeMap<u64, u64>,
}

/// The pages of a term, as many slots at once as are listed at once.
pub(in crate::replica) struct LogPages<'r> {
    remote: &'r OpenReplica,
    term: Term,
    from: u64,
    end: End,
    is_over: bool,
}

impl<'r> LogPages<'r> {
    /// The pages from a slot on.
    pub(in crate::replica) fn new(remote: &'r OpenReplica, term: Term, from: u64, end: End) -> Self {
        let is_over = matches!(end, End::At(end) if end <= from);
        Self { remote, term, from, end, is_over }
    }

    /// The next page; none behind the end.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(in crate::replica) async fn next(&mut self) -> Result<Option<LogPage>> {
        if self.is_over {
            return Ok(None);
        }
        let (term, from) = (self.term, self.from);
        let name = |index| ObjectName::Log(ReplicaSlot { term, index });
        let before = if let End::At(end) = self.end { Some(name(end)) } else { None };
        let after = from.checked_sub(1).map(name);
        let page = self.remote.bucket().page_of_lengths(Folder::Log(term), after, before).await?;
        let next = page.next.and_then(index_of).map(|next| next.saturating_add(1));
        let lengths: BTreeMap<u64, u64> =
            page.names.into_iter().filter_map(|(name, length)| Some((index_of(name)?, length))).collect();
        let listed = lengths.keys().next_back().map_or(from, |last| last.saturating_add(1));
        let to = match (next, self.end) {
            (Some(next), _) => next,
            (None, End::At(end)) => end,
            (None, End::From(own)) => listed.max(own),
        };
        (self.from, self.is_over) = (to, next.is_none() || self.end == End::At(to));
        Ok(Some(LogPage { slots: from..to, lengths }))
    }
}

fn index_of(name: ObjectName) -> Option<u64> {
    if let ObjectName::Log(slot) = name { Some(slot.index) } else { None }
}
