//! A key as people see it, its role, and how it is stored.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::codec::Stored;
use crate::error::{Error, Result};
use crate::limits::KEY_NAME_BYTES;
use crate::state::ids::BotId;
use crate::text::read_as_string;

/// The rights of the holder of a key. Each role also has the rights of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read everything but secrets.
    Reader,
    /// Work as one bot: register it, claim and finish its tasks, enqueue tasks, and speak as it.
    Bot,
    /// Change all of the state, make restore points, and restore them.
    Operator,
    /// Manage keys.
    Admin,
}

impl Role {
    /// Every role, the one that may do the least first.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Bot, Self::Operator, Self::Admin];

    /// The role as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Bot => "bot",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid(format!("a role is reader, bot, operator or admin: role={}", text.escape_debug()))
        })
    }
}

/// The name of a key: 1 to 64 ASCII letters, digits, hyphens, dots and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || name.len() > KEY_NAME_BYTES || !name.bytes().all(fits) {
            return Err(Error::invalid(format!(
                "the name of a key has 1 to {KEY_NAME_BYTES} ASCII letters, digits, hyphens, dots and underscores: name={}",
                name.chars().take(KEY_NAME_BYTES).flat_map(char::escape_debug).collect::<String>()
            )));
        }
        Ok(Self(name.to_owned()))
    }
}

read_as_string!(KeyName);

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A key to add.
///
/// # Examples
///
/// ```
/// use hivekeep::{NewKey, Role};
/// use std::time::Duration;
///
/// let key = NewKey::new("dashboard".parse()?, Role::Reader).expires_in(Duration::from_secs(90 * 24 * 3600));
/// # assert_eq!(key.role, Role::Reader);
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The name, which is also part of the secret.
    pub name: KeyName,
    /// The role.
    pub role: Role,
    /// The bot that it acts as; only for the role bot, where it is the name of the key unless set.
    pub bot: Option<BotId>,
    /// How long it is valid; without an end unless set.
    pub expires_in: Option<Duration>,
}

impl NewKey {
    /// A key without an end.
    pub fn new(name: KeyName, role: Role) -> Self {
        Self { name, role, bot: None, expires_in: None }
    }

    /// Acts as that bot.
    #[must_use]
    pub fn bot_id(self, bot: BotId) -> Self {
        Self { bot: Some(bot), ..self }
    }

    /// Ends after that time.
    #[must_use]
    pub fn expires_in(self, valid: Duration) -> Self {
        Self { expires_in: Some(valid), ..self }
    }

    /// The bot that it acts as.
    pub(super) fn bot(&self) -> Result<Option<BotId>> {
        match (self.role, &self.bot) {
            (Role::Bot, Some(bot)) => Ok(Some(bot.clone())),
            (Role::Bot, None) => BotId::new(self.name.as_str()).map(Some),
            (_, None) => Ok(None),
            (role, Some(bot)) => {
                Err(Error::invalid(format!("only a key of the role bot acts as a bot: role={role} bot={bot}")))
            }
        }
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub name: KeyName,
    /// Its role.
    pub role: Role,
    /// The bot that it acts as.
    pub bot: Option<BotId>,
    /// Whether it is valid.
    pub state: KeyState,
    /// The time when it was added.
    #[serde(with = "crate::clock::time")]
    pub created_at: Timestamp,
    /// The time when it ends, if it does.
    #[serde(with = "crate::clock::time::option")]
    pub expires_at: Option<Timestamp>,
    /// The time when it was revoked.
    #[serde(with = "crate::clock::time::option")]
    pub revoked_at: Option<Timestamp>,
    /// The time of its last use, to the minute.
    #[serde(with = "crate::clock::time::option")]
    pub last_used_at: Option<Timestamp>,
    /// The time until which the secret before the last rotation is valid.
    #[serde(with = "crate::clock::time::option")]
    pub old_secret_until: Option<Timestamp>,
}

impl Key {
    /// How long the secret before a rotation stays valid, unless somebody says otherwise.
    pub const KEEP_OLD: Duration = Duration::from_secs(24 * 60 * 60);
}

/// Whether a key is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is valid.
    Active,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Expired, Self::Revoked];

    /// The state as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key as it is stored, under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredKey {
    pub(super) role: Role,
    pub(super) bot: Option<BotId>,
    #[serde(with = "crate::clock::time")]
    pub(super) created_at: Timestamp,
    #[serde(with = "crate::clock::time::option")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(with = "crate::clock::time::option")]
    pub(super) revoked_at: Option<Timestamp>,
    /// The present one last; before it the one that the last rotation replaced.
    pub(super) secrets: Vec<StoredSecret>,
}

/// The stored form of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    /// Its BLAKE3 hash.
    pub(super) hash: [u8; 32],
    #[serde(with = "crate::clock::time")]
    pub(super) created_at: Timestamp,
    /// Its own end, once another one has replaced it.
    #[serde(with = "crate::clock::time::option")]
    pub(super) expires_at: Option<Timestamp>,
}

impl Stored for StoredKey {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a key";
}

impl StoredKey {
    pub(super) fn state(&self, now: Timestamp) -> KeyState {
        match self.expires_at {
            _ if self.revoked_at.is_some() => KeyState::Revoked,
            Some(end) if end <= now => KeyState::Expired,
            _ => KeyState::Active,
        }
    }

    pub(super) fn shown(self, last_used_at: Option<Timestamp>, name: KeyName, now: Timestamp) -> Key {
        let state = self.state(now);
        let old_secret_until = self.secrets.iter().filter_map(|secret| secret.expires_at).find(|end| *end > now);
        let Self { role, bot, created_at, expires_at, revoked_at, .. } = self;
        Key { name, role, bot, state, created_at, expires_at, revoked_at, last_used_at, old_secret_until }
    }
}

/// When a key was last used.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyUse {
    #[serde(with = "crate::clock::time")]
    pub(crate) at: Timestamp,
}

impl Stored for KeyUse {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the last use of a key";
}
