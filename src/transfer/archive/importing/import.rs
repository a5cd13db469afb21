//! Imports: the report, and new stores from archives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::import_options::ImportOptions;
use super::read::{Take, read};
use crate::engine::commit::Outcome;
use crate::engine::options::Sharing;
use crate::engine::point::{Lost, Manifest, Origin, PointId};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::limits;
use crate::recovery::backups::{Kind, NewBackup, NewSealed};
use crate::recovery::check::verify::untold;
use crate::recovery::diff::Counts;
use crate::recovery::events::event::EventKind;
use crate::recovery::repair::plan::LEAP;
use crate::state::documents::mend_documents_within;
use crate::state::keys::key::KeyName;
use crate::state::keys::lost::keys_in_trail;
use crate::transfer::archive::format::manifest::{ArchiveManifest, ArchivedPoint};
use crate::transfer::archive::format::progress::{Count, Progress};
use crate::transfer::unnamed::{Unnamed, refuse_existing};

/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The archive.
    #[serde(serialize_with = "crate::files::as_text")]
    pub file: PathBuf,
    /// The archived point.
    pub point: ArchivedPoint,
    /// Whether it was imported into a new store.
    pub created: bool,
    /// The numbers of records in each collection that were added, changed, and removed.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes the import; none if nothing changed, or for a new store.
    pub undo: Option<PointId>,
    /// The number of claims that were voided. Their tasks are ready again.
    pub claims_returned: u64,
    /// The number of imported entries of the audit trail. An existing store keeps its own trail.
    pub audit_entries: u64,
    /// The keys that the imported audit trail names. An archive has no keys, so the new store has them as revoked, and
    /// its service is not open to everybody.
    pub keys: Vec<String>,
    /// Tasks that finished since the archived point and run again, unless they were kept finished.
    pub tasks_run_again: u64,
    /// Tasks that are finished here but missing in the archive, and are forgotten, unless they were kept finished.
    pub tasks_forgotten: u64,
    /// Whether these tasks stayed finished.
    pub keep_finished: bool,
}

impl Store {
    /// Verifies an archive to its end, and changes nothing: every sum, count, digest and record is compared.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such file; `NotAStore` for the file of another program, `NewerFormat` for one of a
    /// later version; `Damaged`, with the entry or collection, when anything is wrong; `Invalid` when it is encrypted
    /// for others or exceeds the limits; `Io`.
    pub fn verify_archive(file: impl AsRef<Path>, options: &ImportOptions) -> Result<ArchiveManifest> {
        Self::verify_archive_with(file, options, untold)
    }

    /// [`Store::verify_archive`], with a callback for the numbers of finished and of all records.
    ///
    /// # Errors
    ///
    /// As [`Store::verify_archive`].
    pub fn verify_archive_with(
        file: impl AsRef<Path>,
        options: &ImportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ArchiveManifest> {
        read(file.as_ref(), options, &mut Nothing(Count::new(&progress)))
    }

    /// Makes a new store at `to` from an archive. The store gets its name only once it and the archive are verified and
    /// it is synced. Until then there is no file of that name.
    ///
    /// The state is exactly that of the archived point, which is the first point of the new store, with its former
    /// name. Claims stay with their bots until their leases end. Counters continue far above their highest value, so
    /// that no number is used twice, whatever was lost after the archive.
    ///
    /// # Errors
    ///
    /// As [`Store::verify_archive`]; `Conflict` when there is a file at `to`, and for a partial point without
    /// [`ImportOptions::partial`]; `Full`, `Io`. Then there is no new store.
    ///
    /// # Examples
    ///
    /// See [`Store::export`].
    pub fn import_new(file: impl AsRef<Path>, to: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportReport> {
        Self::import_new_with(file, to, options, untold)
    }

    /// [`Store::import_new`], with a callback for the numbers of finished and of all records.
    ///
    /// # Errors
    ///
    /// As [`Store::import_new`].
    pub fn import_new_with(
        file: impl AsRef<Path>,
        to: impl AsRef<Path>,
        options: &ImportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ImportReport> {
        let (file, to) = (file.as_ref(), to.as_ref());
        refuse_existing(to)?;
        let made = Unnamed::beside(to)?;
        let open = Self::options().session(false).reserve(false).sharing(Sharing::Exclusive);
        let store = open.open(made.path())?;
        let acting = store.acting_for(options.actor.as_ref()).doing("import", Some(file.display().to_string()));
        let report = acting.alone(|tx| {
            let mut filling = Filling::new(tx, options, &progress);
            let manifest = read(file, options, &mut filling)?;
            let (collections, audit_entries) = (std::mem::take(&mut filling.counts), filling.audit_entries);
            tx.mend_imported(&manifest.point, options)?;
            tx.begin_with(&manifest, file, options)?;
            let keys = tx.revoke_lost_keys(keys_in_trail(tx)?)?;
            let point = manifest.point;
            let (undo, claims_returned, created) = (None, 0, true);
            let file = file.to_path_buf();
            Ok(Outcome::Commit(ImportReport {
                file,
                point,
                created,
                collections,
                undo,
                claims_returned,
                audit_entries,
                keys: keys.iter().map(KeyName::to_string).collect(),
                tasks_run_again: 0,
                tasks_forgotten: 0,
                keep_finished: options.restore.keep_finished,
            }))
        })?;
        drop(acting);
        // Only a sound store is handed over.
        store.refuse_unsound("the content of the archive contradicts itself")?;
        store.close()?;
        made.name(to)?;
        Ok(report)
    }
}

impl WriteTx<'_> {
    /// The first rows of a store that is made from an archive: its point, its counters, the event of the import.
    fn begin_with(&mut self, manifest: &ArchiveManifest, file: &Path, options: &ImportOptions) -> Result<()> {
        let mut point = manifest.point.clone();
        // An earlier version accepted longer texts.
        let _too_long = limits::fit(&mut point.description, &mut point.tags);
        self.raise_numbers(LEAP)?;
        let details = json!({"file": file.to_string_lossy(), "point": point.to_string(), "created": true});
        self.events().append(EventKind::Imported, details)?;
        let new = NewSealed {
            backups: Kind::PARTS.map(|kind| NewBackup::of_part(kind, None)).into(),
            manual: point.manual,
            description: point.description,
            tags: point.tags,
        };
        let id = point.id.unwrap_or_else(PointId::new);
        let (epoch, sealed) = self.seal_backups_as(id, Origin::Live, Some(point.timestamp), new)?;
        if !options.is_partial(&manifest.point) {
            return Ok(());
        }
        let lost = self.lost_of(&manifest.point, &sealed, options)?;
        self.put_manifest(epoch, &Manifest { lost, ..sealed })
    }

    /// The losses of a new store's point. If the archive does not list them, every collection may have some.
    fn lost_of(&mut self, point: &ArchivedPoint, sealed: &Manifest, options: &ImportOptions) -> Result<Vec<Lost>> {
        if point.lost.is_empty() {
            let lost = sealed.collections.iter().map(|(id, was)| Lost { collection: *id, was: *was, keys: Vec::new() });
            return Ok(lost.collect());
        }
        let mut lost = Vec::new();
        for (name, loss) in point.lost.iter().filter(|(name, _)| options.wants(name)) {
            let id = CollectionId::built_in(name).map_or_else(|| self.user_collection(name), Ok)?;
            lost.push(loss.read(id)?);
        }
        Ok(lost)
    }

    /// Reassembles documents that lost rows in the archive.
    pub(super) fn mend_imported(&mut self, point: &ArchivedPoint, options: &ImportOptions) -> Result<()> {
        if options.is_partial(point) && options.wants("documents") {
            mend_documents_within(self, &|_| true)?;
        }
        Ok(())
    }
}

/// Imports nothing: the archive is only verified.
struct Nothing<'p>(Count<'p>);

impl Take for Nothing<'_> {
    fn begin(&mut self, manifest: &ArchiveManifest) -> Result<()> {
        self.0.begin(manifest);
        Ok(())
    }

    fn collection(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn record(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        self.0.add(1);
        Ok(())
    }

    fn collection_end(&mut self) -> Result<()> {
        Ok(())
    }

    fn audit(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Fills a new store.
struct Filling<'f, 'tx> {
    tx: &'f mut WriteTx<'tx>,
    options: &'f ImportOptions,
    progress: Count<'f>,
    /// The collection in progress, unless it is not wanted.
    into: Option<CollectionId>,
    added: u64,
    name: String,
    counts: BTreeMap<String, Counts>,
    audit_entries: u64,
    trail: Option<crate::state::audit::Trail>,
}

impl<'f, 'tx> Filling<'f, 'tx> {
    fn new(tx: &'f mut WriteTx<'tx>, options: &'f ImportOptions, progress: Progress<'f>) -> Self {
        Self {
            tx,
            options,
            progress: Count::new(progress),
            into: None,
            added: 0,
            name: String::new(),
            counts: BTreeMap::new(),
            audit_entries: 0,
            trail: None,
        }
    }
}

impl Take for Filling<'_, '_> {
    fn begin(&mut self, manifest: &ArchiveManifest) -> Result<()> {
        self.options.refuse_missing(manifest)?;
        self.options.refuse_partial(&manifest.point)?;
        self.progress.begin(manifest);
        self.trail = manifest.audit.as_ref().map(|audit| audit.trail.clone());
        Ok(())
    }

    fn collection(&mut self, name: &str) -> Result<()> {
        self.into = match (self.options.wants(name), CollectionId::built_in(name)) {
            (false, _) => None,
            (true, Some(id)) => Some(id),
            (true, None) => Some(self.tx.user_collection(name)?),
        };
        (self.name, self.added) = (name.to_owned(), 0);
        Ok(())
    }

    fn record(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        self.progress.add(1);
        let Some(into) = self.into else { return Ok(()) };
        self.added += 1;
        self.tx.put(into, key, payload)
    }

    fn collection_end(&mut self) -> Result<()> {
        if self.added > 0 {
            let counts = Counts { added: self.added, ..Counts::default() };
            self.counts.insert(std::mem::take(&mut self.name), counts);
        }
        Ok(())
    }

    fn audit(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        self.audit_entries += 1;
        self.tx.put_row(Table::Audit, key, payload)
    }

    fn end(&mut self) -> Result<()> {
        self.trail.as_ref().map_or(Ok(()), |trail| trail.write(self.tx))
    }
}
