//! The names of bots, tasks, claims and sessions, each a type of its own, so that none is taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::text::{printable, unfit_for_a_name};

/// Refuses a text that cannot be a name. Keys are made of names with control characters between them.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("{what} must not be empty")));
    }
    limits::text(what, name, limits::NAME_BYTES)?;
    if name.chars().any(char::is_control) {
        let shown = name.escape_debug();
        return Err(Error::invalid(format!("{what} must not have control characters in it: name={shown}")));
    }
    Ok(())
}

/// Refuses an invalid new name. If `known` returns true, an earlier version accepted the name, and it is still valid.
pub(crate) fn check_new(what: &str, name: &str, known: impl FnOnce() -> Result<bool>) -> Result<()> {
    match unfit_for_a_name(name) {
        Some(why) if !known()? => Err(Error::invalid(format!("{what} {why}: name={}", printable(name)))),
        _ => Ok(()),
    }
}

/// Defines ids that are names.
macro_rules! name_id {
    ($(#[$doc:meta])* $id:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $id(String);

        impl $id {
            /// The id with that name.
            ///
            /// # Errors
            ///
            /// `Invalid` when the name is empty, longer than 200 bytes, or has control characters in it.
            pub fn new(name: impl Into<String>) -> Result<Self> {
                let name = name.into();
                check_name($what, &name)?;
                Ok(Self(name))
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The bytes of the name in keys.
            pub(crate) fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $id {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $id {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl AsRef<str> for $id {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_id! {
    /// The name of a bot: 1 to 200 bytes without control characters. A new one is in NFC, without characters that
    /// cannot be seen, and not `.` or `..`; one that is there already can be addressed whatever it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::BotId;
    ///
    /// let bot: BotId = "BOT-222".parse()?;
    /// assert_eq!(bot.to_string(), "BOT-222");
    /// assert!(BotId::new("").is_err());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    BotId, "a bot id"
}

name_id! {
    /// The name of a task: 1 to 200 bytes without control characters. A new one is in NFC, without characters that
    /// cannot be seen, and not `.` or `..`; one that is there already can be addressed whatever it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::TaskId;
    ///
    /// let task: TaskId = "BACKLOG-032".parse()?;
    /// assert_eq!(task.as_str(), "BACKLOG-032");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    TaskId, "a task id"
}

impl TaskId {
    /// Reads the id in a key.
    pub(crate) fn from_key(key: &[u8]) -> Result<Self> {
        let damaged = || Error::damaged(format!("a task id in a key cannot be read: key={}", key.escape_ascii()));
        str::from_utf8(key).ok().and_then(|name| Self::new(name).ok()).ok_or_else(damaged)
    }
}

/// Defines ids that are numbers.
macro_rules! number_id {
    ($(#[$doc:meta])* $id:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $id(pub u64);

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $id {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let wrong = |source| Error::invalid(format!(concat!($what, " is a number: text={}"), text)).with_source(source);
                text.parse().map(Self).map_err(wrong)
            }
        }
    };
}

number_id! {
    /// Proves that a bot holds a task. Every claim has its own token. No token is ever used twice, even after a
    /// restore.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Token;
    ///
    /// let token: Token = "17".parse()?;
    /// assert_eq!(token, Token(17));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    Token, "a token"
}

impl Token {
    /// Stands for a token that a reader may not see. No claim has it.
    pub const HIDDEN: Self = Self(0);
}

number_id! {
    /// The number of a stretch in which one process had the store open.
    SessionId, "a session number"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_has_control_characters() {
        let longest = "x".repeat(limits::NAME_BYTES);
        for good in ["a", "BOT 1", "größe/7", longest.as_str()] {
            assert_eq!(good.parse::<BotId>().unwrap().as_str(), good);
        }
        let long = "x".repeat(limits::NAME_BYTES + 1);
        for (bad, message) in [
            ("", "a bot id must not be empty"),
            ("a\nb", r"a bot id must not have control characters in it: name=a\nb"),
            ("a\0b", r"a bot id must not have control characters in it: name=a\0b"),
            (long.as_str(), "a bot id is too long; shorten it: bytes=201 max=200"),
        ] {
            assert_eq!(bad.parse::<BotId>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn json_and_keys_are_held_to_the_same_rule() {
        assert_eq!(serde_json::from_str::<TaskId>(r#""t""#).unwrap(), TaskId::new("t").unwrap());
        assert!(serde_json::from_str::<TaskId>(r#""""#).is_err());
        assert_eq!(serde_json::to_string(&TaskId::new("t").unwrap()).unwrap(), r#""t""#);
        assert!(TaskId::from_key(b"\xff").is_err());
        assert!(TaskId::from_key(b"a\0").is_err());
        assert_eq!(TaskId::from_key(b"t").unwrap().as_bytes(), b"t");
    }

    #[test]
    fn a_token_is_a_number_in_json_and_as_text() {
        assert_eq!(serde_json::to_string(&Token(7)).unwrap(), "7");
        assert_eq!("x".parse::<Token>().unwrap_err().to_string(), "a token is a number: text=x");
    }
}
