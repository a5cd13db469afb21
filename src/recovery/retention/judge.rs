//! The order of a policy's rules: the protected points first, then room, thinning and age, then the cap.
//!
//! Epochs decide which point is older, because a clock that is set back does not affect them. Ages and periods use
//! times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::case::{Case, Fate};
use super::number::{cut, without_room};
use super::policy::{Candidate, Class, DAY, HOUR, Policy, Reason, Verdict};
use crate::engine::epoch::Epoch;

/// 1970 began on a Thursday, three days after a Monday.
const DAYS_SINCE_MONDAY: i64 = 3;

impl Policy {
    /// Judges every point, in any order. The verdicts are in the order of epochs.
    ///
    /// A hold always wins, then the newest sound point of each kind, then the rules from `keep_last` to `keep_tags`.
    /// Neither age, thinning nor a number forgets a point that one of them keeps, but the cap counts it. Over the cap,
    /// points go first that share their minute with another one, then those that share their hour, newest first. Thus a
    /// burst thins itself. Then automatic points go, oldest first, then manual ones. Safety points depend on age and on
    /// the room for a burst; the cap does not count them. A rule never chooses a point that is known to be damaged.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Candidate, Class, Epoch, Policy};
    ///
    /// let point = |epoch, at: &str| Candidate {
    ///     epoch: Epoch(epoch),
    ///     at: at.parse().unwrap(),
    ///     class: Class::Manual,
    ///     kind: "point".into(),
    ///     tags: Default::default(),
    ///     held: false,
    ///     sound: true,
    /// };
    /// let points = [point(1, "2026-01-01T00:00:00Z"), point(2, "2026-01-12T00:00:00Z")];
    /// let verdicts = Policy::default().judge(&points, "2026-01-13T00:00:00Z".parse().unwrap());
    /// assert!(!verdicts[0].keep);
    /// assert_eq!(verdicts[0].reasons[0].to_string(), "older than 7d");
    /// assert!(verdicts[1].keep);
    /// ```
    #[must_use]
    pub fn judge(&self, points: &[Candidate], now: Timestamp) -> Vec<Verdict> {
        judge(self, points, now)
    }
}

/// The verdicts, in the order of epochs.
fn judge(policy: &Policy, points: &[Candidate], now: Timestamp) -> Vec<Verdict> {
    let mut points: Vec<_> = points.iter().collect();
    points.sort_by_key(|point| point.epoch);
    let mut cases: Vec<_> = points.into_iter().map(|point| Case::new(point, now)).collect();
    let kinds: BTreeSet<_> = cases.iter().map(|case| case.point.kind.as_str()).collect();
    // Protections first: the rules after them must not count what stays anyway.
    for kind in &kinds {
        protect(policy, &mut of_kind(&mut cases, kind));
    }
    protect_safety_points(&mut cases);
    // A point of a burst must not stand for its period, so room comes before thinning.
    let crowded = without_room(policy, &cases);
    let stretches = Stretches::new(policy, &cases, &crowded);
    for case in &mut cases {
        let by_age = || by_age(policy, case.point, &stretches, case.age);
        case.fate = by_room(policy, case.point, &crowded).unwrap_or_else(by_age);
    }
    // The cap counts only points that are kept so far, so it comes last.
    for kind in &kinds {
        cut(policy, &mut of_kind(&mut cases, kind));
    }
    cases.into_iter().map(Case::verdict).collect()
}

/// The cases that the rules and the cap of that kind count.
fn of_kind<'c, 'p>(cases: &'c mut [Case<'p>], kind: &str) -> Vec<&'c mut Case<'p>> {
    cases.iter_mut().filter(|case| case.counts_as(kind)).collect()
}

/// The decision about a point that found no room.
fn by_room(policy: &Policy, point: &Candidate, crowded: &BTreeSet<Epoch>) -> Option<Fate> {
    let burst = policy.burst.filter(|_| crowded.contains(&point.epoch))?;
    Some(Fate::Forget(Reason::Burst(burst)))
}

/// The decision of age and thinning about a point.
fn by_age(policy: &Policy, point: &Candidate, stretches: &Stretches<'_>, age: Duration) -> Fate {
    // A safety point serves its undo, and only for as long as somebody may want that.
    if point.class == Class::Safety {
        return up_to(age, policy.keep_safety, Reason::Safety);
    }
    match policy.keep_within {
        Some(most) if age > most => Fate::Forget(Reason::OlderThan(most)),
        // Young enough: of automatic points one stays for each period, and every point that somebody asked for.
        most => match thinned_to(policy, point, age) {
            Some(every) if stretches.is_kept(point, every) => Fate::Keep(Reason::OnePer(every)),
            Some(every) => Fate::Forget(Reason::Thinned(every)),
            None => Fate::Keep(most.map_or(Reason::NoAge, Reason::Within)),
        },
    }
}

fn up_to(age: Duration, most: Duration, reason: fn(Duration) -> Reason) -> Fate {
    if age > most { Fate::Forget(Reason::OlderThan(most)) } else { Fate::Keep(reason(most)) }
}

/// The period to which points of this class and age are thinned.
fn thinned_to(policy: &Policy, point: &Candidate, age: Duration) -> Option<Duration> {
    let steps = policy.thinning.iter().filter(|step| point.class == Class::Automatic && age > step.from);
    steps.max_by_key(|step| step.from).map(|step| step.every).filter(|every| !every.is_zero())
}

/// The point that represents each period of each length: its first sound one, or else its first one.
///
/// It is the first and not the last: longer periods consist of whole shorter ones, so the point that represents a long
/// period also represented its short one. A point that was once thinned away would be thinned away at any later time
/// too.
struct Stretches<'a>(BTreeMap<(&'a str, Duration, i128), &'a Candidate>);

impl<'a> Stretches<'a> {
    /// Finds them for `cases`, which are in the order of their epochs. Points without room represent nothing.
    fn new(policy: &Policy, cases: &[Case<'a>], crowded: &BTreeSet<Epoch>) -> Self {
        let mut first = BTreeMap::new();
        let stands = |point: &&'a Candidate| point.class == Class::Automatic && !crowded.contains(&point.epoch);
        for point in cases.iter().map(|case| case.point).filter(stands) {
            for step in &policy.thinning {
                let standing = first.entry(Self::of(point, step.every)).or_insert(point);
                if point.sound && !standing.sound {
                    *standing = point;
                }
            }
        }
        Self(first)
    }

    fn is_kept(&self, point: &Candidate, every: Duration) -> bool {
        self.0.get(&Self::of(point, every)).is_some_and(|standing| standing.epoch == point.epoch)
    }

    fn of(point: &Candidate, every: Duration) -> (&str, Duration, i128) {
        let length = i128::try_from(every.as_nanos()).unwrap_or(i128::MAX).max(1);
        (&point.kind, every, point.at.as_nanosecond().div_euclid(length))
    }
}

/// Protects the points that holds and rules keep of one kind. The cases are in the order of their epochs.
fn protect(policy: &Policy, cases: &mut [&mut Case<'_>]) {
    for case in cases.iter_mut() {
        protect_by_itself(policy, case);
    }
    protect_newest(cases.iter_mut().rev().map(|case| &mut **case));
    for (count, reason, stretch) in calendar(policy) {
        // The newest point of each period, newest period first. A point that a repair has hurt must not stand for one.
        let mut seen = BTreeSet::new();
        for case in cases.iter_mut().rev().filter(|case| case.point.sound) {
            if (seen.len() as u64) < count && seen.insert(stretch(case.point)) {
                case.protections.push(reason.clone());
            }
        }
    }
}

/// Protects points with a hold or a kept tag.
fn protect_by_itself(policy: &Policy, case: &mut Case<'_>) {
    if case.point.held {
        case.protections.push(Reason::Held);
    }
    // Without a value, the rule keeps every value of the tag.
    for rule in &policy.keep_tags {
        if case.point.tags.get(&rule.name).is_some_and(|value| rule.value.as_ref().is_none_or(|wanted| wanted == value))
        {
            case.protections.push(Reason::Tag(rule.name.clone()));
        }
    }
}

/// Protects the newest sound case, or, if none is sound, the newest one. The cases are ordered newest first.
fn protect_newest<'c, 'p: 'c>(cases: impl Iterator<Item = &'c mut Case<'p>>) {
    let mut newest = None;
    for case in cases {
        if case.point.sound {
            return case.protections.push(Reason::LatestGood);
        }
        newest = newest.or(Some(case));
    }
    if let Some(case) = newest {
        case.protections.push(Reason::Latest);
    }
}

/// Protects held safety points, and the newest one if there are only safety points.
fn protect_safety_points(cases: &mut [Case<'_>]) {
    // Retention never forgets the last point that there is.
    let nothing_else = cases.iter().all(|case| case.point.class == Class::Safety);
    for case in cases.iter_mut().filter(|case| case.point.class == Class::Safety && case.point.held) {
        case.protections.push(Reason::Held);
    }
    if nothing_else {
        protect_newest(cases.iter_mut().rev());
    }
}

/// A function that numbers the period of a time.
type Stretch = fn(&Candidate) -> i128;

/// The rules that keep the newest point of each of some periods.
fn calendar(policy: &Policy) -> [(u64, Reason, Stretch); 5] {
    [
        (policy.keep_last, Reason::Last(policy.keep_last), |point| i128::from(point.epoch.0)),
        (policy.keep_hourly, Reason::Hourly, |point| whole(point.at, HOUR).into()),
        (policy.keep_daily, Reason::Daily, |point| whole(point.at, DAY).into()),
        (policy.keep_weekly, Reason::Weekly, |point| (whole(point.at, DAY) + DAYS_SINCE_MONDAY).div_euclid(7).into()),
        (policy.keep_monthly, Reason::Monthly, |point| month(point.at).into()),
    ]
}

/// The number of whole units of time between 1970 and `at`.
fn whole(at: Timestamp, unit: Duration) -> i64 {
    at.as_second().div_euclid(i64::try_from(unit.as_secs()).unwrap_or(i64::MAX))
}

fn month(at: Timestamp) -> i64 {
    let date = at.to_zoned(TimeZone::UTC).date();
    i64::from(date.year()) * 12 + i64::from(date.month())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::recovery::retention::policy::{TagRule, Thinning};

    pub(crate) const MINUTE: u64 = 60;
    const MINUTE_LONG: Duration = Duration::from_secs(MINUTE);

    pub(crate) fn now() -> Timestamp {
        "2026-03-15T12:34:00Z".parse().unwrap()
    }

    pub(crate) fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A sound automatic point of that age. Older ones have lower epochs.
    pub(crate) fn point(age: Duration) -> Candidate {
        Candidate {
            epoch: Epoch(1_000_000_000 - age.as_secs()),
            at: crate::clock::before(now(), age),
            class: Class::Automatic,
            kind: "point".into(),
            tags: BTreeMap::new(),
            held: false,
            sound: true,
        }
    }

    fn manual(age: Duration) -> Candidate {
        Candidate { class: Class::Manual, ..point(age) }
    }

    fn safety(age: Duration) -> Candidate {
        Candidate { class: Class::Safety, ..point(age) }
    }

    /// A policy that keeps only protected points.
    fn strict() -> Policy {
        Policy { keep_within: Some(Duration::ZERO), thinning: Vec::new(), ..Policy::default() }
    }

    /// The verdict about each point, oldest first, in a form for people.
    fn told(policy: &Policy, points: &[Candidate]) -> Vec<String> {
        let tell = |verdict: &Verdict| {
            let reasons: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
            format!("{}: {}", if verdict.keep { "keep" } else { "forget" }, reasons.join(", "))
        };
        policy.judge(points, now()).iter().map(tell).collect()
    }

    pub(crate) fn kept(policy: &Policy, points: &[Candidate], now: Timestamp) -> BTreeSet<Epoch> {
        policy.judge(points, now).into_iter().filter(|verdict| verdict.keep).map(|verdict| verdict.epoch).collect()
    }

    /// One automatic point every ten minutes for eight days.
    fn eight_days() -> Vec<Candidate> {
        (0..8 * 24 * 6).map(|n| point(seconds(n * 10 * MINUTE))).collect()
    }

    #[test]
    fn by_default_a_hundred_automatic_points_reach_over_seven_days() {
        let points = eight_days();
        let kept = kept(&Policy::default(), &points, now());
        let ages: Vec<_> = points
            .iter()
            .filter(|point| kept.contains(&point.epoch))
            .map(|point| now().duration_since(point.at))
            .collect();
        assert_eq!(ages.iter().filter(|age| age.as_hours() < 6).count(), 36);
        assert_eq!(ages.iter().filter(|age| (7..30).contains(&age.as_hours())).count(), 23);
        assert!(ages.iter().any(|age| age.as_hours() >= 7 * 24 - 6));
        assert!((80..=100).contains(&kept.len()), "{}", kept.len());
    }

    #[test]
    fn without_thinning_and_cap_every_point_of_seven_days_stays() {
        let policy = Policy { thinning: Vec::new(), cap: None, ..Policy::default() };
        assert_eq!(kept(&policy, &eight_days(), now()).len(), 7 * 24 * 6 + 1);
        let by_nothing = vec![Thinning { from: HOUR, every: Duration::ZERO }];
        let policy = Policy { thinning: by_nothing, cap: None, ..Policy::default() };
        assert_eq!(kept(&policy, &eight_days(), now()).len(), 7 * 24 * 6 + 1);
    }

    #[test]
    fn manual_points_are_not_thinned_and_fill_no_period() {
        let points = [manual(8 * HOUR + seconds(120)), manual(8 * HOUR + seconds(60)), point(8 * HOUR), point(HOUR)];
        let told = told(&Policy::default(), &points);
        assert_eq!(told[0], "keep: within 7d");
        assert_eq!(told[1], "keep: within 7d");
        assert_eq!(told[2], "keep: the one kept for its 1h");
        assert_eq!(told[3], "keep: latest good point, within 7d");
    }

    #[test]
    fn a_sound_point_represents_its_period_before_a_damaged_one() {
        let damaged = Candidate { sound: false, ..point(8 * HOUR + seconds(120)) };
        let points = [damaged, point(8 * HOUR + seconds(60)), point(8 * HOUR), point(HOUR)];
        let told = told(&Policy::default(), &points);
        assert_eq!(told[0], "forget: another one is kept for its 1h");
        assert_eq!(told[1], "keep: the one kept for its 1h");
        assert_eq!(told[2], "forget: another one is kept for its 1h");
    }

    #[test]
    fn age_forgets_manual_points_too_but_never_the_latest_good_one_of_a_kind() {
        let documents = Candidate { kind: "registry".into(), ..manual(30 * DAY) };
        let damaged = Candidate { sound: false, ..manual(8 * DAY) };
        let points = [documents, manual(20 * DAY), manual(10 * DAY), damaged];
        assert_eq!(
            told(&Policy::default(), &points),
            ["keep: latest good point", "forget: older than 7d", "keep: latest good point", "forget: older than 7d"]
        );
    }

    #[test]
    fn if_no_point_is_sound_the_newest_stays() {
        let damaged = |age| Candidate { sound: false, ..manual(age) };
        assert_eq!(
            told(&Policy::default(), &[damaged(9 * DAY), damaged(8 * DAY)]),
            ["forget: older than 7d", "keep: latest point, as none is known to be sound"]
        );
    }

    #[test]
    fn over_the_cap_automatic_points_go_first_and_the_oldest_of_them_first() {
        let policy = Policy { cap: Some(2), floor: Duration::ZERO, ..Policy::default() };
        let points = [manual(4 * HOUR), point(3 * HOUR), point(2 * HOUR), manual(HOUR)];
        assert_eq!(
            told(&policy, &points),
            [
                "keep: within 7d",
                "forget: more than 2 of its kind",
                "forget: more than 2 of its kind",
                "keep: latest good point, within 7d"
            ]
        );
        let manual_ones = [manual(3 * HOUR), manual(2 * HOUR), manual(HOUR)];
        assert_eq!(told(&policy, &manual_ones)[0], "forget: more than 2 of its kind");
    }

    #[test]
    fn the_cap_counts_each_kind_alone() {
        let policy = Policy { cap: Some(1), floor: Duration::ZERO, ..Policy::default() };
        let other = |age| Candidate { kind: "queue".into(), ..manual(age) };
        let points = [other(4 * HOUR), manual(3 * HOUR), other(2 * HOUR), manual(HOUR)];
        assert_eq!(kept(&policy, &points, now()), [points[2].epoch, points[3].epoch].into());
    }

    #[test]
    fn a_hold_wins_over_age_thinning_and_cap() {
        let policy = Policy { cap: Some(0), ..Policy::default() };
        let held = |point| Candidate { held: true, ..point };
        let points = [held(safety(20 * DAY)), held(manual(10 * DAY)), held(point(8 * HOUR)), point(HOUR)];
        assert_eq!(
            told(&policy, &points),
            ["keep: held", "keep: held", "keep: held, the one kept for its 1h", "keep: latest good point, within 7d"]
        );
    }

    #[test]
    fn the_calendar_rules_keep_the_newest_point_of_each_period_that_has_one() {
        let months: Vec<_> = [70, 40, 20, 1].map(|days| manual(days * DAY)).into();
        let policy = Policy { keep_monthly: 2, ..strict() };
        assert_eq!(
            told(&policy, &months),
            [
                "forget: older than 0s",
                "forget: older than 0s",
                "keep: newest of its month",
                "keep: latest good point, newest of its month"
            ]
        );
        // Sunday 2026-03-15 and Monday 2026-03-09 share a week; Sunday the 8th belongs to the week before.
        let weeks: Vec<_> = [7, 6, 0].map(|days| manual(days * DAY + HOUR)).into();
        let policy = Policy { keep_weekly: 9, ..strict() };
        assert_eq!(kept(&policy, &weeks, now()), [weeks[0].epoch, weeks[2].epoch].into());
        let hours: Vec<_> = [130, 70, 40, 35].map(|minutes| manual(seconds(minutes * MINUTE))).into();
        let policy = Policy { keep_hourly: 2, ..strict() };
        assert_eq!(kept(&policy, &hours, now()), [hours[0].epoch, hours[3].epoch].into());
        let policy = Policy { keep_daily: 9, keep_last: 2, ..strict() };
        assert_eq!(kept(&policy, &hours, now()), [hours[2].epoch, hours[3].epoch].into());
    }

    #[test]
    fn a_rule_never_chooses_a_damaged_point() {
        let damaged = Candidate { sound: false, ..manual(HOUR) };
        let points = [manual(3 * HOUR), manual(2 * HOUR), damaged];
        assert_eq!(
            told(&Policy { keep_last: 1, ..strict() }, &points),
            ["forget: older than 0s", "keep: latest good point, one of the last 1", "forget: older than 0s"]
        );
    }

    #[test]
    fn a_tag_keeps_the_points_that_have_it() {
        let tagged =
            |age, name: &str, value: &str| Candidate { tags: [(name.into(), value.into())].into(), ..manual(age) };
        let points = [
            tagged(40 * DAY, "release", "1.0"),
            tagged(30 * DAY, "env", "test"),
            tagged(20 * DAY, "env", "live"),
            manual(HOUR),
        ];
        let keep_tags = vec![
            TagRule { name: "release".into(), value: None },
            TagRule { name: "env".into(), value: Some("live".into()) },
        ];
        let told = told(&Policy { keep_tags, ..Policy::default() }, &points);
        assert_eq!(told[..3], ["keep: tagged release", "forget: older than 7d", "keep: tagged env"]);
    }

    #[test]
    fn safety_points_depend_on_their_age_alone() {
        let policy = Policy { cap: Some(1), keep_last: 9, ..Policy::default() };
        assert_eq!(
            told(&policy, &[safety(8 * DAY), safety(6 * DAY), manual(DAY), safety(HOUR)]),
            [
                "forget: older than 7d",
                "keep: safety point, within 7d",
                "keep: latest good point, one of the last 9, within 7d",
                "keep: safety point, within 7d"
            ]
        );
        assert_eq!(
            told(&policy, &[safety(9 * DAY), safety(8 * DAY)]),
            ["forget: older than 7d", "keep: latest good point"]
        );
    }

    #[test]
    fn a_point_from_the_future_counts_as_new() {
        let ahead = Candidate { at: crate::clock::after(now(), DAY), ..point(Duration::ZERO) };
        assert_eq!(told(&Policy::default(), &[ahead]), ["keep: latest good point, within 7d"]);
    }

    /// This many manual points within two seconds, `age` ago.
    fn burst(age: Duration, count: u64) -> Vec<Candidate> {
        let one = |n| {
            let age = age + Duration::from_millis(2_000 * n / count);
            Candidate {
                epoch: Epoch(1_000_000_000 - age.as_secs() + count - n),
                at: crate::clock::before(now(), age),
                ..manual(age)
            }
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_burst_removes_no_earlier_point_neither_now_nor_later() {
        for age in [Duration::ZERO, 2 * HOUR, 25 * HOUR, 3 * DAY] {
            let earlier: Vec<_> = eight_days()
                .into_iter()
                .chain([manual(8 * HOUR)])
                .filter(|point| point.at < crate::clock::before(now(), age + 3 * MINUTE_LONG))
                .collect();
            let with_it: Vec<_> = earlier.iter().cloned().chain(burst(age, 320)).collect();
            let without = kept(&Policy::default(), &earlier, now());
            let with = kept(&Policy::default(), &with_it, now());
            let newest = earlier.iter().map(|point| point.epoch).max().into_iter().collect();
            let gone: BTreeSet<_> = without.difference(&with).copied().collect();
            assert!(gone.is_subset(&newest), "{age:?} ago: {} of {} are gone", gone.len(), without.len());
        }
    }

    #[test]
    fn over_the_cap_points_that_share_their_minute_go_first_then_those_that_share_their_hour() {
        let policy = Policy { cap: Some(3), floor: Duration::ZERO, ..Policy::default() };
        let points = [
            manual(4 * HOUR),
            manual(3 * HOUR),
            manual(3 * HOUR - seconds(10 * MINUTE)),
            manual(3 * HOUR - seconds(20 * MINUTE)),
            manual(3 * HOUR - seconds(20 * MINUTE + 1)),
            manual(HOUR),
        ];
        let left: Vec<_> = [0, 1, 5].map(|at: usize| points[at].epoch).into();
        assert_eq!(kept(&policy, &points, now()), left.into_iter().collect());
        let wider = Policy { cap: Some(5), ..policy };
        assert_eq!(told(&wider, &points)[4], "forget: more than 3 of its kind".replace('3', "5"));
    }

    #[test]
    fn the_cap_removes_nothing_younger_than_a_day() {
        let points: Vec<_> = (1..=500).map(|n| manual(seconds(n * 2 * MINUTE))).collect();
        assert_eq!(kept(&Policy::default(), &points, now()).len(), 500);
        assert_eq!(kept(&Policy { floor: HOUR, cap: Some(10), ..Policy::default() }, &points, now()).len(), 29 + 10);
    }

    #[test]
    fn a_million_points_of_a_day_are_thinned_to_a_few_thousand() {
        let points: Vec<_> = (0..50_000)
            .map(|n| Candidate { epoch: Epoch(n + 1), ..manual(DAY.mul_f64(1.0 - n as f64 / 5e4)) })
            .collect();
        let left = kept(&Policy::default(), &points, now());
        assert!((3_300..=3_500).contains(&left.len()), "{}", left.len());
        let after_hours: Vec<_> = left.iter().filter(|epoch| epoch.0 > 25_000).collect();
        assert!(after_hours.windows(2).all(|pair| pair[1].0 - pair[0].0 < 50), "those that are left lie evenly");
        assert_eq!(kept(&Policy { burst: None, ..Policy::default() }, &points, now()).len(), 50_000);
    }

    #[test]
    fn a_protected_point_takes_no_room_from_others_neither_now_nor_after_the_next_retention() {
        let policy =
            Policy { burst: Some(1), thinning: vec![Thinning { from: HOUR, every: DAY }], ..Policy::default() };
        let damaged = |age| Candidate { sound: false, ..point(age) };
        // All are of one day. The held point comes too soon after the damaged one, which is thinned away then.
        let held = Candidate { held: true, ..damaged(57 * HOUR) };
        let points = [damaged(60 * HOUR), held, point(50 * HOUR), point(HOUR / 2)];
        let left: Vec<_> = points[1..].to_vec();
        let epochs: BTreeSet<_> = left.iter().map(|point| point.epoch).collect();
        assert_eq!(kept(&policy, &points, now()), epochs);
        assert_eq!(kept(&policy, &left, now()), epochs);
    }

    #[test]
    fn after_a_burst_there_is_room_again_for_a_point_made_by_hand() {
        let mut points = burst(4 * HOUR, 5_000);
        points.extend([manual(HOUR), manual(HOUR / 2), manual(Duration::ZERO)]);
        let left = kept(&Policy::default(), &points, now());
        assert!(points.iter().rev().take(3).all(|point| left.contains(&point.epoch)));
        assert_eq!(left.len(), 1_000 + 3);
    }
}
