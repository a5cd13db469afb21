//! Due times over two years in several zones, compared with a walk over every minute.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::calendar::{latest, next};
use super::cron::Cron;

const ZONES: [&str; 6] =
    ["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"];

/// Those that name fixed times, and those that go by intervals, around the changes of all the zones.
const EXPRESSIONS: [&str; 12] = [
    "0 3 * * *",
    "30 2 * * *",
    "0,15,30,45 0-3 * * *",
    "0 0 * * *",
    "*/10 * * * *",
    "*/15 2 * * *",
    "*/20 1-3 * * *",
    "0 */2 * * *",
    "0 2 29 2 *",
    "10 2 31 3 fri",
    "5 2 1-7 * */7",
    "@monthly",
];

/// Minutes of the days on which it is due, told from the fields as they are written, without the code that is tested.
struct Oracle {
    /// By the minute of a day.
    times: Vec<bool>,
    days: Vec<i64>,
    months: Vec<i64>,
    weekdays: Vec<i64>,
    either_day: bool,
    stars: (bool, bool),
}

fn numbers(field: &str, first: i64, last: i64) -> Vec<i64> {
    let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let number =
        |text: &str| days.iter().position(|day| *day == text).map_or_else(|| text.parse().unwrap(), |at| at as i64);
    let part = |part: &str| -> Vec<i64> {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        (from..=to).step_by(step.parse().unwrap()).collect()
    };
    field.split(',').flat_map(part).collect()
}

impl Oracle {
    fn new(text: &str) -> Self {
        let text = if text == "@monthly" { "0 0 1 * *" } else { text };
        let fields: Vec<_> = text.split(' ').collect();
        let star = |at: usize| fields[at].starts_with('*');
        let (minutes, hours) = (numbers(fields[0], 0, 59), numbers(fields[1], 0, 23));
        Self {
            times: (0..1440).map(|time| minutes.contains(&(time % 60)) && hours.contains(&(time / 60))).collect(),
            days: numbers(fields[2], 1, 31),
            months: numbers(fields[3], 1, 12),
            weekdays: numbers(fields[4], 0, 6),
            either_day: !star(2) && !star(4),
            stars: (star(0), star(1)),
        }
    }

    /// Whether a minute of the wall clock, counted from 1970, is named.
    fn names(&self, wall: i64) -> bool {
        if !self.times[(wall % 1440) as usize] {
            return false;
        }
        let date = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(wall / 1440)).unwrap();
        let day = self.days.contains(&date.day().into());
        // 1 January 1970 was a Thursday.
        let weekday = self.weekdays.contains(&((wall / 1440 + 4) % 7));
        let days = if self.either_day { day || weekday } else { day && weekday };
        days && self.months.contains(&date.month().into())
    }

    /// Every due time, from a walk over all minutes of UTC as the wall clock shows them.
    fn walk(&self, walls: &[(i64, i64)]) -> Vec<Timestamp> {
        let mut due = Vec::new();
        let mut furthest = walls[0].1 - 1;
        for (utc, wall) in walls {
            let is_again = *wall <= furthest;
            let skipped = || (furthest + 1..*wall).any(|wall| self.names(wall));
            let is_named = self.names(*wall);
            let counts = match self.stars {
                (_, true) => is_named,
                (true, false) => is_named || skipped(),
                (false, false) => !is_again && (is_named || skipped()),
            };
            if counts {
                due.push(Timestamp::from_second(utc * 60).unwrap());
            }
            furthest = furthest.max(*wall);
        }
        due
    }
}

/// Each minute of UTC of two years, with the minute of the wall clock. No zone of today changes within a quarter of an
/// hour.
fn walls(zone: &TimeZone) -> Vec<(i64, i64)> {
    let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let first = first.as_second() / 60;
    let quarters = (0..731 * 24 * 4).map(|quarter| first + quarter * 15);
    quarters
        .flat_map(|quarter| {
            let offset = zone.to_offset(Timestamp::from_second(quarter * 60).unwrap()).seconds() / 60;
            (quarter..quarter + 15).map(move |utc| (utc, utc + i64::from(offset)))
        })
        .collect()
}

#[test]
fn every_due_time_of_two_years_is_that_of_a_walk_over_all_minutes_in_each_zone() {
    let mut seen = 0;
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let walls = walls(&zone);
        let (begin, end) = (walls[0].0 * 60, walls.last().unwrap().0 * 60);
        let (begin, end) = (Timestamp::from_second(begin - 1).unwrap(), Timestamp::from_second(end).unwrap());
        let changes = zone.following(begin).map(|change| change.timestamp());
        let of_zone: Vec<_> = changes.take_while(|change| *change < end).collect();
        seen += of_zone.len();
        for text in EXPRESSIONS {
            let cron: Cron = text.parse().unwrap();
            let expected = Oracle::new(text).walk(&walls);
            // Each step within two days of a change of the clock, and one of a hundred elsewhere.
            let near = |at: &Timestamp| of_zone.iter().any(|change| change.duration_since(*at).as_hours().abs() < 48);
            for (number, at) in expected.iter().enumerate().filter(|(number, at)| number % 100 == 0 || near(at)) {
                let before = if number == 0 { begin } else { expected[number - 1] };
                assert_eq!(next(&cron, &zone, before), Some(*at), "{name} {text}");
                let just_before = *at - jiff::SignedDuration::from_micros(1);
                assert_eq!(next(&cron, &zone, just_before), Some(*at), "{name} {text}");
            }
            assert_eq!(latest(&cron, &zone, begin, end, usize::MAX), expected, "{name} {text}");
            for most in [1, 1000] {
                let last = &expected[expected.len().saturating_sub(most)..];
                assert_eq!(latest(&cron, &zone, begin, end, most), last, "{name} {text}");
            }
        }
    }
    assert!(seen >= 16, "the zones change their clocks: {seen}");
}

/// The due times of a day in Vienna, as the clock there shows them.
fn of_day(text: &str, day: &str) -> Vec<String> {
    let (cron, zone): (Cron, _) = (text.parse().unwrap(), TimeZone::get("Europe/Vienna").unwrap());
    let date: Date = day.parse().unwrap();
    let [begin, end] = [date, date.tomorrow().unwrap()].map(|date| date.to_zoned(zone.clone()).unwrap().timestamp());
    let begin = begin - jiff::SignedDuration::from_secs(1);
    let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%H:%M %:z").to_string();
    latest(&cron, &zone, begin, end - jiff::SignedDuration::from_secs(1), 1000).into_iter().map(shown).collect()
}

#[test]
fn a_time_that_does_not_exist_comes_once_after_the_gap_and_one_that_comes_twice_counts_once() {
    assert_eq!(of_day("30 2 * * *", "2026-03-29"), ["03:00 +02:00"]);
    assert_eq!(of_day("0,20,40 2 * * *", "2026-03-29"), ["03:00 +02:00"]);
    assert_eq!(of_day("30 2,4 * * *", "2026-03-29"), ["03:00 +02:00", "04:30 +02:00"]);
    assert_eq!(of_day("30 2 * * *", "2026-10-25"), ["02:30 +02:00"]);
    assert_eq!(of_day("0 3 * * *", "2026-10-25"), ["03:00 +01:00"]);
}

#[test]
fn intervals_go_by_real_time_when_the_clock_changes() {
    let quarters = |day| of_day("*/15 * * * *", day).len();
    assert_eq!((quarters("2026-03-28"), quarters("2026-03-29"), quarters("2026-10-25")), (96, 92, 100));
    assert_eq!(of_day("30 * * * *", "2026-03-29")[1..3], ["01:30 +01:00", "03:30 +02:00"]);
    assert_eq!(of_day("*/30 2 * * *", "2026-10-25"), ["02:00 +02:00", "02:30 +02:00", "02:00 +01:00", "02:30 +01:00"]);
    assert_eq!(of_day("*/30 2 * * *", "2026-03-29"), ["03:00 +02:00"]);
}

#[test]
fn a_day_that_a_zone_leaves_out_comes_after_it_and_the_ends_of_time_end_the_search() {
    let zone = TimeZone::get("Pacific/Apia").unwrap();
    let cron: Cron = "0 12 30 12 *".parse().unwrap();
    let after = "2011-12-29T00:00:00Z".parse().unwrap();
    assert_eq!(next(&cron, &zone, after).unwrap().to_zoned(zone.clone()).datetime().to_string(), "2011-12-31T00:00:00");
    for at in [Timestamp::MIN, Timestamp::MAX] {
        let _ = next(&cron, &zone, at);
        let _ = latest(&cron, &zone, Timestamp::MIN, at, 5);
    }
    assert_eq!(next(&cron, &zone, Timestamp::MAX), None);
}
