//! A length of time as people type and read it: `10m`, `2 hours`, `1d 12h`.

use std::time::Duration;

#[cfg(feature = "cli")]
use jiff::Timestamp;

use crate::error::{Error, Result};

/// The units, longest first: the letter that is shown, its other names, and its seconds.
const UNITS: [(&str, &[&str], u64); 5] = [
    ("w", &["week", "weeks"], 7 * 24 * 60 * 60),
    ("d", &["day", "days"], 24 * 60 * 60),
    ("h", &["hr", "hrs", "hour", "hours"], 60 * 60),
    ("m", &["min", "mins", "minute", "minutes"], 60),
    ("s", &["sec", "secs", "second", "seconds"], 1),
];

/// Reads `10m`, `2 hours`, `1d 12h` or `90s`: whole numbers, each with a unit, longest unit first or not.
///
/// # Errors
///
/// `Invalid` when there is no number, a number has no unit, a unit is unknown, or the sum is too large.
pub(crate) fn parse(text: &str) -> Result<Duration> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(wrong(text));
    }
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit());
        let (unit, behind) = split(behind.trim_start(), |c| c.is_ascii_alphabetic());
        let number: u64 = number.parse().map_err(|_| wrong(text))?;
        let length = seconds_of(unit).ok_or_else(|| wrong(text))?;
        seconds = number.checked_mul(length).and_then(|part| seconds.checked_add(part)).ok_or_else(|| wrong(text))?;
        rest = behind.trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// How long after `from` it is at `to`; nothing when that is before it.
#[cfg(feature = "cli")]
pub(crate) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Writes whole seconds in the fewest letters: `90s`, `10m`, `1d 12h`. What is less than a second is left out.
pub(crate) fn show(age: Duration) -> String {
    let mut rest = age.as_secs();
    let mut parts = Vec::new();
    for (letter, _, length) in UNITS.into_iter().filter(|(letter, ..)| *letter != "w") {
        if rest >= length {
            parts.push(format!("{}{letter}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// The characters at the head that are so, and what follows them.
fn split(text: &str, so: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !so(c)).unwrap_or(text.len()))
}

fn seconds_of(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    UNITS
        .iter()
        .find(|(letter, names, _)| *letter == unit || names.contains(&unit.as_str()))
        .map(|(.., length)| *length)
}

fn wrong(text: &str) -> Error {
    Error::invalid(format!("a length of time is written like 30s, 10m, 2h, 1d 12h or 1w: text={}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_by_each_of_its_names() {
        for (letter, names, seconds) in UNITS {
            for name in names.iter().chain([&letter]) {
                for text in [format!("3{name}"), format!("3 {name}"), format!(" 3 {} ", name.to_uppercase())] {
                    assert_eq!(parse(&text).unwrap(), Duration::from_secs(3 * seconds), "{text}");
                }
            }
        }
        assert_eq!(parse("1d 12h").unwrap(), parse("36h").unwrap());
        assert_eq!(parse("1d12h").unwrap(), parse("36h").unwrap());
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_with_an_example() {
        for text in ["", " ", "10", "m", "10x", "-1h", "1.5h", "1h ago", "99999999999999999999s", "99999999999999999w"]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("a length of time is written like 30s, 10m, 2h"), "{error}");
        }
    }

    #[test]
    fn a_length_is_shown_in_the_fewest_letters() {
        for text in ["0s", "1s", "10m", "1h 30m", "7d", "1d 12h"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(Duration::from_millis(999)), "0s");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in any::<u64>()) {
            prop_assert_eq!(parse(&show(Duration::from_secs(seconds))).unwrap(), Duration::from_secs(seconds));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
