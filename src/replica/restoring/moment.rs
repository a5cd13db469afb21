//! The moment to which a replica is restored.

use std::fmt;
use std::str::FromStr;

use jiff::{Timestamp, civil};

use crate::clock::{Clock as _, SystemClock, show_time};
use crate::error::{Error, Result};
use crate::limits;
use crate::recovery::points::selector::Selector;
use crate::replica::terms::rules::broken;

/// The length of the id of a restore point.
const WHOLE_ID: usize = 36;
/// The accepted forms, for error messages.
const FORMS: &str =
    "newest, a time such as 2026-01-02T03:04:05Z, 10m ago, the whole id of a restore point, or sequence 4711";

/// The moment to which a replica is restored.
///
/// # Examples
///
/// ```
/// use hivekeep::ReplicaMoment;
///
/// let moment = |text: &str| text.parse::<ReplicaMoment>();
/// assert_eq!(moment("newest")?, ReplicaMoment::Newest);
/// assert_eq!(moment("sequence 4711")?, ReplicaMoment::Sequence(4711));
/// assert_eq!(moment("epoch 7")?, ReplicaMoment::Epoch(7));
/// assert!(matches!(moment("2026-01-02T03:04:05Z")?, ReplicaMoment::Time(_)));
/// assert!(matches!(moment("10m ago")?, ReplicaMoment::Time(_)));
/// assert!(moment("2026-01-02 03:04").unwrap_err().to_string().contains("2026-01-02T03:04:00Z"));
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaMoment {
    /// The newest state in the replica.
    #[default]
    Newest,
    /// Behind the last commit that was made at this time or before.
    Time(Timestamp),
    /// Behind the last commit with this number or a lower one.
    Sequence(u64),
    /// Behind the commit that made the restore point of this id.
    Point(String),
    /// Behind the commit that sealed this epoch as a point.
    Epoch(u64),
}

impl ReplicaMoment {
    /// Whether it is that of a restore point.
    pub(super) fn is_point(&self) -> bool {
        matches!(self, Self::Point(_) | Self::Epoch(_))
    }

    /// Whether a state is behind it. Only a search tells that of a restore point.
    pub(in crate::replica) fn is_before(&self, sequence: u64, time: Timestamp) -> bool {
        match self {
            Self::Newest | Self::Point(_) | Self::Epoch(_) => false,
            Self::Time(moment) => time > *moment,
            Self::Sequence(last) => sequence > *last,
        }
    }

    /// Whether the state at the end of the log, which is not behind it, is that of the moment.
    pub(super) fn is_reached(&self, sequence: u64) -> bool {
        match self {
            Self::Newest => true,
            Self::Sequence(last) => *last == sequence,
            // L5: commits before it may not have come yet.
            Self::Time(_) => broken!(MomentWithoutALaterCommit),
            Self::Point(_) | Self::Epoch(_) => false,
        }
    }

    /// Refuses a text that is no whole id of a restore point, before every base is searched for it.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub(super) fn refuse_partial_id(&self) -> Result<()> {
        let Self::Point(id) = self else { return Ok(()) };
        match id.parse() {
            Ok(Selector::Id(whole)) if whole.len() == WHOLE_ID => Ok(()),
            _ => Err(partial(id)),
        }
    }
}

impl fmt::Display for ReplicaMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Time(time) => f.write_str(&show_time(*time)),
            Self::Sequence(sequence) => write!(f, "sequence {sequence}"),
            Self::Point(name) => write!(f, "{}", name.escape_debug()),
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
        }
    }
}

impl FromStr for ReplicaMoment {
    type Err = Error;

    /// Reads `newest`, for which `now` stands too, a time, `10m ago`, `sequence N`, `epoch N`, or the whole
    /// id of a restore point.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the accepted forms, or with the missing part of a time or of an id.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if text.len() > limits::SHORT_BYTES {
            return Err(wrong("(too long)"));
        }
        if lower == "newest" {
            return Ok(Self::Newest);
        }
        if let Some(number) = lower.strip_prefix("sequence") {
            return number.trim().parse().map(Self::Sequence).map_err(|_| wrong(text));
        }
        match text.parse::<Selector>() {
            Ok(Selector::Now) => Ok(Self::Newest),
            Ok(Selector::Epoch(epoch)) => Ok(Self::Epoch(epoch.0)),
            Ok(Selector::Id(id)) if id.len() == WHOLE_ID => Ok(Self::Point(id)),
            Ok(Selector::Id(id)) => Err(partial(&id)),
            Ok(selector) => selector.time(SystemClock.now()).map(Self::Time).ok_or_else(|| wrong(text)),
            // Its offset is missing.
            Err(error) if text.parse::<civil::DateTime>().is_ok() => Err(error),
            Err(_) => Err(wrong(text)),
        }
    }
}

fn partial(id: &str) -> Error {
    Error::invalid(format!("a restore point in a replica is named by its whole id: id={}", id.escape_debug()))
}

fn wrong(text: &str) -> Error {
    let shown = text.escape_debug();
    Error::invalid(format!("this names no moment of a replica; use {FORMS}: text={shown}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn moment(text: &str) -> Result<ReplicaMoment> {
        text.parse()
    }

    #[test]
    fn a_moment_is_read_in_every_form_that_names_a_state_and_in_any_case() {
        for text in ["newest", "NOW", " Newest "] {
            assert_eq!(moment(text).unwrap(), ReplicaMoment::Newest, "{text}");
        }
        let id = "67006b98-460f-425f-ac8d-c624ce4b9dc0";
        assert_eq!(moment(id).unwrap(), ReplicaMoment::Point(id.into()));
        for (text, read) in [("sequence 7", ReplicaMoment::Sequence(7)), ("epoch 7", ReplicaMoment::Epoch(7))] {
            assert_eq!(moment(text).unwrap(), read);
            assert_eq!(moment(&read.to_string()).unwrap(), read);
        }
        assert!(matches!(moment("2026-01-02T03:04:05Z").unwrap(), ReplicaMoment::Time(_)));
        let before = SystemClock.now() - Duration::from_secs(600);
        let ReplicaMoment::Time(ago) = moment("10m ago").unwrap() else { panic!("it is no time") };
        assert!(before <= ago && ago <= SystemClock.now() - Duration::from_secs(600));
    }

    #[test]
    fn a_text_that_names_no_moment_is_refused_with_the_forms_or_with_what_is_missing() {
        let refused = |text: &str| moment(text).unwrap_err().to_string();
        // The latest restore point is another state than the newest one.
        for text in [
            "",
            "tomorrow",
            "sequence x",
            "sequence",
            "latest",
            "latest~3",
            "before-the-night",
            "10m",
            &"x".repeat(9999),
        ] {
            let refused = refused(text);
            assert!(refused.contains("newest, ") && refused.contains("10m ago") && refused.len() < 999, "{refused}");
        }
        assert!(refused("2026-11-29 21:01:00").contains("write 2026-11-29T21:01:00Z"));
        assert!(refused("2026-11-29").contains("write 2026-11-29T00:00:00Z"));
        assert!(refused("67006b98").contains("whole id"));
    }
}
