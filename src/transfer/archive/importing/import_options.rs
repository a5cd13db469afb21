//! The options of an import.

use crate::actor::Actor;
use crate::error::{Error, Hint, Result};
use crate::limits;
use crate::recovery::restore::options::RestoreOptions;
use crate::transfer::archive::format::manifest::{ArchiveManifest, ArchivedPoint};
use crate::transfer::archive::format::seal::Keys;

/// The longest value by default. A store accepts no longer one.
const MAX_VALUE_BYTES: u64 = limits::RECORD_BYTES as u64;
/// The most bytes that an archive may unpack to.
const MAX_BYTES: u64 = 64 << 30;

/// The options of an import. The default imports everything.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The options that a restore has too.
    pub(in crate::transfer::archive) restore: RestoreOptions,
    pub(in crate::transfer::archive) keys: Keys,
    pub(in crate::transfer::archive) max_value_bytes: u64,
    pub(in crate::transfer::archive) max_bytes: u64,
    pub(in crate::transfer::archive) actor: Option<Actor>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let (max_value_bytes, max_bytes) = (MAX_VALUE_BYTES, MAX_BYTES);
        Self { restore: RestoreOptions::new(), keys: Keys::default(), max_value_bytes, max_bytes, actor: None }
    }
}

impl ImportOptions {
    /// Imports everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Imports only these collections; the others stay. Queue and assignments belong together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.restore = self.restore.only(collections);
        self
    }

    /// Leaves tasks finished that are finished in the store into which the archive goes, and are not in the archive;
    /// otherwise they would run again, or be forgotten with their idempotency keys. A new store has none.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.restore = self.restore.keep_finished(keep);
        self
    }

    /// Imports an archive even if a repair had lost part of its point. Records that are known to be lost stay as they
    /// are in the store; others may be missing, or have an older value.
    #[must_use]
    pub fn partial(mut self, partial: bool) -> Self {
        self.restore = self.restore.partial(partial);
        self
    }

    /// Refuses an archive with a longer value, which would have to be in memory; 256 MiB unless set.
    #[must_use]
    pub fn max_value_bytes(mut self, bytes: u64) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// Refuses an archive that unpacks to more; 64 GiB unless set.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Makes a new store on behalf of that actor: its audit trail gets an entry. A store that exists already knows by
    /// [`Store::acting_as`](crate::Store::acting_as).
    #[must_use]
    pub fn acting_as(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Reads an encrypted archive with secret keys, `AGE-SECRET-KEY-1...`, one in each line; `#` starts a comment.
    ///
    /// # Errors
    ///
    /// `Invalid` when the text contains no key.
    #[cfg(feature = "age")]
    pub fn identities(mut self, text: &str) -> Result<Self> {
        self.keys.add_identities(text)?;
        Ok(self)
    }

    /// Reads an encrypted archive with a passphrase. A line break at its end is removed.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is empty.
    #[cfg(feature = "age")]
    pub fn passphrase(mut self, passphrase: &str) -> Result<Self> {
        self.keys.set_passphrase(passphrase)?;
        Ok(self)
    }

    /// Whether to import a collection.
    pub(super) fn wants(&self, name: &str) -> bool {
        let is_unit = |name: &str| ["queue", "assignments", "bot_assignments"].contains(&name);
        let only = &self.restore.only;
        only.is_empty() || only.iter().any(|only| only == name || only == "full" || is_unit(only) && is_unit(name))
    }

    /// Refuses an archive if wanted collections lost something in a repair, unless the options permit it.
    ///
    /// # Errors
    ///
    /// `Conflict` if they do not.
    pub(super) fn refuse_partial(&self, point: &ArchivedPoint) -> Result<()> {
        if self.restore.partial || !self.is_partial(point) {
            return Ok(());
        }
        let message = "a repair lost part of that point before it was archived; to import what is left of it, \
                       allow a partial import";
        Err(Error::conflict(format!("{message}: point={point}")).with_hint(Hint::AllowPartialImport))
    }

    /// Whether wanted collections lost something in a repair, or may have.
    pub(super) fn is_partial(&self, point: &ArchivedPoint) -> bool {
        point.partial && (point.lost.is_empty() || point.lost.keys().any(|name| self.wants(name)))
    }

    /// Refuses names of collections that the archive lacks.
    pub(super) fn refuse_missing(&self, manifest: &ArchiveManifest) -> Result<()> {
        let has = |only: &str| {
            let only = if only == "bot_assignments" { "assignments" } else { only };
            only == "full" || manifest.collections.iter().any(|collection| collection.name == only)
        };
        let Some(missing) = self.restore.only.iter().find(|only| !has(only)) else { return Ok(()) };
        let there = manifest.collections.iter().map(|collection| collection.name.as_str()).collect::<Vec<_>>();
        let there = there.join(", ");
        let missing = missing.escape_debug();
        Err(Error::invalid(format!("the archive has no such collection; it has {there}: collection={missing}")))
    }
}
