//! The objects before the floor of a collection that was decided: they are found page by page, and deleted.

use crate::error::Result;
use crate::replica::bucket::ListPage;
use crate::replica::objects::name::{BaseName, Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::terms::chain;
use crate::replica::terms::remote::{Deletes, Remote};
use crate::replica::terms::rules::broken;

/// So many objects are deleted in one step, beside which nothing is shipped for a moment.
const DELETED_AT_ONCE: usize = 100;

/// Objects before a decided floor.
#[derive(Debug)]
pub(super) struct OldObjects {
    floor: ReplicaSlot,
    /// The last one goes first.
    names: Vec<ObjectName>,
    /// There may be more in the log behind this one; none once the bases are among the names too.
    next: Option<ObjectName>,
}

impl OldObjects {
    /// Finds some of them, from behind that one of the log on, as the process that writes a term.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(super) async fn find(
        remote: &impl Remote,
        term: Term,
        floor: ReplicaSlot,
        mut after: Option<ObjectName>,
    ) -> Result<Self> {
        let mut names = Vec::new();
        let next = loop {
            let page = remote.list_page(Folder::Logs, after, Some(ObjectName::Log(floor))).await?;
            names.extend(old_log(remote, term, &page, after, floor).await?);
            if !names.is_empty() || page.next.is_none() {
                break page.next;
            }
            after = page.next;
        };
        if next.is_none() {
            let is_old = |name: &ObjectName| base_of(name).is_some_and(|base| base.slot < floor);
            names.extend(remote.list(Folder::Bases).await?.into_iter().filter(is_old));
        }
        // The last one goes first: of each base the manifest before the parts, so that nobody begins with the rest.
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Self { floor, names, next })
    }

    /// Whether none is left of those that were found.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The floor, and the object of the log behind which there may be more.
    pub(super) fn rest(&self) -> (ReplicaSlot, Option<ObjectName>) {
        (self.floor, self.next)
    }

    /// Deletes the next ones. Says how many.
    ///
    /// # Errors
    ///
    /// The errors of the replica.
    pub(super) async fn delete_some(&mut self, remote: &impl Deletes) -> Result<usize> {
        let mut some: Vec<_> = self.names.iter().rev().take(DELETED_AT_ONCE).copied().collect();
        // Those of a base go one after another, and behind all of the log.
        let of_log = some.iter().take_while(|name| slot_of(name).is_some()).count();
        if of_log > 0 {
            some.truncate(of_log);
            remote.delete_all(&some).await?;
            self.names.truncate(self.names.len() - of_log);
        } else {
            for name in &some {
                remote.delete(*name).await?;
                self.names.pop();
            }
        }
        Ok(some.len())
    }
}

/// The objects of the log on a page that may go. The seal of a term and its opening stay for ever: a process may
/// sleep for any time.
async fn old_log(
    remote: &impl Remote,
    term: Term,
    page: &ListPage,
    after: Option<ObjectName>,
    floor: ReplicaSlot,
) -> Result<Vec<ObjectName>> {
    let slots = || page.names.iter().filter_map(slot_of).filter(|slot| slot.index >= 1);
    // A single object is mostly the seal, and not worth asking for. At the ends of a page others may be beside it.
    let ends = [after, page.next].map(|name| name.as_ref().and_then(slot_of).map(|slot| slot.term));
    let is_worth = |slot: &ReplicaSlot, before: Option<ReplicaSlot>| {
        slot.term == floor.term || ends.contains(&Some(slot.term)) || before.is_some_and(|it| it.term == slot.term)
    };
    let before = std::iter::once(None).chain(slots().map(Some));
    let Some(first) = slots().zip(before).find(|(slot, before)| is_worth(slot, *before)) else {
        return Ok(Vec::new());
    };
    let path = chain::path(remote, term, first.0.term).await?;
    let mut old = Vec::new();
    for slot in slots() {
        let is_known = path.iter().any(|step| step.term == slot.term);
        let next = path.iter().find_map(|next| next.open.parent.filter(|parent| parent.term == slot.term));
        let end = next.map_or(u64::MAX, |seal| seal.index);
        let end = if broken!(SealsAreDeleted) { end.saturating_add(1) } else { end };
        old.extend((is_known && slot.index < end).then_some(ObjectName::Log(slot)));
    }
    Ok(old)
}

fn base_of(name: &ObjectName) -> Option<BaseName> {
    match name {
        ObjectName::Manifest(base) | ObjectName::Part(base, _) => Some(*base),
        _ => None,
    }
}

fn slot_of(name: &ObjectName) -> Option<ReplicaSlot> {
    match name {
        ObjectName::Log(slot) => Some(*slot),
        _ => None,
    }
}
