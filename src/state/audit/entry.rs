//! The entries of the audit trail.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::trail::EntryHash;
use crate::actor::Actor;
use crate::engine::codec::{self, Stored};
use crate::error::{Error, Result};
use crate::limits;

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: one more than that of the entry before it.
    pub sequence: u64,
    /// When it happened.
    #[serde(rename = "timestamp", with = "crate::clock::time")]
    pub at: Timestamp,
    /// When it was appended. Purging uses this time.
    #[serde(with = "crate::clock::time")]
    pub recorded: Timestamp,
    /// The action.
    pub action: String,
    /// The actor: a bot, a person or a program.
    pub actor: String,
    /// The target of the action.
    pub target: Option<String>,
    /// Its severity.
    pub level: Level,
    /// The outcome.
    pub result: Option<String>,
    /// Further details.
    #[serde(with = "codec::json")]
    pub details: Value,
    /// The original text, for an entry that was adopted from another program.
    pub original: Option<String>,
    /// The hash of the entry before it.
    pub previous: EntryHash,
    /// The one who asked for the entry, as the store itself knows it; none where nobody in particular did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<AskedBy>,
}

/// The one who asked for an entry. No client can set this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedBy {
    /// The actor: a key, a user such as `cli:1000`, or a program.
    pub actor: String,
    /// The only bot that it acts as.
    pub bot: Option<String>,
    /// Where it asked from.
    pub address: Option<String>,
    /// The id of its request.
    pub request_id: Option<String>,
    /// Whether the content of the entry is what the actor told, and not what the store recorded of a change.
    pub told: bool,
}

impl AskedBy {
    /// For an entry that the store makes of a change.
    pub(super) fn recorded(actor: &Actor) -> Self {
        Self {
            actor: actor.name().to_owned(),
            bot: actor.bot().map(str::to_owned),
            address: actor.address_text().map(str::to_owned),
            request_id: actor.request().map(str::to_owned),
            told: false,
        }
    }

    /// For an entry whose content is the actor's.
    pub(super) fn told(actor: &Actor) -> Self {
        Self { told: true, ..Self::recorded(actor) }
    }
}

impl Stored for Entry {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "an audit entry";

    /// A2: an entry without `asked_by` has the bytes of version 1, also when it is written again, as by an import: the
    /// next entry has the hash of these bytes.
    fn version(&self) -> u8 {
        if self.asked_by.is_some() { Self::VERSION } else { 1 }
    }

    /// Version 1 had no `asked_by`: behind its bytes it is one that is not set.
    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        codec::decode_body(&[bytes, &[0]].concat())
    }
}

/// The severity of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Normal operation.
    #[default]
    Info,
    /// Somebody should look at it soon.
    Warning,
    /// A failure.
    Error,
    /// Somebody must look at it now.
    Critical,
}

impl Level {
    /// Every level, in ascending order.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The level as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = Error;

    /// Parses a level in any case.
    ///
    /// # Errors
    ///
    /// `Invalid`, with a list of the levels.
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            Error::invalid(format!("a level is info, warning, error or critical: level={}", text.escape_debug()))
        })
    }
}

/// An entry to append.
///
/// # Examples
///
/// ```
/// use hivekeep::{Level, NewEntry};
///
/// let entry = NewEntry { level: Level::Warning, ..NewEntry::new("restart", "operator") };
/// # assert_eq!(entry.action, "restart");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The action.
    pub action: String,
    /// The actor: a bot, a person or a program.
    pub actor: String,
    /// The target of the action.
    pub target: Option<String>,
    /// Its severity.
    pub level: Level,
    /// The outcome.
    pub result: Option<String>,
    /// Further details.
    pub details: Value,
    /// When it happened. The default is now.
    pub at: Option<Timestamp>,
    /// The original text, for an entry of another program.
    pub original: Option<String>,
}

impl NewEntry {
    /// An entry at the present time, of level info, without details.
    pub fn new(action: impl Into<String>, actor: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            actor: actor.into(),
            target: None,
            level: Level::Info,
            result: None,
            details: Value::Object(serde_json::Map::new()),
            at: None,
            original: None,
        }
    }

    /// Refuses texts over their limits.
    pub(super) fn check(&self) -> Result<()> {
        limits::text("the action of an audit entry", &self.action, limits::SHORT_BYTES)?;
        limits::text("the actor of an audit entry", &self.actor, limits::SHORT_BYTES)?;
        limits::optional("the target of an audit entry", self.target.as_ref(), limits::SHORT_BYTES)?;
        limits::optional("the result of an audit entry", self.result.as_ref(), limits::REASON_BYTES)?;
        limits::json("the details of an audit entry", &self.details, limits::DETAILS_BYTES)?;
        limits::optional("the original of an audit entry", self.original.as_ref(), limits::ORIGINAL_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_by_its_name() {
        for level in Level::ALL {
            assert_eq!(level.to_string().to_uppercase().parse::<Level>().unwrap(), level);
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        assert_eq!(
            "fatal".parse::<Level>().unwrap_err().to_string(),
            "a level is info, warning, error or critical: level=fatal"
        );
    }
}
