//! The names of a list, as they come from a bucket.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::replica::objects::name::{Folder, ObjectName};

/// The greatest number of names in a whole list, which limits its memory. A folder with more is listed page by page.
pub(super) const NAMES_MAX: usize = 2_000_000;
/// So many names are on a page at most.
pub(super) const PAGE_MAX: usize = 200_000;

/// Gets each name of a list, with a way to its length. Says whether the further ones are needed.
pub(super) type Each<'a> = dyn FnMut(&str, &dyn Fn() -> u64) -> ControlFlow<()> + 'a;

/// The first names of a list, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListPage<N = ObjectName> {
    pub(crate) names: Vec<N>,
    /// There may be more behind this one; none if these are all.
    pub(crate) next: Option<ObjectName>,
}

/// The part of a list that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) folder: Folder,
    pub(super) after: Option<ObjectName>,
    pub(super) before: Option<ObjectName>,
    pub(super) has_lengths: bool,
    /// The greatest number of names.
    pub(super) most: usize,
}

/// Names of a list, as they come.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    wanted: Wanted,
    /// The first names until now, with the last one of them on top.
    names: BinaryHeap<(ObjectName, u64)>,
    is_cut: bool,
    /// The name before, as long as all came in order.
    before: Option<ObjectName>,
    is_in_order: bool,
}

impl Listed {
    /// A list of a service. Services list in order, mostly.
    pub(super) fn new(wanted: Wanted) -> Self {
        Self { wanted, names: BinaryHeap::new(), is_cut: false, before: None, is_in_order: true }
    }

    /// A list that comes in no order.
    pub(super) fn unordered(wanted: Wanted) -> Self {
        Self { is_in_order: false, ..Self::new(wanted) }
    }

    /// Adds the object of a name, unless the name is not of a replica, or not wanted.
    pub(super) fn add(&mut self, text: &str, length: &dyn Fn() -> u64) -> ControlFlow<()> {
        let Some(name) = ObjectName::parse(text) else { return ControlFlow::Continue(()) };
        self.is_in_order = self.is_in_order && self.before.replace(name).is_none_or(|before| before < name);
        let is_behind = self.wanted.before.is_some_and(|end| name >= end);
        if is_behind || self.wanted.after.is_some_and(|after| name <= after) {
            return self.is_needed(!is_behind);
        }
        let is_full = self.names.len() >= self.wanted.most;
        let is_among = !is_full || self.names.peek().is_some_and(|(last, _)| name < *last);
        self.is_cut |= is_full;
        if is_full && is_among {
            self.names.pop();
        }
        if is_among {
            self.names.push((name, if self.wanted.has_lengths { length() } else { 0 }));
        }
        self.is_needed(is_among)
    }

    /// Nothing behind a name that is not needed is, if they come in order.
    fn is_needed(&self, is_needed: bool) -> ControlFlow<()> {
        if is_needed || !self.is_in_order { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// The first ones, in order.
    pub(super) fn page(self) -> ListPage<(ObjectName, u64)> {
        let is_cut = self.is_cut;
        let names = self.names.into_sorted_vec();
        let next = names.last().filter(|_| is_cut).map(|(last, _)| *last);
        ListPage { names, next }
    }
}

/// All names, in order.
///
/// # Errors
///
/// `Invalid` when there are more.
pub(super) fn whole(page: ListPage<(ObjectName, u64)>, wanted: &Wanted) -> Result<Vec<(ObjectName, u64)>> {
    if page.next.is_some() {
        let (most, folder) = (wanted.most, wanted.folder);
        return Err(Error::invalid(format!("a folder of the replica has more than {most} objects: folder={folder}")));
    }
    Ok(page.names)
}
