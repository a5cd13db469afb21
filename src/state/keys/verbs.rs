//! The verbs on keys.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::actor::HeldKey;
use crate::clock::{after, as_stored};
use crate::engine::codec;
use crate::engine::meta::KEY;
use crate::engine::records::{KeyRange, Records, Row, scan_rows};
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::state::keys::key::{Key, KeyName, KeyState, KeyUse, NewKey, StoredKey, StoredSecret};
#[cfg(any(feature = "http", fuzzing, test))]
use crate::state::keys::ring::KeyRing;
use crate::state::keys::secret::KeySecret;

/// Rows of the last use of keys, apart from the keys, so that a use rewrites no key.
const USE: &[u8] = b"key-use/";

/// Names of actors without a key of the store.
const RESERVED: [&str; 4] = ["http", "token", "unknown", "others"];

/// The keys of a store. A view as of a point shows the present ones.
#[derive(Debug)]
pub struct Keys<R> {
    pub(super) records: R,
}

impl View {
    /// The present keys, also in a view as of a point.
    pub fn keys(&self) -> Keys<&Self> {
        Keys { records: self }
    }
}

impl WriteTx<'_> {
    /// The keys, to read and to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewKey, Role};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let secret = store.write(|tx| tx.keys().add(NewKey::new("BOT-222".parse()?, Role::Bot)))?;
    /// assert!(secret.as_str().starts_with("hk_BOT-222_"));
    /// assert_eq!(store.view()?.keys().list()?[0].bot.as_ref().unwrap().as_str(), "BOT-222");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn keys(&mut self) -> Keys<&mut Self> {
        Keys { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Keys<R> {
    /// Every key by name, also those that were revoked or have expired.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bytes of a key differ from the written ones, `Io`.
    pub fn list(&self) -> Result<Vec<Key>> {
        let now = self.records.now();
        let mut uses: BTreeMap<_, _> = scan_rows(&self.records, Table::Meta, KeyRange::prefix(USE))
            .map(|row| {
                let (key, payload) = row?;
                Ok((name_of(USE, &key)?, codec::decode::<KeyUse>(&payload)?.at))
            })
            .collect::<Result<_>>()?;
        self.stored().map(|key| key.map(|(name, key)| key.shown(uses.remove(&name), name, now))).collect()
    }

    /// The key with that name.
    ///
    /// # Errors
    ///
    /// As [`Keys::list`].
    pub fn get(&self, name: &KeyName) -> Result<Option<Key>> {
        let Some(key) = self.read(name)? else { return Ok(None) };
        let used = self.records.row(Table::Meta, &row_key(USE, name))?;
        let used = used.map(|payload| codec::decode::<KeyUse>(&payload)).transpose()?.map(|used| used.at);
        Ok(Some(key.shown(used, name.clone(), self.records.now())))
    }

    /// Whether there is any key, valid or not. A store that has one is not open to everybody again
    /// because its keys have expired.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn are_used(&self) -> Result<bool> {
        Ok(!self.records.rows(Table::Meta, &KeyRange::prefix(KEY), 1)?.is_empty())
    }

    /// All of them, to tell who shows one.
    #[cfg(any(feature = "http", fuzzing, test))]
    pub(crate) fn ring(&self) -> Result<KeyRing> {
        Ok(KeyRing::new(self.stored().collect::<Result<_>>()?))
    }

    pub(super) fn stored(&self) -> impl Iterator<Item = Result<(KeyName, StoredKey)>> + '_ {
        scan_rows(&self.records, Table::Meta, KeyRange::prefix(KEY)).map(|row: Result<Row>| {
            let (key, payload) = row?;
            Ok((name_of(KEY, &key)?, codec::decode(&payload)?))
        })
    }

    pub(super) fn read(&self, name: &KeyName) -> Result<Option<StoredKey>> {
        let payload = self.records.row(Table::Meta, &row_key(KEY, name))?;
        payload.map(|payload| codec::decode(&payload)).transpose()
    }
}

impl Keys<&mut WriteTx<'_>> {
    /// Adds a key and gives its secret, which is kept nowhere. A revoked key of that name is replaced.
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a key of that name that was not revoked; `Invalid` when the role and the bot do not fit
    /// together, when the key would expire at once, and when the store has as many keys as it may have.
    pub fn add(&mut self, new: NewKey) -> Result<KeySecret> {
        let bot = new.bot()?;
        if RESERVED.contains(&new.name.as_str()) {
            return Err(Error::invalid(format!("the name is reserved; choose another one: name={}", new.name)));
        }
        if self.read(&new.name)?.is_some_and(|key| key.revoked_at.is_none()) {
            let name = &new.name;
            return Err(Error::conflict(format!("there is a key of that name; rotate or revoke it: key={name}")));
        }
        limits::count("keys", self.stored().count().saturating_add(1), limits::KEYS)?;
        let now = as_stored(self.records.now());
        let expires_at = new.expires_in.map(|after| end(now, after)).transpose()?;
        let secret = KeySecret::new(&new.name);
        let secrets = vec![StoredSecret { hash: secret.hash(), created_at: now, expires_at: None }];
        let key = StoredKey { role: new.role, bot, created_at: now, expires_at, revoked_at: None, secrets };
        self.records.remove_row(Table::Meta, &row_key(USE, &new.name))?;
        self.put(&new.name, &key)?;
        self.records.note("key_add", Some(new.name.as_str()))?;
        Ok(secret)
    }

    /// Gives a key a new secret. The previous secret stays valid for that long, so that its holder can switch in time;
    /// an earlier one that was still valid ends at once.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such key, `Conflict` when it was revoked.
    pub fn rotate(&mut self, name: &KeyName, keep_old: Duration) -> Result<KeySecret> {
        let mut key = self.read(name)?.ok_or_else(|| unknown(name))?;
        if key.revoked_at.is_some() {
            return Err(Error::conflict(format!("the key was revoked; add it again: key={name}")));
        }
        let now = as_stored(self.records.now());
        let secret = KeySecret::new(name);
        let old = key.secrets.pop().filter(|_| !keep_old.is_zero());
        let old = old.map(|old| StoredSecret { expires_at: Some(as_stored(after(now, keep_old))), ..old });
        key.secrets = old.into_iter().collect();
        key.secrets.push(StoredSecret { hash: secret.hash(), created_at: now, expires_at: None });
        self.put(name, &key)?;
        self.records.note("key_rotate", Some(name.as_str()))?;
        Ok(secret)
    }

    /// Revokes a key for good: no restore, undo or import brings it back. Its row stays, so that a store whose last key
    /// was revoked is not open to everybody.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such key.
    pub fn revoke(&mut self, name: &KeyName) -> Result<()> {
        let mut key = self.read(name)?.ok_or_else(|| unknown(name))?;
        if key.revoked_at.is_some() {
            return Ok(());
        }
        key.revoked_at = Some(as_stored(self.records.now()));
        key.secrets.clear();
        self.put(name, &key)?;
        self.records.note("key_revoke", Some(name.as_str()))
    }

    /// Removes a key that was revoked. A store without any key asks for none.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such key, `Conflict` when it was not revoked.
    pub fn remove(&mut self, name: &KeyName) -> Result<()> {
        let key = self.read(name)?.ok_or_else(|| unknown(name))?;
        if key.revoked_at.is_none() {
            return Err(Error::conflict(format!("revoke that key before you remove it: key={name}")));
        }
        self.records.remove_row(Table::Meta, &row_key(USE, name))?;
        self.records.remove_row(Table::Meta, &row_key(KEY, name))?;
        self.records.note("key_remove", Some(name.as_str()))
    }

    /// Notes when keys were last used. A key that is gone meanwhile is passed over.
    #[cfg(feature = "http")]
    pub(crate) fn note_uses(&mut self, uses: &BTreeMap<KeyName, Timestamp>) -> Result<()> {
        for (name, at) in uses {
            if self.read(name)?.is_some() {
                let used = codec::encode(&KeyUse { at: *at })?;
                self.records.put_row(Table::Meta, &row_key(USE, name), &used)?;
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, name: &KeyName, key: &StoredKey) -> Result<()> {
        self.records.put_row(Table::Meta, &row_key(KEY, name), &codec::encode(key)?)
    }
}

impl WriteTx<'_> {
    /// Refuses a key that is no longer valid: it was revoked, or has expired, since somebody showed it.
    pub(crate) fn refuse_invalid_key(&self, held: &HeldKey) -> Result<()> {
        let name: KeyName = held.name.parse()?;
        let key = Keys { records: self }.read(&name)?;
        let is_valid = |key: &StoredKey| key.created_at == held.created_at && key.state(self.now()) == KeyState::Active;
        if key.as_ref().is_some_and(is_valid) {
            return Ok(());
        }
        let message = format!("the key is no longer valid; ask an admin for another one: key={name}");
        Err(Error::new(ErrorKind::Forbidden, message))
    }
}

/// The end of a key, from the time for which it is valid.
pub(super) fn end(now: Timestamp, valid: Duration) -> Result<Timestamp> {
    if valid < Duration::from_secs(1) {
        return Err(Error::invalid("a key is valid for at least a second; leave the time out for no end"));
    }
    Ok(as_stored(after(now, valid)))
}

fn unknown(name: &KeyName) -> Error {
    Error::not_found(format!("there is no such key: key={name}"))
}

fn row_key(space: &[u8], name: &KeyName) -> Vec<u8> {
    [space, name.as_str().as_bytes()].concat()
}

pub(super) fn name_of(space: &[u8], key: &[u8]) -> Result<KeyName> {
    let name = key.strip_prefix(space).and_then(|name| str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
    name.ok_or_else(|| Error::damaged(format!("the name of a key cannot be read: key={}", key.escape_ascii())))
}
