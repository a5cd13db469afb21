//! A length of time as people type and read it: `10m`, `2 hours`, `1d 12h`, `500ms`.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use hivekeep::duration;
//!
//! let length = duration::parse("1 hour 30m")?;
//! assert_eq!(length, Duration::from_secs(5_400));
//! assert_eq!(duration::show(length), "1h 30m");
//! # Ok::<(), hivekeep::Error>(())
//! ```

use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};

/// The units, longest first: the letter that is shown, its other names, and its milliseconds.
const UNITS: [(&str, &[&str], u128); 6] = [
    ("w", &["week", "weeks"], 7 * 24 * 60 * 60 * 1_000),
    ("d", &["day", "days"], 24 * 60 * 60 * 1_000),
    ("h", &["hr", "hrs", "hour", "hours"], 60 * 60 * 1_000),
    ("m", &["min", "mins", "minute", "minutes"], 60 * 1_000),
    ("s", &["sec", "secs", "second", "seconds"], 1_000),
    ("ms", &["msec", "msecs", "millisecond", "milliseconds"], 1),
];

/// Reads `10m`, `2 hours`, `1d 12h`, `90s` or `500ms`: whole numbers, each with a unit, longest unit first or not.
///
/// # Errors
///
/// `Invalid` when there is no number, a number has no unit, a unit is unknown, or the sum is too large.
pub fn parse(text: &str) -> Result<Duration> {
    let mut rest = text.trim();
    let mut millis: u128 = 0;
    if rest.is_empty() {
        return Err(wrong(text));
    }
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit());
        let (unit, behind) = split(behind.trim_start(), |c| c.is_ascii_alphabetic());
        let number: u64 = number.parse().map_err(|_| wrong(text))?;
        let length = millis_of(unit).ok_or_else(|| wrong(text))?;
        millis =
            length.checked_mul(number.into()).and_then(|part| millis.checked_add(part)).ok_or_else(|| wrong(text))?;
        rest = behind.trim_start();
    }
    length(millis).ok_or_else(|| wrong(text))
}

/// A number of milliseconds, if that is not too long.
fn length(millis: u128) -> Option<Duration> {
    let seconds = Duration::from_secs(u64::try_from(millis / 1_000).ok()?);
    seconds.checked_add(Duration::from_millis(u64::try_from(millis % 1_000).ok()?))
}

/// How long after `from` it is at `to`; zero when `to` is before `from`.
pub fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Writes whole seconds in the fewest letters: `90s`, `10m`, `1d 12h`. Fractions of a second are left out.
pub fn show(age: Duration) -> String {
    exact(Duration::from_secs(age.as_secs()))
}

/// The same to the millisecond, so that the text of a setting can be parsed to the same duration.
pub fn exact(age: Duration) -> String {
    let mut rest = age.as_millis();
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

fn millis_of(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    UNITS
        .iter()
        .find(|(letter, names, _)| *letter == unit || names.contains(&unit.as_str()))
        .map(|(.., length)| *length)
}

fn wrong(text: &str) -> Error {
    Error::invalid(format!(
        "a length of time is written like 30s, 10m, 2h, 1d 12h, 1w or 500ms: text={}",
        text.escape_debug()
    ))
}

/// For `#[serde(with = "duration::stored")]`: milliseconds in the store, `10m` for people.
pub(crate) mod stored {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(age: &Duration, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&super::exact(*age))
        } else {
            u64::try_from(age.as_millis()).unwrap_or(u64::MAX).serialize(to)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        if from.is_human_readable() {
            super::parse(&String::deserialize(from)?).map_err(D::Error::custom)
        } else {
            Ok(Duration::from_millis(u64::deserialize(from)?))
        }
    }

    /// The same for a length that may be absent.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        struct Age(#[serde(with = "super")] Duration);

        pub(crate) fn serialize<S: Serializer>(age: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
            age.map(Age).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<Age>::deserialize(from)?.map(|age| age.0))
        }
    }
}

/// For `#[serde(with = "duration::option")]`: a length as [`exact`] writes it for people, milliseconds in the store.
pub(crate) mod option {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a length.
    ///
    /// # Errors
    ///
    /// As the serializer.
    pub(crate) fn serialize<S: Serializer>(length: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            length.map(super::exact).serialize(to)
        } else {
            length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)).serialize(to)
        }
    }

    /// Reads a length.
    ///
    /// # Errors
    ///
    /// When it is none, and as the deserializer.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        if from.is_human_readable() {
            let text: Option<String> = Option::deserialize(from)?;
            text.map(|text| super::parse(&text).map_err(D::Error::custom)).transpose()
        } else {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read_by_each_of_its_names() {
        for (letter, names, millis) in UNITS {
            for name in names.iter().chain([&letter]) {
                for text in [format!("3{name}"), format!("3 {name}"), format!(" 3 {} ", name.to_uppercase())] {
                    assert_eq!(parse(&text).unwrap(), length(3 * millis).unwrap(), "{text}");
                }
            }
        }
        assert_eq!(parse("1d 12h").unwrap(), parse("36h").unwrap());
        assert_eq!(parse("1d12h").unwrap(), parse("36h").unwrap());
        assert_eq!(parse("1s 500ms").unwrap(), Duration::from_millis(1_500));
    }

    #[test]
    fn a_text_that_is_no_duration_is_refused_with_an_example() {
        for text in
            ["", " ", "10", "m", "10x", "-1h", "1.5h", "1h ago", "99999999999999999999s", "99999999999999999w", "1.5ms"]
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
        assert_eq!(exact(Duration::from_millis(61_500)), "1m 1s 500ms");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in any::<u64>(), millis in 0u64..1_000) {
            let age = Duration::from_secs(seconds) + Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(age)).unwrap(), Duration::from_secs(seconds));
            prop_assert_eq!(parse(&exact(age)).unwrap(), age);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
