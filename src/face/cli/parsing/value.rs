//! Types of durations, counts and integers, for options, the environment and the settings file.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::duration;
use crate::text::is_hidden;
use crate::{Error, Result};

/// A duration, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(in crate::face::cli) struct Span(pub(in crate::face::cli) Option<Duration>);

/// An integer, or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(in crate::face::cli) struct Count(pub(in crate::face::cli) Option<u64>);

/// An integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(in crate::face::cli) struct Whole(pub(in crate::face::cli) u64);

/// In a file an integer may be written without quotes.
pub(in crate::face::cli) enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl Visitor<'_> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a string")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Written, E> {
        Ok(Written::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
        // A negative one is refused as its text, in the words of the value.
        Ok(u64::try_from(number).map_or_else(|_| Written::Text(number.to_string()), Written::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.to_owned()))
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "off" { Ok(Self(None)) } else { duration::parse(text).map(|span| Self(Some(span))) }
    }
}

impl FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |_| Error::invalid(format!("must be a non-negative integer, or off: text={}", text.escape_debug()));
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|count| Self(Some(count))).map_err(wrong) }
    }
}

impl FromStr for Whole {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |_| Error::invalid(format!("must be a non-negative integer: text={}", text.escape_debug()));
        text.parse().map(Self).map_err(wrong)
    }
}

/// Accepts an integer with or without quotes.
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
    // As nearly everywhere, a duration without a unit is in seconds.
    Span(number) => Self(Some(Duration::from_secs(number)));
    Count(number) => Self(Some(number));
    Whole(number) => Self(number);
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or("off".to_owned(), duration::exact))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or("off".to_owned(), |count| count.to_string()))
    }
}

/// A string of TOML, in which invisible characters are escaped.
pub(in crate::face::cli) fn toml_text(text: impl fmt::Display) -> String {
    let escaped = |c: char| match u32::from(c) {
        _ if matches!(c, '"' | '\\') => format!("\\{c}"),
        code @ 0x1_0000.. if is_hidden(c) => format!("\\U{code:08X}"),
        code if is_hidden(c) => format!("\\u{code:04X}"),
        _ => c.to_string(),
    };
    format!("\"{}\"", text.to_string().chars().map(escaped).collect::<String>())
}

/// An array of strings of TOML.
pub(in crate::face::cli) fn toml_texts(texts: impl IntoIterator<Item = impl fmt::Display>) -> String {
    format!("[{}]", texts.into_iter().map(toml_text).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_durations_and_counts_can_be_parsed() {
        for text in ["off", "10m", "1d 12h", "1s 500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["off", "0", "100"] {
            assert_eq!(text.parse::<Count>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn invalid_durations_and_counts_are_refused() {
        assert!("-1".parse::<Count>().is_err() && "10".parse::<Span>().is_err() && "off".parse::<Whole>().is_err());
    }
}
