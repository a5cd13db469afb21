//! Order keys: numbers that order elements among their siblings, with gaps for later elements.

/// The distance between neighbours if there is space.
const GAP: u64 = 1 << 20;
/// The first key of a container. It leaves space on both sides.
const FIRST: u64 = 1 << 63;
/// The least distance of new keys when existing ones are replaced, so that this is not soon necessary again.
const LEAST: u64 = 1 << 10;

/// Gives every element an order key. Elements with ascending keys keep them. If there is no space left between two of
/// them, as few elements around as possible get new keys.
pub(super) fn number(kept: Vec<Option<u64>>) -> Vec<u64> {
    let mut orders = kept;
    let mut at = 0;
    while let Some(found) = orders.iter().skip(at).position(Option::is_none) {
        at = fill(&mut orders, at + found);
    }
    orders.into_iter().flatten().collect()
}

/// Fills the run of missing keys that begins at `start`. Returns its end.
fn fill(orders: &mut [Option<u64>], start: usize) -> usize {
    let (mut start, mut end) = (start, run_end(orders, start));
    let (mut least, mut widen) = (1, 1);
    loop {
        let low = start.checked_sub(1).and_then(|before| orders.get(before)).copied().flatten();
        let high = orders.get(end).copied().flatten();
        if let Some((first, step)) = spread(low, high, (end - start) as u64, least) {
            let run = orders.iter_mut().skip(start).take(end - start);
            run.zip(0..).for_each(|(order, index)| *order = Some(first + step * index));
            return end;
        }
        start = start.saturating_sub(widen);
        end = run_end(orders, orders.len().min(end + widen));
        (least, widen) = (LEAST, widen * 2);
    }
}

/// The first index from `at` on that has a key.
fn run_end(orders: &[Option<u64>], at: usize) -> usize {
    orders.iter().skip(at).position(Option::is_some).map_or(orders.len(), |length| at + length)
}

/// The first key and the step for `count` elements between two keys, if the step is at least `least`.
fn spread(low: Option<u64>, high: Option<u64>, count: u64, least: u64) -> Option<(u64, u64)> {
    match (low, high) {
        (None, None) => Some((FIRST, GAP)),
        (Some(low), None) => {
            low.checked_add(GAP.checked_mul(count)?)?;
            Some((low + GAP, GAP))
        }
        (None, Some(high)) => Some((high.checked_sub(GAP.checked_mul(count)?)?, GAP)),
        (Some(low), Some(high)) => {
            let step = (high - low) / (count + 1);
            (step >= least).then_some((low + step, step))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn new_elements_get_keys_with_gaps_and_the_others_keep_theirs() {
        assert_eq!(number(vec![None; 3]), [FIRST, FIRST + GAP, FIRST + 2 * GAP]);
        assert_eq!(number(vec![None, Some(FIRST), None]), [FIRST - GAP, FIRST, FIRST + GAP]);
        assert_eq!(number(vec![Some(0), None, Some(8), Some(9)]), [0, 4, 8, 9]);
        assert!(number(Vec::new()).is_empty());
    }

    #[test]
    fn only_the_neighbours_of_an_exhausted_gap_are_numbered_again() {
        let mut kept: Vec<_> = (0..2_000).map(|number| Some(number * GAP)).collect();
        let mut renumbered = 0;
        for _ in 0..500 {
            kept.insert(1_000, None);
            let orders = number(kept.clone());
            renumbered += kept.iter().zip(&orders).filter(|(old, new)| old.is_some_and(|old| old != **new)).count();
            kept = orders.into_iter().map(Some).collect();
        }
        assert!(renumbered < 5_000, "{renumbered} elements were numbered anew for 500 insertions at one place");
    }

    #[test]
    fn the_ends_of_the_numbers_are_no_ends_of_the_list() {
        let last = number(vec![Some(5), Some(u64::MAX - 1), None]);
        assert!(last.is_sorted_by(|a, b| a < b));
        let first = number(vec![None, None, Some(0), Some(1)]);
        assert!(first.is_sorted_by(|a, b| a < b));
        let all = number(vec![None, Some(0), Some(u64::MAX), None]);
        assert!(all.is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn keys_always_ascend(steps in prop::collection::vec((1u64..4, 0usize..4), 0..60), base in any::<u64>()) {
            let mut kept = Vec::new();
            let mut key = base;
            for (step, missing) in steps {
                kept.push(Some(key));
                kept.extend(vec![None; missing]);
                key = key.saturating_add(step);
                if key == u64::MAX {
                    break;
                }
            }
            let orders = number(kept.clone());
            prop_assert_eq!(orders.len(), kept.len());
            prop_assert!(orders.is_sorted_by(|a, b| a < b));
        }
    }
}
