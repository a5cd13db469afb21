//! Makes an archive of a point: its whole content, readable and exact, in one file that outlives the store.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::contents::{contents, export_collection, export_trail};
use super::draft::ArchiveDraft;
use super::source::Source;
use super::write::Entries;
use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::digest::Stats;
use crate::engine::epoch::Epoch;
use crate::engine::meta;
use crate::engine::point::{Manifest, Scope};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::error::Result;
use crate::files::Rights;
use crate::recovery::check::verify::untold;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::names::names;
use crate::recovery::points::point::{Point, epoch_of};
use crate::recovery::points::selector::Selector;
use crate::transfer::archive::format::hashed::Hashed;
use crate::transfer::archive::format::layout;
use crate::transfer::archive::format::manifest::ArchivedPoint;
use crate::transfer::archive::format::pack::{Packer, Packing};
use crate::transfer::archive::format::progress::Count;
use crate::transfer::archive::format::seal::{Keys, Seal};
use crate::transfer::archives::COMPLETE;

/// The options of an export. The default is the present state, with everything, without encryption.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    at: Selector,
    only: Vec<String>,
    replace: bool,
    automatic: bool,
    seal: Seal,
}

/// The result of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// The archive.
    #[serde(serialize_with = "crate::files::as_text")]
    pub file: PathBuf,
    /// Its SHA-256, as `sha256sum` shows it.
    pub sha256: String,
    /// Its length.
    pub file_bytes: u64,
    /// The length of its unpacked content.
    pub unpacked_bytes: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The archived point.
    pub point: ArchivedPoint,
    /// The number of records in all collections.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The number of entries of the audit trail.
    pub audit_entries: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { at: Selector::Now, only: Vec::new(), replace: false, automatic: false, seal: Seal::Nobody }
    }
}

impl ExportOptions {
    /// Archives everything, in its present state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Archives the state at this point.
    #[must_use]
    pub fn at(mut self, at: impl Into<Selector>) -> Self {
        self.at = at.into();
        self
    }

    /// Archives only these collections. Queue and assignments belong together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.only = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Whether to replace an existing file of that name. The default is no.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Marks a point that has to be made for the archive as one of a scheduler.
    #[must_use]
    pub fn automatic(mut self) -> Self {
        self.automatic = true;
        self
    }

    /// Whether it will be encrypted.
    pub(in crate::transfer::archive) fn encrypts(&self) -> bool {
        self.seal.encrypts()
    }

    /// The keys that can read it; none if only others have them.
    pub(in crate::transfer::archive) fn keys(&self) -> Option<Keys> {
        self.seal.keys()
    }

    /// Encrypts the archive for the key of this recipient, `age1...`. Call it again for more recipients.
    ///
    /// # Errors
    ///
    /// `Invalid` when this is not a recipient, or the archive has a passphrase already.
    #[cfg(feature = "age")]
    pub fn recipient(mut self, recipient: &str) -> Result<Self> {
        self.seal.add_recipient(recipient)?;
        Ok(self)
    }

    /// Encrypts the archive with a passphrase. A line break at its end is removed.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is empty, or the archive has recipients already.
    #[cfg(feature = "age")]
    pub fn passphrase(mut self, passphrase: &str) -> Result<Self> {
        self.seal.set_passphrase(passphrase)?;
        Ok(self)
    }
}

impl Store {
    /// Makes an archive of a point: a `.tar.gz` or `.tar.zst` that any `tar` opens. It contains every collection in a
    /// readable and in an exact form, which are the same for large collections of JSON, the audit trail, a manifest,
    /// and `SHA256SUMS`. With `.age` at the end of its name it is encrypted.
    ///
    /// For the present state, a point is made first, unless the newest one has the same state. A store that nobody
    /// writes to, such as a copy of a replica, gets none, and no event either. The same point gives the same bytes. The
    /// memory does not depend on the size, and no writer waits. The file gets its name only once it is complete and
    /// synced, and only its owner can read it.
    ///
    /// # Errors
    ///
    /// `Invalid` for an unknown suffix, a symbolic link, or an unknown collection; `Conflict` when the file exists; as
    /// [`Store::at`]; `Damaged` when a record is damaged; `Full` and `Io`. Then there is no file.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ExportOptions, ImportOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("hive.redb"))?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// let archive = dir.path().join("hive.tar.gz");
    /// store.export(&archive, &ExportOptions::new())?;
    ///
    /// let copy = dir.path().join("copy.redb");
    /// Store::import_new(&archive, &copy, &ImportOptions::new())?;
    /// assert_eq!(Store::open(&copy)?.view()?.config().get("limit")?, Some(serde_json::json!(5)));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn export(&self, file: impl AsRef<Path>, options: &ExportOptions) -> Result<ExportReport> {
        self.export_with(file, options, untold)
    }

    /// [`Store::export`], with a callback for the numbers of finished and of all records.
    ///
    /// # Errors
    ///
    /// As [`Store::export`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("hive.redb"))?;
    /// let progress = |done, of| eprintln!("{done} of {of}");
    /// store.export_with(dir.path().join("hive.tar.gz"), &hivekeep::ExportOptions::new(), progress)?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn export_with(
        &self,
        file: impl AsRef<Path>,
        options: &ExportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ExportReport> {
        let file = file.as_ref();
        self.doing("export", Some(file.display().to_string())).export_to(file, options, progress)
    }

    fn export_to(
        &self,
        file: &Path,
        options: &ExportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ExportReport> {
        let packing = Packing::of_name(file, options.seal.encrypts())?;
        // A wrong request makes no point.
        Scope::of_collections(&options.only, &names(&self.view()?)?)?;
        let (place, opened) = ArchiveDraft::new(file, options.replace, Rights::of_content(self.path()))?;
        let mut source = self.source_to_archive(options)?;
        let (manifest, ids) = contents(self, &source, &options.only)?;
        let packer = Packer::new(packing, Hashed::new(opened), &options.seal)?;
        let time = u64::try_from(manifest.point.timestamp.as_second()).unwrap_or_default();
        let mut entries = Entries::begin(packer, time)?;
        entries.add(layout::MANIFEST, manifest.to_json()?)?;
        if let Some(audit) = &manifest.audit {
            export_trail(source.view(), &audit.trail, &mut entries)?;
        }
        let mut count = Count::new(&progress);
        count.begin(&manifest);
        for (collection, id) in manifest.collections.iter().zip(ids) {
            export_collection(&mut source, collection, id, &mut entries, &mut count)?;
        }
        let (packed, complete) = (entries.finish()?, manifest.complete);
        let (sha256, file_bytes) = packed.file.into_parts();
        place.name()?;
        let report = ExportReport {
            file: file.to_path_buf(),
            sha256,
            file_bytes,
            unpacked_bytes: packed.unpacked,
            encrypted: options.seal.encrypts(),
            records: manifest.records(),
            bytes: manifest.bytes(),
            audit_entries: manifest.audit.as_ref().map_or(0, |audit| audit.count),
            point: manifest.point,
        };
        self.append_archived(&report, options.automatic, complete)?;
        Ok(report)
    }

    /// The point to archive. For the present state it may have to be made, unless nobody writes to the store.
    fn source_to_archive(&self, options: &ExportOptions) -> Result<Source<'_>> {
        match self.find_point(options.at.clone())? {
            Some(point) => Source::new(self, point),
            None if self.is_only_read() => self.source_of_now(),
            None => Source::new(self, self.point_of_now(options)?),
        }
    }

    /// The present state, without a point of its own.
    fn source_of_now(&self) -> Result<Source<'_>> {
        let view = self.view()?;
        let stats = meta::all_stats(&view)?.into_iter().filter(|(_, stats)| *stats != Stats::default());
        match newest_point_with(&view, &stats.collect::<Vec<_>>())? {
            Some(epoch) => Source::new(self, view.point(epoch)?),
            None => Ok(Source::of_now(self, view)),
        }
    }

    /// A point of the present state, which is made unless the newest one is.
    fn point_of_now(&self, options: &ExportOptions) -> Result<Point> {
        let request = PointRequest::new("export");
        let request = if options.automatic { request.automatic() } else { request };
        let epoch = self.alone(|tx| match newest_point_with(tx, &tx.all_stats()?)? {
            Some(epoch) => Ok(Outcome::Abort(epoch)),
            None => tx.make_point(request).map(|point| Outcome::Commit(point.epoch)),
        })?;
        self.view()?.point(epoch)
    }

    fn append_archived(&self, report: &ExportReport, automatic: bool, complete: bool) -> Result<()> {
        if self.is_only_read() {
            return Ok(());
        }
        // A later reader may have another working directory.
        let file = std::path::absolute(&report.file)?;
        let details = json!({
            "file": file.to_string_lossy(), "sha256": report.sha256, "bytes": report.file_bytes,
            "records": report.records, "restore_id": report.point.id, "automatic": automatic,
            "encrypted": report.encrypted, COMPLETE: complete,
        });
        self.write(|tx| tx.events().append(EventKind::ArchiveCreated, details)).map(drop)
    }
}

/// The newest point, if it has exactly this state.
fn newest_point_with(records: &impl Records, stats: &[(CollectionId, Stats)]) -> Result<Option<Epoch>> {
    let newest = records.rows(Table::Points, &KeyRange::all().backward(), 1)?;
    let Some((key, bytes)) = newest.first() else { return Ok(None) };
    let manifest: Manifest = codec::decode(bytes)?;
    let is_whole = manifest.origin.is_selectable() && manifest.lost.is_empty();
    let same = is_whole && manifest.collections == stats;
    same.then(|| epoch_of(key)).transpose()
}
