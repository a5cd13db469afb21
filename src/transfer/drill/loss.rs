//! Counts the losses of a disaster: against the operations acknowledged to bots, and against the earlier content.

use std::time::{Duration, Instant};

use crate::engine::records::{KeyRange, Records, scan};
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::names::names;
use crate::state::ids::TaskId;
use crate::state::queue::TaskState;
use crate::transfer::drill::bot::DONE;
use crate::transfer::drill::bots::{Heard, told};

/// The loss in a disaster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// The number of records.
    pub(super) records: u64,
    /// The age of the oldest of them at the disaster.
    pub(super) age: Duration,
}

impl Loss {
    /// A loss of this many records, with this age if there are any.
    pub(super) fn of(records: u64, age: Duration) -> Self {
        Self { records, age: if records == 0 { Duration::ZERO } else { age } }
    }

    /// The sum of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self { records: self.records + other.records, age: self.age.max(other.age) }
    }
}

/// The operations acknowledged to bots before `disaster` that are missing.
pub(super) fn of_told(view: &View, heard: &[Heard], disaster: Instant) -> Result<Loss> {
    let mut loss = Loss::default();
    for own in told(heard) {
        let task = view.queue().get(&TaskId::new(&own.task)?)?;
        let is_there = task.is_some_and(|task| own.what != DONE || task.state == TaskState::Done);
        if !is_there {
            loss = loss.and(Loss::of(1, disaster.saturating_duration_since(own.at)));
        }
    }
    Ok(loss)
}

/// The number of records in `before` that are missing in `after`, or differ there: of the collections in `only`, or of
/// all if it is empty. Collections with equal digests are not read.
pub(super) fn records(before: &View, after: &View, only: &[&str]) -> Result<u64> {
    let (names_before, names_after) = (names(before)?, names(after)?);
    let mut lost = 0;
    let is_meant = |name: &&str| !name.starts_with('#') && (only.is_empty() || only.contains(name));
    for name in names_before.all().filter(is_meant) {
        let Some(id) = names_before.id(name) else { continue };
        let stats = before.stats(id)?;
        let Some(other) = names_after.id(name) else {
            lost += stats.count;
            continue;
        };
        if after.stats(other)? == stats {
            continue;
        }
        for row in scan(before, id, KeyRange::all()) {
            let (key, payload) = row?;
            if after.get(other, &key)?.as_deref() != Some(payload.as_slice()) {
                lost += 1;
            }
        }
    }
    Ok(lost)
}
