//! The moments at which a schedule is due, as pure functions of its timing.
//!
//! Daylight saving, for the times that a cron expression names:
//!
//! * A time that does not exist, because the clock is set forward over it, comes at the moment of the
//!   change, once for all such times. If the hours begin with `*`, the expression goes by the minutes that
//!   really come, and these do not.
//! * A time that comes twice, because the clock is set back, counts once, at its first. If the minutes or the hours
//!   begin with `*`, it counts each time, so that `*/15` goes on every quarter of an hour.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::cron::Cron;

/// Longer than any zone is from UTC, and than any change of a clock, in seconds.
const DAY_AND_MORE: i64 = 30 * 60 * 60;

/// The first due time after that moment.
pub(super) fn next(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let today = zone.to_datetime(after).date();
    let mut days = cron.days_from(today.yesterday().unwrap_or(today));
    let of_day = |date| moments(cron, zone, date).into_iter().find(|at| *at > after);
    let (date, found) = days.by_ref().find_map(|date| of_day(date).map(|at| (date, at)))?;
    // A clock that is set back over midnight repeats minutes of the day before.
    let tomorrow = date.tomorrow().ok().filter(|date| cron.has_day(*date));
    Some(tomorrow.and_then(of_day).map_or(found, |at| at.min(found)))
}

/// The last `most` due times after one moment and up to another, in order.
pub(super) fn latest(cron: &Cron, zone: &TimeZone, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let (first, last) = (zone.to_datetime(after).date(), zone.to_datetime(until).date());
    let (first, last) = (first.yesterday().unwrap_or(first), last.tomorrow().unwrap_or(last));
    let mut found = Vec::new();
    // Another day than the one that has enough, for clocks that are set back over midnight.
    let mut days = cron.days_back_from(last).take_while(|date| *date >= first);
    let mut more = 2;
    while more > 0 {
        let Some(date) = days.next() else { break };
        found.extend(moments(cron, zone, date).into_iter().filter(|at| *at > after && *at <= until));
        more -= usize::from(found.len() >= most);
    }
    found.sort_unstable();
    found.dedup();
    found.drain(..found.len().saturating_sub(most));
    found
}

/// The due times of a day that the expression names, in order.
fn moments(cron: &Cron, zone: &TimeZone, date: Date) -> Vec<Timestamp> {
    let times = cron.times().map(|time| date.to_datetime(time));
    if let Some(offset) = steady_offset(zone, date) {
        return times.filter_map(|time| offset.to_timestamp(time).ok()).collect();
    }
    let mut moments: Vec<_> = times.flat_map(|time| of_time(cron, zone, time)).flatten().collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// The offset of a day on which no clock is changed.
fn steady_offset(zone: &TimeZone, date: Date) -> Option<Offset> {
    let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_second();
    let around = |seconds: i64| Timestamp::from_second(midnight.saturating_add(seconds)).ok();
    let (before, after) = (around(-DAY_AND_MORE)?, around(24 * 60 * 60 + DAY_AND_MORE)?);
    let changes = zone.following(before).next().is_some_and(|change| change.timestamp() <= after);
    (!changes).then(|| zone.to_offset(before))
}

/// The moments at which a time of a clock counts.
fn of_time(cron: &Cron, zone: &TimeZone, time: DateTime) -> [Option<Timestamp>; 2] {
    let at = |offset: Offset| offset.to_timestamp(time).ok();
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
        AmbiguousOffset::Gap { .. } if cron.is_of_any_hour() => [None, None],
        AmbiguousOffset::Gap { after, .. } => [at(after).and_then(|before| change_after(zone, before)), None],
        AmbiguousOffset::Fold { before, after } => [at(before), at(after).filter(|_| cron.is_of_intervals())],
    }
}

/// The first change of the clock after that moment, that is at the end of a gap.
fn change_after(zone: &TimeZone, before: Timestamp) -> Option<Timestamp> {
    let offset = zone.to_offset(before);
    let mut changes = zone.following(before).take(8);
    changes.find(|change| change.offset() > offset).map(|change| change.timestamp())
}
