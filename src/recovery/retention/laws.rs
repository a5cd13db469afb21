//! What holds for every policy and any points.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::judge::tests::{MINUTE, kept, now, point, seconds};
use super::{Candidate, Class, DAY, Policy, TagRule, Thinning};

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
    (within, cap, thinning, prop::array::uniform5(0..4u64), any::<bool>()).prop_map(
        |(keep_within, cap, thinning, counts, tags)| {
            let [keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly] = counts;
            let tag = TagRule { name: "env".into(), value: None };
            let keep_tags = tags.then_some(tag).into_iter().collect();
            let keep_safety = 7 * DAY;
            Policy {
                keep_within,
                cap,
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
    fn what_is_held_and_the_latest_good_point_of_each_kind_are_kept(points in any_points(), policy in any_policy()) {
        let kept = kept(&policy, &points, now());
        prop_assert!(points.iter().filter(|point| point.held).all(|point| kept.contains(&point.epoch)));
        for kind in ["point", "registry"] {
            let good = points.iter().filter(|point| point.class != Class::Safety && point.kind == kind && point.sound);
            prop_assert!(good.map(|point| point.epoch).max().is_none_or(|epoch| kept.contains(&epoch)));
        }
        prop_assert_eq!(points.is_empty(), kept.is_empty());
    }

    #[test]
    fn the_cap_is_kept_but_for_what_is_protected(points in any_points(), policy in any_policy()) {
        let protected = Policy { cap: Some(0), ..policy.clone() };
        for kind in ["point", "registry"] {
            let of_kind: Vec<_> =
                points.iter().filter(|point| point.class != Class::Safety && point.kind == kind).cloned().collect();
            let least = kept(&protected, &of_kind, now()).len() as u64;
            let count = kept(&policy, &of_kind, now()).len() as u64;
            prop_assert!(policy.cap.is_none_or(|cap| count <= cap.max(least)));
        }
    }

    #[test]
    fn the_order_of_the_points_does_not_matter(points in any_points(), policy in any_policy(), turn in 0..60usize) {
        let mut turned = points.clone();
        turned.reverse();
        turned.rotate_left(turn % points.len().max(1));
        prop_assert_eq!(policy.judge(&turned, now()), policy.judge(&points, now()));
    }

    #[test]
    fn forgetting_again_forgets_nothing_more(points in any_points(), policy in any_policy()) {
        let first = kept(&policy, &points, now());
        let left: Vec<_> = points.iter().filter(|point| first.contains(&point.epoch)).cloned().collect();
        prop_assert_eq!(kept(&policy, &left, now()), first);
    }

    #[test]
    fn without_a_cap_what_is_forgotten_stays_so_as_time_passes(points in any_points(), policy in any_policy(), minutes in 0..20_000u64) {
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
