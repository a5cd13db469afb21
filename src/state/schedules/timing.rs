//! The timing of a schedule, and the due times that follow from it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::calendar;
use super::cron::Cron;
use crate::clock::after;
use crate::duration;
use crate::error::{Error, Result};
use crate::text::printable;

/// The shortest and the longest interval.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// The longest name of a time zone that is looked up.
const ZONE_BYTES: usize = 64;

/// A due time that is older than this was missed.
pub(super) const LATE: Duration = Duration::from_secs(60);

/// Whether a due time was missed if it has not fired by now.
pub(super) fn is_late(due: Timestamp, now: Timestamp) -> bool {
    after(due, LATE) < now
}

/// When a schedule is due: at intervals, or at the times of a calendar.
///
/// # Examples
///
/// ```
/// use hivekeep::Timing;
///
/// let nightly = Timing::cron("30 2 * * *", "Europe/Vienna")?;
/// // The clock is set forward over 02:30, so it comes at the moment of the change.
/// let next = nightly.next("2026-03-28T12:00:00Z".parse().unwrap());
/// assert_eq!(next.unwrap().to_string(), "2026-03-29T01:00:00Z");
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// At intervals of real time, whatever clocks on walls do.
    Every {
        /// The interval, in whole milliseconds.
        every: Duration,
        /// The time from which the intervals count. None stands for the moment when the schedule is added.
        from: Option<Timestamp>,
    },
    /// At the times of a cron expression.
    Cron {
        /// The expression.
        cron: Cron,
        /// The time zone in which it counts.
        zone: TimeZone,
    },
}

impl Timing {
    /// At intervals, the first time one interval after the schedule is added.
    ///
    /// # Errors
    ///
    /// `Invalid` when the interval is shorter than a second or longer than ten years.
    pub fn every(every: Duration) -> Result<Self> {
        Self::every_from(every, None)
    }

    /// At the times of a [cron expression](Cron), in a time zone such as `Europe/Vienna` or `UTC`.
    ///
    /// # Errors
    ///
    /// `Invalid` when the expression is wrong or never comes, and when there is no such time zone.
    pub fn cron(expression: &str, time_zone: &str) -> Result<Self> {
        Ok(Self::Cron { cron: expression.parse()?, zone: zone(time_zone)? })
    }

    pub(super) fn every_from(every: Duration, from: Option<Timestamp>) -> Result<Self> {
        if every < SHORTEST || every > LONGEST {
            let (every, least) = (duration::exact(every), duration::exact(SHORTEST));
            let most = duration::exact(LONGEST);
            return Err(Error::invalid(format!(
                "the interval of a schedule is too short or too long: every={every} min={least} max={most}"
            )));
        }
        let whole = Duration::from_millis(u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
        Ok(Self::Every { every: whole, from })
    }

    /// The same, with the time from which the intervals count.
    pub(super) fn starting(self, at: Timestamp) -> Self {
        match self {
            Self::Every { every, from: None } => {
                let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
                Self::Every { every, from: Some(whole) }
            }
            started => started,
        }
    }

    /// The first due time after that moment; none when time ends before it.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { every, from } => {
                let (step, from) = (step(*every), start(*from));
                at(from, step, (micros(after) - from).div_euclid(step).max(0) + 1)
            }
            Self::Cron { cron, zone } => calendar::next(cron, zone, after),
        }
    }

    /// The last `most` due times after one moment and up to another, in order.
    pub(super) fn latest(&self, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
        match self {
            Self::Every { every, from } => {
                let (step, from) = (step(*every), start(*from));
                let done = |until| (micros(until) - from).div_euclid(step).max(0);
                let (first, last) = (done(after) + 1, done(until));
                let first = first.max(last.saturating_sub(i128::try_from(most).unwrap_or(i128::MAX)) + 1);
                (first..=last).filter_map(|number| at(from, step, number)).collect()
            }
            Self::Cron { cron, zone } => calendar::latest(cron, zone, after, until, most),
        }
    }

    /// The interval; none for a cron expression.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Every { every, .. } => Some(*every),
            Self::Cron { .. } => None,
        }
    }

    /// The cron expression and the name of its time zone; none for an interval.
    pub fn expression(&self) -> Option<(&Cron, &str)> {
        match self {
            Self::Every { .. } => None,
            Self::Cron { cron, zone } => Some((cron, zone.iana_name().unwrap_or("UTC"))),
        }
    }
}

/// `every 10m`, or `0 3 * * * Europe/Vienna`.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expression() {
            Some((cron, zone)) => write!(f, "{cron} {zone}"),
            None => write!(f, "every {}", duration::exact(self.interval().unwrap_or_default())),
        }
    }
}

fn micros(time: Timestamp) -> i128 {
    time.as_microsecond().into()
}

fn start(from: Option<Timestamp>) -> i128 {
    micros(from.unwrap_or(Timestamp::UNIX_EPOCH))
}

fn step(every: Duration) -> i128 {
    i128::try_from(every.as_micros()).unwrap_or(i128::MAX).max(1)
}

/// The due time of that number.
fn at(from: i128, step: i128, number: i128) -> Option<Timestamp> {
    let micros = number.checked_mul(step)?.checked_add(from)?;
    Timestamp::from_microsecond(i64::try_from(micros).ok()?).ok()
}

fn zone(name: &str) -> Result<TimeZone> {
    let unknown = || {
        let (message, name) = ("there is no such time zone; name one such as Europe/Vienna or UTC", printable(name));
        Error::invalid(format!("{message}: time_zone={name}"))
    };
    if name.len() > ZONE_BYTES {
        return Err(Error::invalid(format!("the name of a time zone is too long: max={ZONE_BYTES}")));
    }
    let zone = TimeZone::get(name).map_err(|source| unknown().with_source(source))?;
    // A zone without a name could not be stored.
    zone.iana_name().is_some().then_some(()).ok_or_else(unknown)?;
    Ok(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn intervals_count_from_their_start_and_never_come_before_the_first() {
        let from = time("2026-11-28T16:00:00.75Z");
        let timing = Timing::every(Duration::from_millis(90_500)).unwrap().starting(from);
        let first = time("2026-11-28T16:01:30.5Z");
        assert_eq!(timing.next(from), Some(first));
        assert_eq!(timing.next(time("2020-01-01T00:00:00Z")), Some(first));
        assert_eq!(timing.next(first), Some(time("2026-11-28T16:03:01Z")));
        assert_eq!(timing.next(Timestamp::MAX), None);
        let until = time("2026-11-28T16:06:02Z");
        assert_eq!(timing.latest(from, until, 9).len(), 4);
        assert_eq!(timing.latest(from, until, 1), [until]);
        assert_eq!(timing.latest(first, until, 9).len(), 3);
        assert!(timing.latest(until, from, 9).is_empty());
        assert_eq!(timing.latest(Timestamp::MIN, Timestamp::MAX, 1000).len(), 1000);
    }

    #[test]
    fn an_interval_has_a_second_at_least_and_ten_years_at_most_and_a_zone_must_exist() {
        for every in [0, 999, u64::MAX] {
            assert!(Timing::every(Duration::from_millis(every)).is_err());
        }
        let unknown = Timing::cron("0 3 * * *", "Europe/Wien").unwrap_err().to_string();
        assert!(unknown.ends_with("time_zone=Europe/Wien"), "{unknown}");
        assert!(Timing::cron("0 3 * * *", &"x".repeat(65)).is_err());
        assert_eq!(Timing::cron("0 3 * * *", "europe/vienna").unwrap().expression().unwrap().1, "Europe/Vienna");
    }
}
