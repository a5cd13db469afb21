//! All keys of a store in memory, to tell who shows one.

use std::collections::BTreeMap;

use jiff::Timestamp;

#[cfg(feature = "http")]
use crate::actor::HeldKey;
use crate::state::ids::BotId;
use crate::state::keys::key::{KeyName, KeyState, Role, StoredKey};
use crate::state::keys::secret::{hash, name_in};

/// All keys of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyRing(BTreeMap<KeyName, StoredKey>);

/// The holder of a valid key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyHolder {
    pub(crate) name: KeyName,
    pub(crate) role: Role,
    pub(crate) bot: Option<BotId>,
    /// When the key was added, which tells it from an earlier one of its name.
    pub(crate) created_at: Timestamp,
}

/// Why a text is not a valid secret. A client learns only facts about its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHolder {
    /// It is the secret of no key, or of one that was revoked.
    Unknown,
    /// It is the secret of a key that has expired.
    Expired,
}

impl KeyRing {
    pub(super) fn new(keys: BTreeMap<KeyName, StoredKey>) -> Self {
        Self(keys)
    }

    /// Whether there is any key, valid or not.
    #[cfg(feature = "http")]
    pub(crate) fn is_used(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether any key is valid.
    #[cfg(feature = "http")]
    pub(crate) fn has_valid(&self, now: Timestamp) -> bool {
        self.0.values().any(|key| key.state(now) == KeyState::Active)
    }

    /// The holder of the key whose secret the text is.
    pub(crate) fn holder(&self, text: &str, now: Timestamp) -> Result<KeyHolder, NoHolder> {
        let shown = hash(text);
        let name = name_in(text).ok_or(NoHolder::Unknown)?;
        let key = self.0.get(&name).ok_or(NoHolder::Unknown)?;
        // Every secret of the key is compared, each in constant time.
        let matching = key.secrets.iter().filter(|secret| blake3::Hash::from_bytes(secret.hash) == shown);
        let is_in_time = matching.map(|secret| secret.expires_at.is_none_or(|end| now < end)).reduce(|a, b| a || b);
        match (is_in_time, key.state(now)) {
            (None, _) | (_, KeyState::Revoked) => Err(NoHolder::Unknown),
            (Some(true), KeyState::Active) => Ok(self.named(name, key)),
            _ => Err(NoHolder::Expired),
        }
    }

    /// The key that a text claims to be the secret of, if there is one of that name.
    #[cfg(feature = "http")]
    pub(crate) fn claimed(&self, text: &str) -> Option<KeyName> {
        name_in(text).filter(|name| self.0.contains_key(name))
    }

    /// The holder of a key that was shown before, while it is valid.
    #[cfg(feature = "http")]
    pub(crate) fn find(&self, held: &HeldKey, now: Timestamp) -> Option<KeyHolder> {
        let name: KeyName = held.name.parse().ok()?;
        let key = self.0.get(&name)?;
        let is_valid = key.created_at == held.created_at && key.state(now) == KeyState::Active;
        is_valid.then(|| self.named(name, key))
    }

    fn named(&self, name: KeyName, key: &StoredKey) -> KeyHolder {
        KeyHolder { name, role: key.role, bot: key.bot.clone(), created_at: key.created_at }
    }
}
