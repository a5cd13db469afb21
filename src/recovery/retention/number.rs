//! The two rules that count points: the cap on old points, and the room for bursts.
//!
//! Neither lets many points remove earlier ones. Earlier points alone, and which of them are protected, decide whether
//! a point finds room. Over the cap, points with neighbours of the same age go first, the newest of them first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::case::{Case, Fate};
use super::policy::{Candidate, Class, HOUR, Policy, Reason};
use crate::engine::epoch::Epoch;

/// The number of points at once, given as hours of the sustained rate.
const HOURS_OF_BURST: u128 = 10;
const MINUTE_NANOS: i128 = 60 * 1_000_000_000;
const HOUR_NANOS: i128 = 60 * MINUTE_NANOS;

/// The points that found no room when they were made. `cases` are in the order of epochs. The newest point of each
/// class and kind is never one of them, so that a restore can revert the last action.
///
/// A protected point needs no room and takes none. If it took some whenever there was some, it would take more after a
/// retention than before it, as others are gone then, and a second retention would forget points that the first one
/// kept.
pub(super) fn without_room(policy: &Policy, cases: &[Case<'_>]) -> BTreeSet<Epoch> {
    let Some(burst) = policy.burst else { return BTreeSet::new() };
    let (mut rooms, mut newest) = (BTreeMap::new(), BTreeMap::new());
    let mut without = BTreeSet::new();
    for case in cases {
        let point = case.point;
        // Safety points have no kind.
        let key = (point.class, if point.class == Class::Safety { "" } else { point.kind.as_str() });
        let room = rooms.entry(key).or_insert_with(|| Room::new(burst, point.at));
        if !case.is_protected() && !room.take(point.at) {
            without.insert(point.epoch);
        }
        newest.insert(key, point.epoch);
    }
    let newest: BTreeSet<_> = newest.into_values().collect();
    without.retain(|epoch| !newest.contains(epoch));
    without
}

/// Room for some points, which refills with time. A point that finds none takes none.
struct Room {
    most: u128,
    /// The room in parts of a point: [`HOUR`] times [`HOURS_OF_BURST`] are one point.
    left: u128,
    burst: u128,
    at: Timestamp,
}

impl Room {
    const POINT: u128 = HOUR.as_nanos() * HOURS_OF_BURST;

    fn new(burst: u64, at: Timestamp) -> Self {
        let burst = u128::from(burst);
        Self { most: burst * Self::POINT, left: burst * Self::POINT, burst, at }
    }

    fn take(&mut self, at: Timestamp) -> bool {
        // A clock that was set back refills nothing.
        let passed = u128::try_from(at.as_nanosecond() - self.at.as_nanosecond()).unwrap_or_default();
        self.left = passed.saturating_mul(self.burst).saturating_add(self.left).min(self.most);
        self.at = at;
        let rest = self.left.checked_sub(Self::POINT);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

/// Forgets points over the cap, among those that are older than the floor and not protected.
pub(super) fn cut(policy: &Policy, cases: &mut [&mut Case<'_>]) {
    let Some(cap) = policy.cap else { return };
    let counted = cases.iter().filter(|case| case.is_kept() && case.age >= policy.floor).count() as u64;
    let over = usize::try_from(counted.saturating_sub(cap)).unwrap_or(usize::MAX);
    if over == 0 {
        return;
    }
    let (minutes, hours) = (Company::new(cases, MINUTE_NANOS), Company::new(cases, HOUR_NANOS));
    let mut order: Vec<_> = cases
        .iter_mut()
        .filter(|case| case.is_kept() && case.age >= policy.floor && !case.is_protected())
        .map(|case| {
            let rank = match case.point.class {
                _ if minutes.is_left_by(case.point) => Rank::OfAMinute(Reverse(case.point.epoch)),
                _ if hours.is_left_by(case.point) => Rank::OfAnHour(Reverse(case.point.epoch)),
                Class::Automatic => Rank::Automatic(case.point.epoch),
                Class::Manual | Class::Safety => Rank::Manual(case.point.epoch),
            };
            (rank, case)
        })
        .collect();
    order.sort_by_key(|(rank, _)| *rank);
    for (_, case) in order.into_iter().take(over) {
        case.fate = Fate::Forget(Reason::OverCap(cap));
    }
}

/// The order in which points over the cap go; the least goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Another one of its minute stays.
    OfAMinute(Reverse<Epoch>),
    /// Another one of its hour stays.
    OfAnHour(Reverse<Epoch>),
    Automatic(Epoch),
    Manual(Epoch),
}

/// The points that stay of each period to the end: the protected ones, or else its first one.
struct Company {
    length: i128,
    stays: BTreeMap<(Class, i128), Stays>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Protected,
    First(Epoch),
}

impl Company {
    /// The cases come in the order of their epochs.
    fn new(cases: &[&mut Case<'_>], length: i128) -> Self {
        let mut stays = BTreeMap::new();
        for case in cases.iter().filter(|case| case.is_kept()) {
            let key = (case.point.class, stretch(case.point, length));
            let stay = stays.entry(key).or_insert(Stays::First(case.point.epoch));
            if case.is_protected() {
                *stay = Stays::Protected;
            }
        }
        Self { length, stays }
    }

    /// Whether another point of the period stays.
    fn is_left_by(&self, point: &Candidate) -> bool {
        let key = (point.class, stretch(point, self.length));
        self.stays.get(&key).is_some_and(|stay| *stay != Stays::First(point.epoch))
    }
}

fn stretch(point: &Candidate, length: i128) -> i128 {
    point.at.as_nanosecond().div_euclid(length)
}
