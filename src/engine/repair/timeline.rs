//! A record at each point, from the versions of it that are left: each lasts until the next one is born. The
//! rows that say so are made anew, so that every chain is whole.

use crate::engine::format::epoch::Epoch;
use crate::engine::history::members::Members;

/// A version of a record, as far as its place in time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) birth: Epoch,
    pub(super) absent: bool,
}

/// A row that a record needs; the versions are numbers in the list that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Live(usize),
    Tombstone(usize),
    /// The state at the point before a segment; with none the record had never been.
    PreImage(Epoch, Option<usize>),
}

/// The rows of a record, newest first, from its versions, oldest first.
pub(super) fn steps(versions: &[Version], members: &Members) -> Vec<Step> {
    let before = |epoch: Epoch| versions.partition_point(|version| version.birth <= epoch).checked_sub(1);
    let first = members.retained.first().copied().unwrap_or(Epoch::NOW);
    let version = |at: Option<usize>| at.and_then(|at| versions.get(at));
    let mut newest = versions.len().checked_sub(1);
    // S5: created and removed within one segment, it leaves nothing there.
    while let Some(absent) = version(newest).filter(|newest| newest.absent && newest.birth > first) {
        let then = before(members.before(members.segment(absent.birth)));
        if version(then).is_some_and(|then| !then.absent) {
            break;
        }
        newest = then;
    }
    let (Some(mut at), Some(now)) = (newest, version(newest)) else { return Vec::new() };
    // S4: a tombstone is younger than the earliest point.
    if now.absent && now.birth <= first {
        return Vec::new();
    }
    // S3: the chain begins at the newest version.
    let mut steps = vec![if now.absent { Step::Tombstone(at) } else { Step::Live(at) }];
    // S2: a version that was born after the earliest point has a pre-image, and only such a version.
    while let Some(current) = versions.get(at).filter(|current| current.birth > first) {
        // S1: the pre-image of a segment is the key's state at the point before it. Versions between leave nothing.
        let segment = members.segment(current.birth);
        let then = before(members.before(segment));
        steps.push(Step::PreImage(segment, then));
        match then {
            Some(then) => at = then,
            // S1: the key did not exist at that point, so its chain ends.
            None => break,
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::Step::{Live, PreImage, Tombstone};
    use super::*;

    fn of(versions: &[(u64, bool)], points: &[u64], open: u64) -> Vec<Step> {
        let versions: Vec<_> =
            versions.iter().map(|(birth, absent)| Version { birth: Epoch(*birth), absent: *absent }).collect();
        let members = Members {
            retained: points.iter().map(|point| Epoch(*point)).collect(),
            merging: Vec::new(),
            open: Epoch(open),
        };
        steps(&versions, &members)
    }

    #[test]
    fn a_record_that_did_not_change_since_the_earliest_point_has_one_row() {
        assert_eq!(of(&[(2, false)], &[3, 5], 6), [Live(0)]);
        assert_eq!(of(&[(2, false)], &[], 6), [Live(0)]);
        assert_eq!(of(&[], &[3], 6), []);
    }

    #[test]
    fn each_segment_in_which_it_changed_has_its_state_before() {
        let changed = of(&[(1, false), (4, false), (6, false)], &[3, 5], 6);
        assert_eq!(changed, [Live(2), PreImage(Epoch(6), Some(1)), PreImage(Epoch(5), Some(0))]);
        assert_eq!(of(&[(4, false)], &[3, 5], 6), [Live(0), PreImage(Epoch(5), None)]);
        // A version of which no point is left is passed over.
        assert_eq!(of(&[(1, false), (2, false), (6, false)], &[3], 6), [Live(2), PreImage(Epoch(6), Some(1))]);
    }

    #[test]
    fn a_removed_record_has_a_tombstone_while_a_point_sees_it() {
        assert_eq!(of(&[(1, false), (4, true)], &[3], 5), [Tombstone(1), PreImage(Epoch(5), Some(0))]);
        assert_eq!(of(&[(1, false), (3, true)], &[3], 5), []);
        assert_eq!(of(&[(4, true)], &[3], 5), []);
        assert_eq!(of(&[(0, true), (5, true)], &[3], 5), []);
        let again = of(&[(1, false), (4, true), (6, true)], &[3, 5], 6);
        assert_eq!(again, [Tombstone(1), PreImage(Epoch(5), Some(0))]);
    }
}
