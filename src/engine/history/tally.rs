//! Sums of records, for the present and for every point: each step back along a chain adds the change of its segment.

use std::collections::BTreeMap;

use crate::engine::format::digest::Stats;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::schema::CollectionId;
use crate::engine::history::members::Members;

/// Count, bytes and digest of every collection.
pub(crate) type Contents = BTreeMap<CollectionId, Stats>;

/// The sums of the records that were met so far.
#[derive(Default)]
pub(crate) struct Tally {
    live: Contents,
    /// The change of a collection by going back over a segment.
    back: BTreeMap<(Epoch, CollectionId), Stats>,
}

impl Tally {
    /// Counts a live record.
    pub(crate) fn add(&mut self, collection: CollectionId, stats: &Stats) {
        self.live.entry(collection).or_default().merge(stats);
    }

    /// Counts one step back: the state of a record at the end of a segment, and its state before.
    pub(crate) fn step_back(
        &mut self,
        segment: Epoch,
        collection: CollectionId,
        newer: Option<&Stats>,
        older: Option<&Stats>,
    ) {
        let back = self.back.entry((segment, collection)).or_default();
        newer.into_iter().for_each(|newer| back.subtract_stats(newer));
        older.into_iter().for_each(|older| back.merge(older));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        other.live.iter().for_each(|(collection, stats)| self.add(*collection, stats));
        for (at, stats) in other.back {
            self.back.entry(at).or_default().merge(&stats);
        }
    }

    /// The sums of every collection now.
    pub(crate) fn now(&self) -> &Contents {
        &self.live
    }

    /// The sums of every collection at each point, newest first; collections without records are left out.
    pub(crate) fn points(self, members: &Members) -> impl Iterator<Item = (Epoch, Contents)> {
        let Self { live: mut running, back } = self;
        let mut segment = members.open;
        members.retained.iter().rev().map(move |point| {
            for ((_, collection), back) in back.range((segment, CollectionId(0))..=(segment, CollectionId(u32::MAX))) {
                running.entry(*collection).or_default().merge(back);
            }
            segment = *point;
            running.retain(|_, stats| *stats != Stats::default());
            (*point, running.clone())
        })
    }
}

/// The statistics of one record.
pub(crate) fn stats_of(key: &[u8], payload: &[u8]) -> Stats {
    let mut stats = Stats::default();
    stats.add(key, payload);
    stats
}
