//! The ways to name a restore point. [`resolve`](crate::recovery::points::resolve) finds the named point.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Timestamp, civil};

use crate::clock::{self, parse_time};
use crate::duration;
use crate::engine::epoch::Epoch;
use crate::error::{Error, Result};

/// The least length of a prefix of an id. A shorter one is more often a typing error than a name.
const ID_PREFIX_MIN: usize = 4;
/// A UUID with its four dashes.
const ID_MAX: usize = 36;
/// The places of these dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];
/// The accepted forms, for error messages.
const FORMS: &str = "latest, latest~3, an id or its first characters, a time such as 2026-01-02T03:04:05Z, or 10m ago";

/// The name of a restore point: `now`, `latest`, `latest~3`, an id or a unique prefix of one, a time, or `10m ago`.
///
/// `latest` and `latest~N` count manual and automatic points of live state. A time names the newest of them at or
/// before it. Other points are named by id.
///
/// # Examples
///
/// ```
/// use hivekeep::Selector;
///
/// let selector: Selector = "latest~3".parse()?;
/// assert_eq!(selector, Selector::Latest(3));
/// assert_eq!("2 hours ago".parse::<Selector>()?.to_string(), "2h ago");
/// assert!("2026-01-02 03:04".parse::<Selector>().unwrap_err().to_string().contains("2026-01-02T03:04:00Z"));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The present state.
    Now,
    /// The newest point, or the one this many points before it.
    Latest(u64),
    /// The point with that id, or the only one whose id begins with it.
    Id(String),
    /// The newest point at or before that time.
    At(Timestamp),
    /// The newest point at or before this long ago.
    Ago(Duration),
    /// The point that sealed that epoch, including points of single commits: `epoch 7`.
    Epoch(Epoch),
}

impl FromStr for Selector {
    type Err = Error;

    /// Parses a selector.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the accepted forms, or with the missing part. A time without an offset is refused, because its
    /// hour is unknown.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if lower == "now" {
            Ok(Self::Now)
        } else if let Some(back) = lower.strip_prefix("latest") {
            read_latest(back, text)
        } else if let Some(age) = lower.strip_suffix("ago").filter(|age| age.ends_with(char::is_whitespace)) {
            duration::parse(age).map(Self::Ago)
        } else if let Some(number) = lower.strip_prefix("epoch ") {
            number.trim().parse().map(|number| Self::Epoch(Epoch(number))).map_err(|_| wrong(text))
        } else if is_id_prefix(&lower) {
            read_id(lower)
        } else {
            read_time(text)
        }
    }
}

fn read_latest(back: &str, text: &str) -> Result<Selector> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = match back.strip_prefix('~') {
        None => back.is_empty().then_some(0),
        Some(number) => digits(number).then(|| number.parse().ok()).flatten(),
    };
    number.map(Selector::Latest).ok_or_else(|| wrong(text))
}

fn read_id(id: String) -> Result<Selector> {
    if id.len() < ID_PREFIX_MIN {
        return Err(Error::invalid(format!("type at least {ID_PREFIX_MIN} characters of an id: id={id}")));
    }
    Ok(Selector::Id(id))
}

fn read_time(text: &str) -> Result<Selector> {
    if let Ok(time) = parse_time(text) {
        return Ok(Selector::At(time));
    }
    match text.parse::<civil::DateTime>() {
        Ok(time) => Err(Error::invalid(format!(
            "a time needs its offset from UTC; for UTC write {time}Z: time={}",
            text.escape_debug()
        ))),
        Err(_) => Err(wrong(text)),
    }
}

/// Whether these lower-case characters can begin a UUID. The first dash of a date is elsewhere.
fn is_id_prefix(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| {
        if DASHES.contains(&at) && byte == b'-' { true } else { byte.is_ascii_hexdigit() }
    };
    !text.is_empty() && text.len() <= ID_MAX && text.bytes().enumerate().all(fits)
}

fn wrong(text: &str) -> Error {
    Error::invalid(format!(
        "this names no restore point; use {FORMS}, and now for the present: text={}",
        text.escape_debug()
    ))
}

impl Selector {
    /// The time that it names: that of [`At`](Self::At), or a length of time before `now`.
    pub fn time(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(*time),
            Self::Ago(age) => Some(clock::before(now, *age)),
            _ => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Id(id) => f.write_str(id),
            Self::At(time) => f.write_str(&clock::show_time(*time)),
            Self::Ago(age) => write!(f, "{} ago", duration::exact(*age)),
            Self::Epoch(epoch) => write!(f, "epoch {}", epoch.0),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    pub(in crate::recovery::points) const NOON: &str = "2026-01-02T12:00:00Z";

    pub(in crate::recovery::points) fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(in crate::recovery::points) fn select(text: &str) -> Selector {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_form_is_parsed_in_any_case_and_prints_in_the_form_that_is_parsed() {
        let forms = [
            ("now", Selector::Now),
            ("latest", Selector::Latest(0)),
            ("latest~3", Selector::Latest(3)),
            ("cafe", Selector::Id("cafe".into())),
            ("20260102", Selector::Id("20260102".into())),
            ("67006b98-460f-425f-ac8d-c624ce4b9dc0", Selector::Id("67006b98-460f-425f-ac8d-c624ce4b9dc0".into())),
            ("2026-01-02T12:00:00.000000+00:00", Selector::At(time(NOON))),
            ("1h 30m ago", Selector::Ago(Duration::from_secs(5400))),
            ("epoch 7", Selector::Epoch(Epoch(7))),
        ];
        for (text, selector) in forms {
            assert_eq!(select(text), selector);
            assert_eq!(select(&format!(" {} ", text.to_uppercase())), selector);
            assert_eq!(selector.to_string(), text);
        }
    }

    #[test]
    fn a_time_is_parsed_with_any_offset() {
        for text in ["2026-01-02T12:00:00Z", "2026-01-02 12:00Z", "2026-01-02T14:00:00+02:00", "2026-01-02T07:00-05:00"]
        {
            assert_eq!(select(text), Selector::At(time(NOON)), "{text}");
        }
    }

    #[test]
    fn the_end_of_time_names_the_newest_point() {
        assert_eq!(select("9999-12-31T23:59:59Z"), Selector::At(clock::as_stored(Timestamp::MAX)));
    }

    #[test]
    fn a_time_without_an_offset_is_refused_with_the_text_to_type() {
        let refusal = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        assert_eq!(
            refusal("2026-01-02 03:04:05"),
            "a time needs its offset from UTC; for UTC write 2026-01-02T03:04:05Z: time=2026-01-02 03:04:05"
        );
        assert_eq!(
            refusal("2026-01-02"),
            "a time needs its offset from UTC; for UTC write 2026-01-02T00:00:00Z: time=2026-01-02"
        );
    }

    #[test]
    fn a_text_that_names_no_point_is_refused_with_the_accepted_forms() {
        let hostile = [
            "",
            "yesterday",
            "latest~",
            "latest~-1",
            "latest~+1",
            "latest3",
            "chicago",
            "10m",
            "\u{0}",
            "latest~é",
            "é ago",
            "epoch",
            "epoch -1",
            "epoch seven",
        ];
        for text in hostile.into_iter().chain(["latest~99999999999999999999", "2026-13-01T00:00:00Z"]) {
            let error = text.parse::<Selector>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
        assert_eq!(
            "yesterday".parse::<Selector>().unwrap_err().to_string(),
            "this names no restore point; use latest, latest~3, an id or its first characters, a time such as \
             2026-01-02T03:04:05Z, or 10m ago, and now for the present: text=yesterday"
        );
        assert_eq!("abc".parse::<Selector>().unwrap_err().to_string(), "type at least 4 characters of an id: id=abc");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Selector>();
        }

        #[test]
        fn a_printed_selector_is_parsed_again(form in 0..6, number in any::<u64>(), second in -62135596800..=253402207200i64) {
            let selector = match form {
                0 => Selector::Now,
                1 => Selector::Latest(number),
                2 => Selector::Id(format!("{number:04x}")),
                3 => Selector::At(Timestamp::from_second(second).unwrap()),
                4 => Selector::Ago(Duration::from_secs(number)),
                _ => Selector::Epoch(Epoch(number)),
            };
            prop_assert_eq!(select(&selector.to_string()), selector);
        }
    }
}
