//! The moment to which a replica is restored.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::clock::{parse_time, show_time};
use crate::error::{Error, Result};
use crate::limits;

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
/// assert_eq!(moment("before-the-night")?, ReplicaMoment::Point("before-the-night".into()));
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
    /// Behind the commit that made the restore point of this name.
    Point(String),
    /// Behind the commit that sealed this epoch as a point.
    Epoch(u64),
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

    /// Reads `newest`, a time, `sequence N`, `epoch N`, or the name of a restore point.
    ///
    /// # Errors
    ///
    /// `Invalid` for an empty text, and for one that is too long.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > limits::SHORT_BYTES {
            let why = "the moment of a restore is newest, a time, sequence N, epoch N, or the name of a restore point";
            return Err(Error::invalid(why));
        }
        let numbered = |word: &str| text.strip_prefix(word).and_then(|number| number.trim().parse().ok());
        Ok(match (text, numbered("sequence "), numbered("epoch "), parse_time(text)) {
            ("newest", ..) => Self::Newest,
            (_, Some(sequence), ..) => Self::Sequence(sequence),
            (_, _, Some(epoch), _) => Self::Epoch(epoch),
            (.., Ok(time)) => Self::Time(time),
            (name, ..) => Self::Point(name.to_owned()),
        })
    }
}
