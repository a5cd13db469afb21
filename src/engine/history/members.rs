//! Which epochs are points.

use crate::engine::format::epoch::Epoch;

/// Which epochs are points, and which forgotten ones are still being merged.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) retained: Vec<Epoch>,
    pub(crate) merging: Vec<Epoch>,
    pub(crate) open: Epoch,
}

impl Members {
    /// The smallest retained point at or after `birth`, or the open epoch.
    pub(crate) fn segment(&self, birth: Epoch) -> Epoch {
        let at = self.retained.partition_point(|point| *point < birth);
        self.retained.get(at).copied().unwrap_or(self.open)
    }

    /// The epochs whose pre-images make up a segment: every source still merging into it, ascending, then itself.
    pub(crate) fn parts(&self, segment: Epoch) -> impl Iterator<Item = Epoch> {
        let from = self.before(segment);
        let start = self.merging.partition_point(|source| *source <= from);
        let sources = self.merging.get(start..).unwrap_or_default();
        sources.iter().copied().take_while(move |source| *source < segment).chain([segment])
    }

    /// The retained point before a segment; zero when there is none.
    pub(crate) fn before(&self, segment: Epoch) -> Epoch {
        self.retained_before(segment).unwrap_or_default()
    }

    /// The newest retained point before an epoch.
    pub(crate) fn retained_before(&self, epoch: Epoch) -> Option<Epoch> {
        let at = self.retained.partition_point(|point| *point < epoch);
        at.checked_sub(1).and_then(|at| self.retained.get(at)).copied()
    }

    /// The oldest retained point from an epoch on.
    pub(crate) fn retained_from(&self, epoch: Epoch) -> Option<Epoch> {
        self.retained.get(self.retained.partition_point(|point| *point < epoch)).copied()
    }

    /// How many retained points there are from one epoch up to another.
    pub(crate) fn count_within(&self, from: Epoch, to: Epoch) -> u64 {
        let at = |epoch: Epoch| self.retained.partition_point(|point| *point < epoch);
        at(to).saturating_sub(at(from)) as u64
    }
}
