//! Keys of which only the names are left, after a repair or in a store made from an archive. They stay as revoked ones,
//! so that the service over such a store is not open to everybody.

use std::collections::BTreeSet;

use super::key::{KeyName, Role, StoredKey};
use super::verbs::{Keys, name_of};
use crate::clock::as_stored;
use crate::engine::codec;
use crate::engine::meta::KEY;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::state::audit::Entry;

impl WriteTx<'_> {
    /// Adds those of the names that no key has, as revoked keys. Returns the added ones.
    pub(crate) fn revoke_lost_keys(&mut self, names: BTreeSet<KeyName>) -> Result<Vec<KeyName>> {
        let now = as_stored(self.now());
        let mut keys = Keys { records: self };
        let most = limits::KEYS.saturating_sub(keys.stored().count());
        let mut added = Vec::new();
        for name in names {
            if added.len() < most && keys.read(&name)?.is_none() {
                let (role, bot, secrets) = (Role::Reader, None, Vec::new());
                let (created_at, expires_at, revoked_at) = (now, None, Some(now));
                keys.put(&name, &StoredKey { role, bot, created_at, expires_at, revoked_at, secrets })?;
                added.push(name);
            }
        }
        Ok(added)
    }
}

/// The names of keys among the keys of rows in `meta`.
pub(crate) fn keys_in_rows(rows: &BTreeSet<Vec<u8>>) -> impl Iterator<Item = KeyName> {
    rows.iter().filter_map(|row| name_of(KEY, row).ok())
}

/// The keys that the audit trail says were added, and not that they were removed. An entry that a client
/// wrote itself counts for nothing.
pub(crate) fn keys_in_trail<R: Records + ?Sized>(records: &R) -> Result<BTreeSet<KeyName>> {
    let mut names = BTreeSet::new();
    for row in scan_rows(records, Table::Audit, KeyRange::all()) {
        let Entry { action, target, asked_by, .. } = codec::decode(&row?.1)?;
        let Some(name) = target.and_then(|target| target.parse::<KeyName>().ok()) else { continue };
        if asked_by.is_none_or(|asked_by| asked_by.told) {
            continue;
        }
        match action.as_str() {
            "key_add" | "key_rotate" | "key_revoke" if names.len() < limits::KEYS => drop(names.insert(name)),
            "key_remove" => drop(names.remove(&name)),
            _ => {}
        }
    }
    Ok(names)
}
