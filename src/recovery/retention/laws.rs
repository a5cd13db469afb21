//! Laws for every policy and all sets of points.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::judge::tests::{MINUTE, kept, now, point, seconds};
use super::policy::{Candidate, Class, DAY, Policy, Reason, TagRule, Thinning};
use crate::engine::epoch::Epoch;

fn any_points() -> impl Strategy<Value = Vec<Candidate>> {
    let class = prop_oneof![Just(Class::Automatic), Just(Class::Automatic), Just(Class::Manual), Just(Class::Safety)];
    let kind = prop_oneof![Just("point"), Just("point"), Just("registry")];
    let fields = (0..12 * 24 * 60u64, class, kind, prop::bool::weighted(0.1), prop::bool::weighted(0.8), any::<bool>());
    prop::collection::vec(fields, 0..60).prop_map(|rows| {
        let made = |(age, class, kind, held, sound, tagged): (u64, Class, &str, bool, bool, bool)| {
            let tags = tagged.then(|| ("env".to_owned(), "live".to_owned())).into_iter().collect();
            Candidate { class, kind: kind.into(), tags, held, sound, ..point(seconds(age * MINUTE)) }
        };
        let unique: BTreeMap<_, _> = rows.into_iter().map(|row| (row.0, made(row))).collect();
        unique.into_values().collect()
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let within = prop::option::of((0..12u64).prop_map(|days| days as u32 * DAY));
    let cap = prop::option::of(0..40u64);
    let thinning = prop_oneof![
        Just(Policy::default().thinning),
        Just(Vec::new()),
        Just(vec![Thinning { from: Duration::ZERO, every: DAY }, Thinning { from: 2 * DAY, every: 2 * DAY }])
    ];
    let floor = prop_oneof![Just(Duration::ZERO), Just(DAY), Just(3 * DAY)];
    let burst = prop::option::of(0..30u64);
    (within, (cap, floor, burst), thinning, prop::array::uniform5(0..4u64), any::<bool>()).prop_map(
        |(keep_within, (cap, floor, burst), thinning, counts, tags)| {
            let [keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly] = counts;
            let tag = TagRule { name: "env".into(), value: None };
            let keep_tags = tags.then_some(tag).into_iter().collect();
            let keep_safety = 7 * DAY;
            Policy {
                keep_within,
                cap,
                floor,
                burst,
                thinning,
                keep_last,
                keep_hourly,
                keep_daily,
                keep_weekly,
                keep_monthly,
                keep_tags,
                keep_safety,
            }
        },
    )
}

fn burst_class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Automatic), Just(Class::Manual)]
}

/// The points older than this many minutes.
fn earlier(points: Vec<Candidate>, age: u64) -> Vec<Candidate> {
    let burst = point(seconds(age * MINUTE)).epoch;
    points.into_iter().filter(|point| point.epoch < burst).collect()
}

/// This many sound points of one class, within the minute that began this many minutes ago.
fn burst(class: Class, age: u64, count: u64) -> Vec<Candidate> {
    let first = point(seconds(age * MINUTE));
    let one = |n| {
        let at = crate::clock::after(first.at, Duration::from_millis(n * 10));
        Candidate { class, at, epoch: Epoch(first.epoch.0 + n), ..first.clone() }
    };
    (0..count).map(one).collect()
}

proptest! {
    #[test]
    fn every_point_gets_one_verdict_with_a_reason_in_the_order_of_epochs(points in any_points(), policy in any_policy()) {
        let verdicts = policy.judge(&points, now());
        let mut epochs: Vec<_> = points.iter().map(|point| point.epoch).collect();
        epochs.sort();
        prop_assert_eq!(verdicts.iter().map(|verdict| verdict.epoch).collect::<Vec<_>>(), epochs);
        prop_assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
    }

    #[test]
    fn held_points_and_the_latest_good_point_of_each_kind_are_kept(points in any_points(), policy in any_policy()) {
        let kept = kept(&policy, &points, now());
        prop_assert!(points.iter().filter(|point| point.held).all(|point| kept.contains(&point.epoch)));
        for kind in ["point", "registry"] {
            let good = points.iter().filter(|point| point.class != Class::Safety && point.kind == kind && point.sound);
            prop_assert!(good.map(|point| point.epoch).max().is_none_or(|epoch| kept.contains(&epoch)));
        }
        prop_assert_eq!(points.is_empty(), kept.is_empty());
    }

    #[test]
    fn the_cap_holds_except_for_young_and_protected_points(points in any_points(), policy in any_policy()) {
        let protected = Policy { cap: Some(0), ..policy.clone() };
        let floor = Epoch(point(policy.floor).epoch.0 + 1);
        for kind in ["point", "registry"] {
            let of_kind: Vec<_> =
                points.iter().filter(|point| point.class != Class::Safety && point.kind == kind).cloned().collect();
            let least = kept(&protected, &of_kind, now()).range(..floor).count() as u64;
            let count = kept(&policy, &of_kind, now()).range(..floor).count() as u64;
            prop_assert!(policy.cap.is_none_or(|cap| count <= cap.max(least)));
        }
    }

    #[test]
    fn the_cap_removes_no_point_younger_than_the_floor(points in any_points(), policy in any_policy()) {
        let floor = point(policy.floor).epoch;
        for verdict in policy.judge(&points, now()) {
            prop_assert!(verdict.epoch <= floor || !matches!(verdict.reasons[..], [Reason::OverCap(_)]));
        }
    }

    #[test]
    fn a_burst_removes_no_earlier_point_that_its_first_one_alone_would_not(
        points in any_points(), policy in any_policy(), class in burst_class(), age in 0..12 * 24 * 60u64, count in 2..80u64
    ) {
        // The newest points are the same, whoever made them.
        let policy = Policy { keep_last: 0, ..policy };
        let (earlier, burst) = (earlier(points, age), burst(class, age, count));
        let first: Vec<_> = earlier.iter().chain(&burst[..1]).cloned().collect();
        let all: Vec<_> = earlier.iter().chain(&burst).cloned().collect();
        let (with_first, with_all) = (kept(&policy, &first, now()), kept(&policy, &all, now()));
        prop_assert!(earlier.iter().all(|point| !with_first.contains(&point.epoch) || with_all.contains(&point.epoch)));
    }

    #[test]
    fn a_burst_younger_than_the_floor_removes_no_earlier_point_except_the_former_newest(
        points in any_points(), policy in any_policy(), class in burst_class(), age in 0..24 * 60u64, count in 1..80u64
    ) {
        // No hour lies on both sides of the floor: where one does, a former newest point of that hour, which is not
        // protected any more, stays as its first one, and another old point goes over the cap.
        let floor = DAY + seconds(34 * MINUTE + 1);
        let policy = Policy { floor, keep_last: 0, keep_hourly: 0, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, ..policy };
        // A sound point replaces a damaged one, however many come. Safety points depend on their age.
        let points = points.into_iter().filter(|point| point.class != Class::Safety);
        let earlier = earlier(points.map(|point| Candidate { sound: true, ..point }).collect(), age);
        let all: Vec<_> = earlier.iter().cloned().chain(burst(class, age, count)).collect();
        let (without, with) = (kept(&policy, &earlier, now()), kept(&policy, &all, now()));
        // The former newest of its kind, or of its kind and class: the burst contains the newest one now.
        let of_kind = earlier.iter().rev().filter(|point| point.kind == "point" && without.contains(&point.epoch));
        let newest: BTreeMap<_, _> = of_kind.map(|point| (point.class, point.epoch)).collect();
        let newest_of_all = newest.values().max();
        let was_newest = |gone| newest.get(&class) == Some(gone) || newest_of_all == Some(gone);
        prop_assert!(without.difference(&with).all(was_newest));
    }

    #[test]
    fn earlier_points_alone_decide_whether_a_point_has_room(points in any_points(), burst in 0..10u64, at in 0..60usize) {
        let policy = Policy { burst: Some(burst), ..Policy::default() };
        let crowded = |points: &[Candidate]| -> Vec<Epoch> {
            let verdicts = policy.judge(points, now()).into_iter();
            verdicts.filter(|verdict| verdict.reasons == [Reason::Burst(burst)]).map(|verdict| verdict.epoch).collect()
        };
        // Among sound points the newest of the first ones alone is protected, and none is behind it.
        let mut sorted: Vec<_> = points.into_iter().map(|point| Candidate { sound: true, ..point }).collect();
        sorted.sort_by_key(|point| point.epoch);
        let (all, some) = (crowded(&sorted), crowded(&sorted[..at.min(sorted.len())]));
        prop_assert!(some.iter().all(|epoch| all.contains(epoch)));
    }

    #[test]
    fn the_order_of_the_points_does_not_matter(points in any_points(), policy in any_policy(), turn in 0..60usize) {
        let mut turned = points.clone();
        turned.reverse();
        turned.rotate_left(turn % points.len().max(1));
        prop_assert_eq!(policy.judge(&turned, now()), policy.judge(&points, now()));
    }

    #[test]
    fn a_second_retention_forgets_nothing_more(points in any_points(), policy in any_policy()) {
        let first = kept(&policy, &points, now());
        let left: Vec<_> = points.iter().filter(|point| first.contains(&point.epoch)).cloned().collect();
        prop_assert_eq!(kept(&policy, &left, now()), first);
    }

    #[test]
    fn without_a_cap_a_forgotten_point_would_also_be_forgotten_later(points in any_points(), policy in any_policy(), minutes in 0..20_000u64) {
        let policy = Policy { cap: None, ..policy };
        let later = crate::clock::after(now(), seconds(minutes * MINUTE));
        prop_assert!(kept(&policy, &points, later).is_subset(&kept(&policy, &points, now())));
    }

    #[test]
    fn a_wider_policy_keeps_what_a_narrower_one_keeps(points in any_points(), policy in any_policy(), more in 1..5u32) {
        let narrow = kept(&policy, &points, now());
        let wider = Policy { cap: policy.cap.map(|cap| cap + u64::from(more)), ..policy.clone() };
        prop_assert!(narrow.is_subset(&kept(&wider, &points, now())));
        let uncapped = Policy { cap: None, ..policy };
        let longer = Policy { keep_within: uncapped.keep_within.map(|age| age + more * DAY), ..uncapped.clone() };
        prop_assert!(kept(&uncapped, &points, now()).is_subset(&kept(&longer, &points, now())));
    }
}
