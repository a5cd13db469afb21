//! Finds the restore point that a selector names. This is pure: it reads no store and no clock.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::engine::epoch::Epoch;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::points::selector::Selector;

/// The most points that an error names when several ids begin with a prefix.
const MATCHES_SHOWN: usize = 5;

/// The selectors that can name a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// Every selector: a manual or automatic point of live state.
    Always,
    /// A time and its id, but not `latest`: the point of a single commit.
    ByTime,
    /// Its id only: a safety point, a point of documents, an adopted backup.
    ById,
    /// Every selector, if no whole point fits: a point that a repair could not restore completely.
    Partial,
}

/// The names of a point, for [`resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointName {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its id; empty if it has none.
    pub id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The selectors that can name it.
    pub named: Named,
}

/// The result of [`resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The present state, and no point.
    Now,
    /// A point.
    Point {
        /// Its epoch.
        epoch: Epoch,
        /// Its id; empty if it has none.
        id: String,
        /// When it was made.
        at: Timestamp,
        /// The time from the point to the requested time; zero if no time was requested.
        off: SignedDuration,
    },
}

impl Resolved {
    /// The epoch to view. For the present state it is later than every epoch.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Now => Epoch::NOW,
            Self::Point { epoch, .. } => *epoch,
        }
    }

    /// That point, found for the time `asked`.
    fn point(point: &PointName, asked: Timestamp) -> Self {
        let off = asked.duration_since(point.at);
        Self::Point { epoch: point.epoch, id: point.id.clone(), at: point.at, off }
    }
}

/// Finds the point among `points`, in any order, that `selector` names at the time `now`.
///
/// `latest` compares epochs. A time compares the times of the points, and epochs if these are equal.
///
/// # Errors
///
/// `NotFound` when the selector names no point, `Ambiguous` when several ids begin with it.
///
/// # Examples
///
/// ```
/// use hivekeep::{Epoch, Named, PointName, Resolved, Selector, resolve};
///
/// let now = "2026-01-02T12:00:00Z".parse().unwrap();
/// let at = "2026-01-02T11:40:00Z".parse().unwrap();
/// let points = [PointName { epoch: Epoch(7), id: "0193-a".into(), at, named: Named::Always }];
/// let Resolved::Point { epoch, off, .. } = resolve(&"10m ago".parse()?, &points, now)? else { unreachable!() };
/// assert_eq!((epoch, off.as_mins()), (Epoch(7), 10));
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub fn resolve(selector: &Selector, points: &[PointName], now: Timestamp) -> Result<Resolved> {
    match selector {
        Selector::Now => Ok(Resolved::Now),
        Selector::Latest(back) => latest(*back, points),
        Selector::Id(id) => by_id(id, points),
        Selector::At(time) => by_time(*time, points),
        Selector::Ago(age) => by_time(clock::before(now, *age), points),
        Selector::Epoch(epoch) => by_epoch(*epoch, points),
    }
}

fn latest(back: u64, points: &[PointName]) -> Result<Resolved> {
    let named = |named| points.iter().filter(|point| point.named == named).collect::<Vec<_>>();
    let mut found = named(Named::Always);
    if found.is_empty() {
        found = named(Named::Partial);
    }
    found.sort_by_key(|point| Reverse(point.epoch));
    let wanted = usize::try_from(back).unwrap_or(usize::MAX);
    match (found.get(wanted), found.len()) {
        (Some(point), _) => Ok(Resolved::point(point, point.at)),
        (None, 0) => Err(no_points(points)),
        (None, count) => Err(Error::not_found(format!(
            "there are fewer restore points; the oldest is {}: asked={} points={count}",
            Selector::Latest(count as u64 - 1),
            Selector::Latest(back),
        ))),
    }
}

fn by_time(time: Timestamp, points: &[PointName]) -> Result<Resolved> {
    let timed = || points.iter().filter(|point| point.named != Named::ById);
    for is_partial in [false, true] {
        let at_most = timed().filter(|point| point.at <= time && (point.named == Named::Partial) == is_partial);
        if let Some(point) = at_most.max_by_key(|point| (point.at, point.epoch)) {
            return Ok(Resolved::point(point, time));
        }
    }
    let first = timed().min_by_key(|point| (point.at, point.epoch)).ok_or_else(|| no_points(points))?;
    Err(Error::not_found(format!(
        "no restore point is that old; the oldest is of {}: asked={} id={}",
        clock::show_time(first.at),
        clock::show_time(time),
        first.id
    )))
}

fn by_epoch(epoch: Epoch, points: &[PointName]) -> Result<Resolved> {
    let found = points.iter().find(|point| point.epoch == epoch);
    found.map(|point| Resolved::point(point, point.at)).ok_or_else(|| {
        Error::not_found(format!("no restore point of that epoch is retained: {}", Selector::Epoch(epoch)))
    })
}

fn by_id(id: &str, points: &[PointName]) -> Result<Resolved> {
    if let Some(point) = points.iter().find(|point| !id.is_empty() && point.id.eq_ignore_ascii_case(id)) {
        return Ok(Resolved::point(point, point.at));
    }
    let mut found: Vec<_> = points.iter().filter(|point| begins(&point.id, id)).collect();
    found.sort_by_key(|point| Reverse(point.epoch));
    match found.as_slice() {
        [] => Err(Error::not_found(format!(
            "no restore point or backup has that id; look at the list of all points: id={}",
            id.escape_debug()
        ))
        .with_hint(Hint::ListPoints)),
        [point] => Ok(Resolved::point(point, point.at)),
        several => Err(several_match(id, several)),
    }
}

/// Whether `id` begins with `prefix`, in upper or lower case.
fn begins(id: &str, prefix: &str) -> bool {
    !prefix.is_empty() && id.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The error for an id with which several ids begin, newest first.
fn several_match(id: &str, found: &[&PointName]) -> Error {
    let shown = found.iter().take(MATCHES_SHOWN).map(|point| format!("{} of {}", point.id, clock::show_time(point.at)));
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = found.len().checked_sub(MATCHES_SHOWN) {
        shown.push_str(&format!(" and {more} more"));
    }
    Error::new(
        ErrorKind::Ambiguous,
        format!(
            "several ids begin with this ({shown}); type more of the id that you mean: id={id} matches={}",
            found.len()
        ),
    )
}

/// The error where no point can be named by `latest` or a time: there is none, or each has only an id.
fn no_points(points: &[PointName]) -> Error {
    if !points.is_empty() {
        return Error::not_found(format!(
            "there is no restore point of the live state yet; those of documents and restores are named by their id: points={}",
            points.len()
        ))
        .with_hint(Hint::ListPoints);
    }
    Error::not_found("there is no restore point yet; make one first").with_hint(Hint::MakePoint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recovery::points::selector::tests::{NOON, select, time};

    /// A point made `epoch` minutes past ten.
    fn point(epoch: u64, id: &str, named: Named) -> PointName {
        let at = time("2026-01-02T10:00:00Z") + SignedDuration::from_mins(epoch as i64);
        PointName { epoch: Epoch(epoch), id: id.to_owned(), at, named }
    }

    /// Three points that `latest` counts. A safety point and a commit are the newest.
    fn points() -> Vec<PointName> {
        vec![
            point(5, "", Named::ByTime),
            point(1, "aaaa1111-0000", Named::Always),
            point(4, "cccc0000-safe", Named::ById),
            point(3, "bbbb2222-0000", Named::Always),
            point(2, "aaaa1122-0000", Named::Always),
        ]
    }

    fn found(text: &str) -> (u64, i64) {
        match resolve(&select(text), &points(), time(NOON)).unwrap() {
            Resolved::Now => panic!("{text} means now"),
            Resolved::Point { epoch, off, .. } => (epoch.0, off.as_secs()),
        }
    }

    fn refused(text: &str) -> String {
        resolve(&select(text), &points(), time(NOON)).unwrap_err().to_string()
    }

    #[test]
    fn latest_counts_manual_and_automatic_points_of_live_state_only() {
        assert_eq!(found("latest"), (3, 0));
        assert_eq!(found("latest~2"), (1, 0));
        assert_eq!(
            refused("latest~3"),
            "there are fewer restore points; the oldest is latest~2: asked=latest~3 points=3"
        );
        assert_eq!(refused("latest~18446744073709551615").split(':').next(), refused("latest~3").split(':').next());
    }

    #[test]
    fn a_time_names_the_newest_point_at_or_before_it_and_tells_the_distance() {
        assert_eq!(found("2026-01-02T10:03:00Z"), (3, 0));
        assert_eq!(found("2026-01-02T10:04:30Z"), (3, 90));
        assert_eq!(found("2026-01-02T10:05:01Z"), (5, 1));
        assert_eq!(found("1h 58m ago"), (2, 0));
        assert_eq!(
            refused("3h ago"),
            "no restore point is that old; the oldest is of 2026-01-02T10:01:00.000000+00:00: \
             asked=2026-01-02T09:00:00.000000+00:00 id=aaaa1111-0000"
        );
    }

    #[test]
    fn a_length_of_time_that_reaches_before_all_time_is_no_match() {
        assert!(refused("9999999999w ago").starts_with("no restore point is that old"));
    }

    #[test]
    fn an_id_names_any_point_and_must_be_unique() {
        assert_eq!(found("cccc"), (4, 0));
        assert_eq!(found("AAAA1111"), (1, 0));
        assert_eq!(
            refused("aaaa11"),
            "several ids begin with this (aaaa1122-0000 of 2026-01-02T10:02:00.000000+00:00, aaaa1111-0000 of \
             2026-01-02T10:01:00.000000+00:00); type more of the id that you mean: id=aaaa11 matches=2"
        );
        assert_eq!(refused("dddd"), "no restore point or backup has that id; look at the list of all points: id=dddd");
    }

    #[test]
    fn a_whole_id_wins_over_a_longer_one_that_begins_with_it() {
        let points = [point(1, "abcdef", Named::ById), point(2, "abcd", Named::ById)];
        assert_eq!(resolve(&select("abcd"), &points, time(NOON)).unwrap().epoch(), Epoch(2));
    }

    #[test]
    fn many_matches_are_counted_and_five_are_shown() {
        let points: Vec<_> = (1..=8).map(|n| point(n, &format!("abcd{n}"), Named::ById)).collect();
        let error = resolve(&select("abcd"), &points, time(NOON)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        let message = error.to_string();
        assert_eq!(message.matches(" of 2026").count(), 5, "{message}");
        assert!(message.ends_with(" and 3 more); type more of the id that you mean: id=abcd matches=8"), "{message}");
    }

    #[test]
    fn without_points_only_now_is_a_name() {
        assert_eq!(resolve(&Selector::Now, &[], time(NOON)).unwrap(), Resolved::Now);
        for text in ["latest", "10m ago"] {
            let error = resolve(&select(text), &[], time(NOON)).unwrap_err().to_string();
            assert_eq!(error, "there is no restore point yet; make one first");
        }
    }

    #[test]
    fn points_that_have_only_an_id_are_counted_where_no_other_can_be_named() {
        let only = [point(1, "aaaa", Named::ById), point(2, "bbbb", Named::ById)];
        for text in ["latest", "10m ago"] {
            let error = resolve(&select(text), &only, time(NOON)).unwrap_err();
            assert!(error.to_string().ends_with("are named by their id: points=2"), "{error}");
            assert_eq!(error.hint(), Some(&Hint::ListPoints));
        }
    }

    #[test]
    fn a_partial_point_is_found_only_if_no_whole_one_is() {
        let mut points = points();
        points.push(point(9, "eeee0000-part", Named::Partial));
        points.push(point(0, "eeee1111-part", Named::Partial));
        let found = |text: &str| resolve(&select(text), &points, time(NOON)).unwrap().epoch();
        assert_eq!((found("latest"), found("10m ago")), (Epoch(3), Epoch(5)));
        assert_eq!((found("2026-01-02T10:00:30Z"), found("eeee0")), (Epoch(0), Epoch(9)));
        let only: Vec<_> = points.iter().filter(|point| point.named == Named::Partial).cloned().collect();
        assert_eq!(resolve(&select("latest"), &only, time(NOON)).unwrap().epoch(), Epoch(9));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-f0-9-]*|[0-9]{1,12}[wdhms] ago|latest~[0-9]{1,20}") {
            if let Ok(selector) = text.parse::<Selector>() {
                let _ = resolve(&selector, &points(), Timestamp::MIN);
            }
        }

        #[test]
        fn the_order_of_the_points_does_not_matter(back in 0..4u64, minute in 0..10i64, turn in 0..5usize) {
            let mut turned = points();
            turned.rotate_left(turn);
            let at = Selector::At(time("2026-01-02T10:00:00Z") + SignedDuration::from_mins(minute));
            for selector in [Selector::Latest(back), at] {
                let answer = |points: &[PointName]| resolve(&selector, points, time(NOON)).map_err(|e| e.to_string());
                prop_assert_eq!(answer(&turned), answer(&points()));
            }
        }
    }
}
