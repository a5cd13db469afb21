//! Matches stored elements with new ones, by the longest common subsequence of their fingerprints.
//!
//! A wrong match causes needless writes, but never wrong data. So equal fingerprints are not verified. The cost is
//! O(n log n) for any input, and O(n) for a list that changed at its ends or at one place.

use std::ops::Range;

/// The stored element that each new element continues, if there is one. The stored elements ascend.
pub(super) type Matches = Vec<Option<usize>>;

/// Matches members of an object by their names, as many as keep their order. The others count as moved.
pub(super) fn members(old: &[u64], new: &[u64]) -> Matches {
    let mut matches = vec![None; new.len()];
    refine(&mut matches, old.len(), |index| old.get(index), |index| new.get(index));
    matches
}

/// Matches elements of an array. First equal elements are matched; then, between these, elements
/// with the same beginning, such as records whose first member is their id; then, if as many
/// elements were added as removed, one by one.
///
/// The beginnings are computed only where no equal elements were found.
pub(super) fn elements(
    old: &[u64],
    new: &[u64],
    old_beginning: impl Fn(usize) -> u64,
    new_beginning: impl Fn(usize) -> u64,
) -> Matches {
    let mut matches = vec![None; new.len()];
    // Twice: once the elements that moved are out of the way, equal ones between the others are found.
    for _ in 0..2 {
        refine(&mut matches, old.len(), |index| old.get(index), |index| new.get(index));
    }
    refine(&mut matches, old.len(), old_beginning, new_beginning);
    for (old, new) in gaps(&matches, old.len()) {
        if old.len() == new.len() {
            new.zip(old).for_each(|(new, old)| set(&mut matches, new, old));
        }
    }
    matches
}

/// Matches elements with the same key within each gap: first from both ends, then the rest.
fn refine<K: Ord>(matches: &mut Matches, old_count: usize, old_key: impl Fn(usize) -> K, new_key: impl Fn(usize) -> K) {
    for (mut old, mut new) in gaps(matches, old_count) {
        while !old.is_empty() && !new.is_empty() && old_key(old.start) == new_key(new.start) {
            set(matches, new.start, old.start);
            (old.start, new.start) = (old.start + 1, new.start + 1);
        }
        while !old.is_empty() && !new.is_empty() && old_key(old.end - 1) == new_key(new.end - 1) {
            (old.end, new.end) = (old.end - 1, new.end - 1);
            set(matches, new.end, old.end);
        }
        for (new, old) in longest_ascending(&same_keys(old, new, &old_key, &new_key)) {
            set(matches, new, old);
        }
    }
}

/// Pairs of new and old elements with the same key, the first with the first and so on, in the order of the new ones.
fn same_keys<K: Ord>(
    old: Range<usize>,
    new: Range<usize>,
    old_key: impl Fn(usize) -> K,
    new_key: impl Fn(usize) -> K,
) -> Vec<(usize, usize)> {
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let mut old: Vec<_> = old.map(|index| (old_key(index), index)).collect();
    let mut new: Vec<_> = new.map(|index| (new_key(index), index)).collect();
    old.sort_unstable();
    new.sort_unstable();
    let mut pairs = Vec::new();
    let mut old = old.into_iter().peekable();
    for (key, index) in new {
        while old.next_if(|(other, _)| *other < key).is_some() {}
        if let Some((_, other)) = old.next_if(|(other, _)| *other == key) {
            pairs.push((index, other));
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The longest subsequence of pairs in which the old elements ascend too.
fn longest_ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length, the run of that length that ends lowest: its end, and the place of that end in `steps`.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    // Each pair with the place of the one before it in its run.
    let mut steps = Vec::with_capacity(pairs.len());
    for (step, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|(end, _)| *end < pair.1);
        let before = length.checked_sub(1).and_then(|at| ends.get(at)).map(|(_, step)| *step);
        steps.push((*pair, before));
        match ends.get_mut(length) {
            Some(end) => *end = (pair.1, step),
            None => ends.push((pair.1, step)),
        }
    }
    let mut run = Vec::with_capacity(ends.len());
    let mut next = ends.last().map(|(_, step)| *step);
    while let Some((pair, before)) = next.and_then(|step| steps.get(step)) {
        run.push(*pair);
        next = *before;
    }
    run.reverse();
    run
}

/// The ranges of old and new elements between neighbouring matches, if neither of the two is empty.
fn gaps(matches: &Matches, old_count: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let mut gaps = Vec::new();
    let (mut old_start, mut new_start) = (0, 0);
    let ends = matches.iter().enumerate().filter_map(|(new, old)| old.map(|old| (old, new)));
    for (old, new) in ends.chain([(old_count, matches.len())]) {
        if old_start < old && new_start < new {
            gaps.push((old_start..old, new_start..new));
        }
        (old_start, new_start) = (old + 1, new + 1);
    }
    gaps
}

fn set(matches: &mut Matches, new: usize, old: usize) {
    if let Some(place) = matches.get_mut(new) {
        *place = Some(old);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn equal(old: &[u64], new: &[u64]) -> Matches {
        elements(old, new, |index| old[index] / 10, |index| new[index] / 10)
    }

    #[test]
    fn an_element_that_is_popped_inserted_moved_or_changed_disturbs_nothing_else() {
        let old: Vec<u64> = (0..50).map(|number| number * 10).collect();
        let matched = |new: &[u64]| equal(&old, new).iter().flatten().count();
        assert_eq!(matched(&old[1..]), 49);
        assert_eq!(matched(&[&old[1..], &[7]].concat()), 49);
        assert_eq!(matched(&[&old[..20], &[7], &old[20..]].concat()), 50);
        assert_eq!(matched(&[&old[20..], &old[..20]].concat()), 30);
        assert_eq!(matched(&[&old[1..], &old[..1]].concat()), 49);
        let mut changed = old.clone();
        (changed[3], changed[30]) = (31, 999);
        assert_eq!(equal(&old, &changed), (0..50).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn an_element_that_begins_alike_is_the_same_one_changed() {
        assert_eq!(equal(&[10, 20, 30], &[21, 30]), [Some(1), Some(2)]);
        assert_eq!(equal(&[10, 20, 30], &[50, 60, 21, 30]), [None, None, Some(1), Some(2)]);
        assert_eq!(equal(&[10, 20], &[50, 51, 60]), [None, None, None]);
    }

    #[test]
    fn members_match_by_name_as_far_as_their_order_goes() {
        assert_eq!(members(&[1, 2, 3, 4], &[4, 1, 2, 5]), [None, Some(0), Some(1), None]);
        assert_eq!(members(&[1], &[2]), [None]);
    }

    /// The length of the longest common sequence, the slow way.
    fn longest_common(old: &[u64], new: &[u64]) -> usize {
        let mut row = vec![0; new.len() + 1];
        for a in old {
            let mut diagonal = 0;
            for (at, b) in new.iter().enumerate() {
                let best = if a == b { diagonal + 1 } else { row[at].max(row[at + 1]) };
                diagonal = std::mem::replace(&mut row[at + 1], best);
            }
        }
        row[new.len()]
    }

    proptest! {
        #[test]
        fn matches_ascend_and_are_as_many_as_can_be_when_no_element_repeats(
            old in prop::collection::hash_set(0u64..60, 0..40),
            new in prop::collection::hash_set(0u64..60, 0..40),
        ) {
            let (old, new): (Vec<_>, Vec<_>) = (old.into_iter().collect(), new.into_iter().collect());
            let matches = members(&old, &new);
            prop_assert!(matches.iter().flatten().is_sorted_by(|a, b| a < b));
            prop_assert!(matches.iter().enumerate().all(|(at, other)| other.is_none_or(|other| old[other] == new[at])));
            prop_assert_eq!(matches.iter().flatten().count(), longest_common(&old, &new));
        }

        #[test]
        fn matches_ascend_when_elements_repeat(
            old in prop::collection::vec(0u64..40, 0..60),
            new in prop::collection::vec(0u64..40, 0..60),
        ) {
            let matches = equal(&old, &new);
            prop_assert_eq!(matches.len(), new.len());
            prop_assert!(matches.iter().flatten().is_sorted_by(|a, b| a < b));
            prop_assert!(matches.iter().flatten().all(|at| *at < old.len()));
        }
    }
}
