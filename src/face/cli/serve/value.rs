//! How lengths of time, counts and sizes are written, in options, the environment and the file alike.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::recovery::age;

/// A length of time, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Option<Duration>);

/// A number, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Count(pub(super) Option<u64>);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Size(pub(super) u64);

/// In a file a number may stand without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

/// The units of sizes, largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "off" { Ok(Self(None)) } else { age::parse(text).map(|span| Self(Some(span))) }
    }
}

impl FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |_| Error::invalid(format!("a count is a whole number, or off: text={}", text.escape_debug()));
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|count| Self(Some(count))).map_err(wrong) }
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid(format!("a size is written like 64MiB, 1GiB or 4096: text={}", text.escape_debug()));
        let unit = UNITS.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let (number, unit) = unit.unwrap_or((text, 1));
        let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// Lets a number be written with quotes or without.
macro_rules! written {
    ($($value:ident($number:ident) => $made:expr;)*) => {$(
        impl TryFrom<Written> for $value {
            type Error = Error;

            fn try_from(written: Written) -> Result<Self> {
                match written {
                    Written::Number($number) => Ok($made),
                    Written::Text(text) => text.parse(),
                }
            }
        }
    )*};
}

written! {
    Count(number) => Self(Some(number));
    Size(number) => Self(number);
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or("off".to_owned(), age::exact))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or("off".to_owned(), |count| count.to_string()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.into_iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["off", "10m", "1d 12h", "1s 500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["off", "0", "100"] {
            assert_eq!(text.parse::<Count>().unwrap().to_string(), text);
        }
        for text in ["64MiB", "1GiB", "1000", "3KiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        assert_eq!(
            "64MB".parse::<Size>().unwrap_err().to_string(),
            "a size is written like 64MiB, 1GiB or 4096: text=64MB"
        );
        assert!("99999999999GiB".parse::<Size>().is_err());
        assert!("-1".parse::<Count>().is_err() && "10".parse::<Span>().is_err());
    }
}
