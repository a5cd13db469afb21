//! The five fields of a crontab: which minutes of which days they name. `calendar` says at
//! which moments these minutes come.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};

use crate::error::{Error, Result};
use crate::text::printable;

/// The longest text that is read.
const TEXT_BYTES: usize = 200;
/// The day of any expression that comes at all comes within this many years: 29 February of a given weekday may take
/// 40, where a year such as 2100 has none.
const YEARS: i16 = 41;

/// The names that stand for five fields.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression: minute, hour, day of the month, month and day of the week, such as `0 3 * * *`. Each field is
/// `*`, a number, a range `1-5`, steps `*/10` or `8-18/2`, or a list of these with commas. Months and days of the week
/// have their English names too, and 7 is Sunday as well. If the day of the month and the day of the week are both
/// restricted, either is enough. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` stand for five fields.
///
/// # Examples
///
/// ```
/// use hivekeep::Cron;
///
/// let weekdays: Cron = "*/15 8-18 * * mon-fri".parse()?;
/// assert_eq!(weekdays.to_string(), "*/15 8-18 * * mon-fri");
/// assert!("0 0 30 2 *".parse::<Cron>().is_err());
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// A field: the numbers that it names, and whether it begins with `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    numbers: u64,
    is_any: bool,
}

/// The numbers and names that a field may have.
struct Rule {
    what: &'static str,
    first: u8,
    last: u8,
    names: &'static [&'static str],
}

const RULES: [Rule; 5] = [
    Rule { what: "minute", first: 0, last: 59, names: &[] },
    Rule { what: "hour", first: 0, last: 23, names: &[] },
    Rule { what: "day of the month", first: 1, last: 31, names: &[] },
    Rule { what: "month", first: 1, last: 12, names: &MONTHS },
    Rule { what: "day of the week", first: 0, last: 7, names: &WEEKDAYS },
];

impl Field {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.numbers >> number & 1 == 1)
    }
}

impl Cron {
    /// Whether the hours begin with `*`: then it goes by the minutes that really come.
    pub(super) fn is_of_any_hour(&self) -> bool {
        self.hours.is_any
    }

    /// Whether minutes or hours begin with `*`: then a minute that comes twice counts twice.
    pub(super) fn is_of_intervals(&self) -> bool {
        self.minutes.is_any || self.hours.is_any
    }

    /// The times of a day that it names, in order, if it names that day.
    pub(super) fn times(&self) -> impl DoubleEndedIterator<Item = Time> {
        let minutes = move |hour| (0..60).filter_map(move |minute| Time::new(hour, minute, 0, 0).ok());
        (0..24).filter(|hour| self.hours.has(*hour)).flat_map(minutes).filter(|time| self.minutes.has(time.minute()))
    }

    /// Whether it names that day.
    pub(super) fn has_day(&self, date: Date) -> bool {
        if !self.months.has(date.month()) {
            return false;
        }
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.days.is_any || self.weekdays.is_any { day && weekday } else { day || weekday }
    }

    /// The days that it names from that one on, as far as one can be.
    pub(super) fn days_from(&self, first: Date) -> impl Iterator<Item = Date> + '_ {
        let last_year = first.year().saturating_add(YEARS);
        let days = std::iter::successors(Some(first), |date| {
            if self.months.has(date.month()) { date.tomorrow().ok() } else { date.last_of_month().tomorrow().ok() }
        });
        days.take_while(move |date| date.year() <= last_year).filter(|date| self.has_day(*date))
    }

    /// The days that it names from that one back, as far as one can be.
    pub(super) fn days_back_from(&self, last: Date) -> impl Iterator<Item = Date> + '_ {
        let first_year = last.year().saturating_sub(YEARS);
        let days = std::iter::successors(Some(last), |date| {
            if self.months.has(date.month()) { date.yesterday().ok() } else { date.first_of_month().yesterday().ok() }
        });
        days.take_while(move |date| date.year() >= first_year).filter(|date| self.has_day(*date))
    }
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() > TEXT_BYTES {
            let bytes = text.len();
            return Err(Error::invalid(format!("a cron expression is too long: bytes={bytes} max={TEXT_BYTES}")));
        }
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let nickname = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        let fields: Vec<_> = nickname.map_or(text.as_str(), |(_, fields)| fields).split(' ').collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return Err(not_five(&text)) };
        let [of_minutes, of_hours, of_days, of_months, of_weekdays] = &RULES;
        let mut weekdays = of_weekdays.read(weekdays)?;
        // Sunday is 0 and 7.
        weekdays.numbers |= weekdays.numbers >> 7 & 1;
        let cron = Self {
            minutes: of_minutes.read(minutes)?,
            hours: of_hours.read(hours)?,
            days: of_days.read(days)?,
            months: of_months.read(months)?,
            weekdays,
            text,
        };
        if cron.days_from(Date::constant(2001, 1, 1)).next().is_none() {
            let shown = printable(&cron.text);
            return Err(Error::invalid(format!("the day never comes; name another month or day: cron={shown}")));
        }
        Ok(cron)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Rule {
    fn read(&self, text: &str) -> Result<Field> {
        let mut numbers = 0;
        for part in text.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let step = step.map_or(Some(1), |step| number(step).filter(|step| *step > 0));
            let step = step.ok_or_else(|| self.wrong(part))?;
            let (first, last) = self.range(range, part.len() > range.len()).ok_or_else(|| self.wrong(part))?;
            (first..=last).step_by(step.into()).for_each(|number| numbers |= 1 << number);
        }
        Ok(Field { numbers, is_any: text.starts_with('*') })
    }

    /// The first and the last number of a range. A single number with steps goes to the end.
    fn range(&self, text: &str, has_steps: bool) -> Option<(u8, u8)> {
        // Only one of the two Sundays, so that steps count from the first.
        let last = if self.names.len() == WEEKDAYS.len() { 6 } else { self.last };
        if text == "*" {
            return Some((self.first, last));
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None => (self.number(text)?, if has_steps { last } else { self.number(text)? }),
        };
        (first <= last).then_some((first, last))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u8::try_from(at).ok()).map(|at| at + self.first);
        named.or_else(|| number(text)).filter(|number| (self.first..=self.last).contains(number))
    }

    fn wrong(&self, part: &str) -> Error {
        let Self { what, first, last, .. } = self;
        Error::invalid(format!(
            "a {what} of a cron expression is *, a number from {first} to {last}, a range such as {first}-{last}, or steps \
             such as */2: part={}",
            printable(part)
        ))
    }
}

/// A number of at most two digits.
fn number(text: &str) -> Option<u8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn not_five(text: &str) -> Error {
    Error::invalid(format!(
        "a cron expression has five fields: minute, hour, day of the month, month, day of the week, such as 0 3 * * *: \
         cron={}",
        printable(text)
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cron(text: &str) -> Cron {
        text.parse().unwrap()
    }

    fn named(field: Field) -> Vec<u8> {
        (0..64).filter(|number| field.numbers >> number & 1 == 1).collect()
    }

    #[test]
    fn each_form_of_a_field_names_its_numbers() {
        assert_eq!(named(cron("*/20 * * * *").minutes), [0, 20, 40]);
        assert_eq!(named(cron("5 8-18/5,23 * * *").hours), [8, 13, 18, 23]);
        assert_eq!(named(cron("50/4 * * * *").minutes), [50, 54, 58]);
        assert_eq!(named(cron("0 0 1,15 * *").days), [1, 15]);
        assert_eq!(named(cron("0 0 1 JAN,mar-May *").months), [1, 3, 4, 5]);
        assert_eq!(named(cron("0 0 * * sat,7").weekdays), [0, 6, 7]);
        assert_eq!(named(cron("0 0 * * */2").weekdays), [0, 2, 4, 6]);
        assert_eq!(cron(" @Daily ").to_string(), "@Daily");
        assert_eq!(cron("0   3 * *\t*").to_string(), "0 3 * * *");
    }

    #[test]
    fn a_day_of_the_month_or_of_the_week_is_enough_if_both_are_restricted() {
        let days = |text: &str| -> Vec<i8> {
            cron(text).days_from(Date::constant(2026, 11, 1)).take_while(|d| d.month() == 11).map(|d| d.day()).collect()
        };
        assert_eq!(days("0 0 13 * fri"), [6, 13, 20, 27]);
        assert_eq!(days("0 0 */10 * sun"), [1]);
        assert_eq!(days("0 0 13 * */5"), [13], "the 13th is a Friday");
        assert_eq!(days("0 0 13,14 * *"), [13, 14]);
    }

    #[test]
    fn an_expression_that_is_wrong_or_never_comes_is_refused_and_the_message_says_why() {
        for (text, message) in [
            ("", "five fields"),
            ("* * * *", "five fields"),
            ("* * * * * *", "five fields"),
            ("60 * * * *", "a minute of a cron expression is *, a number from 0 to 59"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of the month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of the week"),
            ("5-1 * * * *", "part=5-1"),
            ("*/0 * * * *", "part=*/0"),
            ("1,,2 * * * *", "minute"),
            ("+1 * * * *", "part=+1"),
            ("*5 * * * *", "part=*5"),
            ("0 0 30 2 *", "the day never comes; name another month or day: cron=0 0 30 2 *"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            ("@reboot", "five fields"),
        ] {
            let error = text.parse::<Cron>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        for text in ["0 0 29 2 *", "0 0 29 2 */6", "0 0 31 */2 *"] {
            assert!(text.parse::<Cron>().is_ok(), "{text}");
        }
        assert!(" ".repeat(TEXT_BYTES + 1).parse::<Cron>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_hang(text in "[-0-9*/, a-z@\u{e4}\t]{0,210}") {
            let _ = text.parse::<Cron>();
        }

        #[test]
        fn fields_of_any_parts_are_read_or_refused(
            fields in prop::collection::vec("([0-9]{1,3}|\\*)(-[0-9]{1,2})?(/[0-9]{1,2})?(,[0-9]{1,2})?", 5)
        ) {
            let text = fields.join(" ");
            if let Ok(cron) = text.parse::<Cron>() {
                prop_assert_eq!(cron.to_string().parse::<Cron>().unwrap(), cron.clone());
                prop_assert!(cron.days_from(Date::constant(2026, 1, 1)).next().is_some());
                prop_assert!(cron.times().next().is_some());
            }
        }
    }
}
