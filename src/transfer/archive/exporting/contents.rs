//! The content of an archive: its manifest, and both forms of each collection.

use super::source::Source;
use super::write::Entries;
use crate::engine::codec;
use crate::engine::digest::Stats;
use crate::engine::point::Scope;
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::value::in_frame;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::recovery::points::names::{Names, names};
use crate::state::audit::{Entry, Trail};
use crate::transfer::archive::format::layout::{self, Stem};
use crate::transfer::archive::format::manifest::{ArchiveManifest, ArchivedCollection, ArchivedLoss, ArchivedTrail};
use crate::transfer::archive::format::progress::Count;
use crate::transfer::archive::format::readable::Readable;
use crate::transfer::archive::format::record;

/// The content of the archive, with the number of each collection in the store.
pub(in crate::transfer::archive) fn contents(
    store: &Store,
    source: &Source<'_>,
    only: &[String],
) -> Result<(ArchiveManifest, Vec<CollectionId>)> {
    let (view, point) = (source.view(), source.point());
    let names = names(view)?;
    let scope = Scope::of_collections(only, &names)?;
    let file = store.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut manifest = ArchiveManifest::new(file, point, scope.is_everything());
    let mut ids = Vec::new();
    for id in collections(&names).filter(|id| scope.has_all_of(*id)) {
        let stats = view.stats(id)?;
        if id.built_in_name().is_none() && stats.count == 0 {
            continue;
        }
        let whole = stats.bytes <= layout::WHOLE_BYTES && stats.count <= layout::WHOLE_COUNT && !has_long(view, id)?;
        manifest.collections.push(ArchivedCollection::new(names.of(id), whole, &stats));
        ids.push(id);
    }
    if let Some(sealed) = view.manifest(point.epoch)?.filter(|sealed| !sealed.lost.is_empty()) {
        let lost = sealed.lost.iter().filter(|lost| ids.contains(&lost.collection));
        manifest.point.lost = lost.map(|lost| (names.of(lost.collection), ArchivedLoss::new(lost))).collect();
        manifest.point.partial = !manifest.point.lost.is_empty();
    }
    manifest.long_bytes = view.stats(CollectionId::CHUNKS)?.bytes;
    if scope.is_everything() {
        // The clock of the machine that wrote it may be ahead.
        let trail = if view.is_now() { Trail::read(view)? } else { Trail::until(view, point.sealed_at)? };
        manifest.audit = Some(archived_trail(view, trail)?);
    }
    Ok((manifest, ids))
}

/// Whether a collection has values that are stored in pieces. With indentation they could be longer than an import
/// accepts.
fn has_long(view: &View, id: CollectionId) -> Result<bool> {
    let pieces = view.page(CollectionId::CHUNKS, &KeyRange::prefix(&id.0.to_be_bytes()), 1)?;
    Ok(!pieces.is_empty())
}

fn archived_trail(view: &View, trail: Trail) -> Result<ArchivedTrail> {
    let mut audit = ArchivedTrail { count: 0, bytes: 0, trail };
    for row in scan_rows(view, Table::Audit, audit.trail.range()) {
        audit.count += 1;
        audit.bytes += row?.1.len() as u64;
    }
    Ok(audit)
}

/// Every collection in the order of numbers. The pieces of long values belong to their records.
fn collections(names: &Names) -> impl Iterator<Item = CollectionId> {
    names.ids().filter(|id| *id != CollectionId::CHUNKS)
}

/// Writes both forms of a collection, in parts.
pub(super) fn export_collection(
    source: &mut Source<'_>,
    collection: &ArchivedCollection,
    id: CollectionId,
    entries: &mut Entries,
    count: &mut Count<'_>,
) -> Result<()> {
    let stem = Stem::of(&collection.name, id.built_in_name().is_some());
    let mut readable = Readable::new(id, collection.whole);
    let mut exact = Exact::default();
    let lines_are_exact = collection.lines_are_exact();
    let mut stats = Stats::default();
    let (mut rest, mut limit) = (Some(KeyRange::all()), FIRST_PAGE);
    while rest.is_some() {
        let page = source.page(id, &mut rest, &mut limit)?;
        for (key, payload) in &page {
            stats.add(key, &in_frame(payload));
            readable.push(source.view(), key, payload)?;
            if !lines_are_exact {
                record::write(&mut exact.part, key, payload)?;
            }
            if exact.part.len().max(readable.part_len()) >= layout::PART_BYTES {
                readable.take_part(&stem).map_or(Ok(()), |(name, bytes)| entries.add(name, bytes))?;
                exact.add_to(entries, &stem)?;
            }
        }
        count.add(page.len() as u64);
    }
    if stats != collection.stats()? {
        let message = "the records of the point do not match its manifest; check the store";
        return Err(Error::damaged(format!("{message}: collection={}", collection.name)).with_hint(Hint::CheckStore));
    }
    readable.take_part(&stem).map_or(Ok(()), |(name, bytes)| entries.add(name, bytes))?;
    readable.take_whole(&stem)?.map_or(Ok(()), |(name, bytes)| entries.add(name, bytes))?;
    exact.add_to(entries, &stem)
}

/// The exact form in progress.
#[derive(Default)]
struct Exact {
    part: Vec<u8>,
    parts: u32,
}

impl Exact {
    fn add_to(&mut self, entries: &mut Entries, stem: &Stem) -> Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        self.parts += 1;
        entries.add(stem.records(self.parts), std::mem::take(&mut self.part))
    }
}

/// Writes the audit trail, from the view of the manifest, because entries are purged meanwhile.
pub(super) fn export_trail(view: &View, trail: &Trail, entries: &mut Entries) -> Result<()> {
    let stem = Stem::of(layout::AUDIT, true);
    let (mut exact, mut lines, mut parts) = (Exact::default(), Vec::new(), 0);
    let mut end_part = |exact: &mut Exact, lines: &mut Vec<u8>| {
        if lines.is_empty() {
            return Ok(());
        }
        parts += 1;
        entries.add(stem.lines(parts), std::mem::take(lines))?;
        exact.add_to(entries, &stem)
    };
    for row in scan_rows(view, Table::Audit, trail.range()) {
        let (key, payload) = row?;
        let entry: Entry = codec::decode(&payload)?;
        let shown = serde_json::to_writer(&mut lines, &entry);
        shown.map_err(|source| Error::damaged("an audit entry cannot be shown as JSON").with_source(source))?;
        lines.push(b'\n');
        record::write(&mut exact.part, &key, &payload)?;
        if exact.part.len().max(lines.len()) >= layout::PART_BYTES {
            end_part(&mut exact, &mut lines)?;
        }
    }
    end_part(&mut exact, &mut lines)
}
