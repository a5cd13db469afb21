//! The entries that an archive must have: their names, their order and the most bytes of each. They follow from the
//! manifest, so any other entry, such as a link or a path that climbs, is refused by its name.

use std::collections::BTreeSet;

use super::layout::{self, Stem};
use super::manifest::ArchiveManifest;
use super::record;
use crate::engine::schema::CollectionId;
use crate::engine::write::transaction::MAX_KEY;
use crate::error::{Error, Result};
use crate::state::collection::check_collection_name;

/// The most bytes of a manifest. One with every possible collection name is shorter.
pub(in crate::transfer::archive) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// The most bytes for field names and quotes in the JSON of each record.
const READABLE_PER_RECORD: u64 = 4096;
/// A byte in JSON takes up to six bytes, and the exact record follows.
const READABLE_PER_BYTE: u64 = 16;
/// In the one file of a small collection, every level is indented.
const WHOLE_PER_BYTE: u64 = 256;
const WHOLE_MORE: u64 = 4 << 20;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transfer::archive) enum Part {
    /// Readable only.
    Readable,
    /// Readable and exact.
    Lines,
    /// Exact only.
    Records,
    /// The sums.
    Sums,
}

/// The audit trail, or a collection by its place in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transfer::archive) enum Section {
    Audit,
    Collection(usize),
}

/// The entries of a section.
#[derive(Debug)]
struct Expected {
    section: Section,
    stem: Stem,
    form: Form,
}

/// The form of a section in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One readable file, and exact records.
    Whole,
    /// Files of readable lines, and exact records.
    Both,
    /// Files of readable lines, which are the exact records.
    Lines,
}

/// The entries that are expected next.
#[derive(Debug)]
pub(in crate::transfer::archive) struct Expect {
    sections: Vec<Expected>,
    at: usize,
    /// The numbers of the last parts of the section, readable and exact, and whether its one file was there.
    lines: u32,
    records: u32,
    whole: bool,
    /// The number of bytes that may follow.
    left: u64,
}

impl Expect {
    /// Derives the entries from a manifest.
    ///
    /// # Errors
    ///
    /// `Damaged` when the manifest contradicts itself.
    pub(in crate::transfer::archive) fn new(manifest: &ArchiveManifest) -> Result<Self> {
        check(manifest)?;
        let mut sections = Vec::new();
        if manifest.audit.is_some() {
            sections.push(Expected { section: Section::Audit, stem: Stem::of(layout::AUDIT, true), form: Form::Both });
        }
        for (at, collection) in manifest.collections.iter().enumerate() {
            let stem = Stem::of(&collection.name, CollectionId::built_in(&collection.name).is_some());
            let form = match collection.whole {
                true => Form::Whole,
                false if collection.lines_are_exact() => Form::Lines,
                false => Form::Both,
            };
            sections.push(Expected { section: Section::Collection(at), stem, form });
        }
        Ok(Self { sections, at: 0, lines: 0, records: 0, whole: false, left: most(manifest) })
    }

    /// The present place in the archive.
    pub(in crate::transfer::archive) fn section(&self) -> Option<Section> {
        self.sections.get(self.at).map(|expected| expected.section)
    }

    /// Ends the section, and begins the next.
    pub(in crate::transfer::archive) fn next_section(&mut self) {
        self.at += 1;
        (self.lines, self.records, self.whole) = (0, 0, false);
    }

    /// Whether the readable form of the section was present.
    pub(in crate::transfer::archive) fn has_readable(&self) -> bool {
        self.whole || self.lines > 0
    }

    /// Whether an entry with that name can come next, in this section or as the first one of a later section.
    pub(in crate::transfer::archive) fn can_come(&self, name: &str) -> bool {
        let begins = |Expected { stem, form, .. }: &Expected| match form {
            Form::Whole => name == stem.whole() || name == stem.records(1),
            Form::Both => name == stem.lines(1) || name == stem.records(1),
            Form::Lines => name == stem.lines(1),
        };
        let later = self.sections.get(self.at.saturating_add(1)..).unwrap_or_default();
        name == layout::SUMS || self.find(name).is_some() || later.iter().any(begins)
    }

    /// The kind of the entry of that name, if it belongs to the section; it does not come a second time.
    pub(in crate::transfer::archive) fn part(&mut self, name: &str) -> Option<Part> {
        let found = self.find(name)?;
        match found {
            Part::Readable if self.sections.get(self.at).is_some_and(|of| of.form == Form::Whole) => self.whole = true,
            Part::Readable | Part::Lines => self.lines += 1,
            Part::Records => self.records += 1,
            Part::Sums => {}
        }
        Some(found)
    }

    fn find(&self, name: &str) -> Option<Part> {
        let Some(Expected { stem, form, .. }) = self.sections.get(self.at) else {
            return (name == layout::SUMS).then_some(Part::Sums);
        };
        let is_next_line = || name == stem.lines(self.lines.saturating_add(1));
        let is_next_record = || name == stem.records(self.records.saturating_add(1));
        match form {
            Form::Lines => is_next_line().then_some(Part::Lines),
            Form::Whole if !self.whole && name == stem.whole() => Some(Part::Readable),
            Form::Both if is_next_line() => Some(Part::Readable),
            Form::Whole | Form::Both => is_next_record().then_some(Part::Records),
        }
    }

    /// Subtracts the length of an entry from the bytes that may follow.
    ///
    /// # Errors
    ///
    /// `Damaged` when the manifest does not explain that many.
    pub(in crate::transfer::archive) fn take(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Error::damaged(format!(
                "it unpacks to more bytes than its manifest permits: bytes={bytes} left={}",
                self.left
            ))
        })?;
        Ok(())
    }
}

/// The most bytes of the entries after the manifest.
fn most(manifest: &ArchiveManifest) -> u64 {
    let of = |count: u64, bytes: u64, per_byte: u64, more: u64| {
        let records = count.saturating_mul(READABLE_PER_RECORD + (record::HEAD + MAX_KEY) as u64);
        records.saturating_add(bytes.saturating_mul(per_byte)).saturating_add(more)
    };
    let collections = manifest.collections.iter().map(|collection| match collection.whole {
        true => of(collection.count, collection.bytes, WHOLE_PER_BYTE, WHOLE_MORE),
        false => of(collection.count, collection.bytes, READABLE_PER_BYTE, 0),
    });
    let audit = manifest.audit.iter().map(|audit| of(audit.count, audit.bytes, READABLE_PER_BYTE, 0));
    let long = of(0, manifest.long_bytes, READABLE_PER_BYTE, 0);
    collections.chain(audit).fold(long, u64::saturating_add)
}

/// Whether a collection of an archive may have that name.
fn is_a_collection(name: &str) -> bool {
    match CollectionId::built_in(name) {
        Some(_) => !name.starts_with('#'),
        None => check_collection_name(name).is_ok(),
    }
}

fn check(manifest: &ArchiveManifest) -> Result<()> {
    if let Some(name) = manifest.point.lost.keys().find(|name| !is_a_collection(name)) {
        return Err(wrong(format!("a loss is of no collection: name={}", name.escape_debug())));
    }
    let mut names = BTreeSet::new();
    for collection in &manifest.collections {
        let name = collection.name.as_str();
        if !is_a_collection(name) || !names.insert(name) {
            return Err(wrong(format!(
                "a collection is listed twice, or has an invalid name: name={}",
                name.escape_debug()
            )));
        }
        collection.stats()?;
    }
    if names.contains("queue") != names.contains("assignments") {
        return Err(wrong("queue and assignments must both be present, or neither"));
    }
    let built_in = CollectionId::BUILT_IN.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('#'));
    let missing: Vec<_> = built_in.filter(|name| !names.contains(name)).collect();
    if manifest.complete && (!missing.is_empty() || manifest.audit.is_none()) {
        return Err(wrong(format!("it is incomplete: missing={}", missing.join(","))));
    }
    let lost = manifest.audit.as_ref().map_or(&[][..], |audit| &audit.trail.lost);
    if !lost.is_sorted_by(|(_, through), (from, _)| through < from) || lost.iter().any(|(from, through)| from > through)
    {
        return Err(wrong("the lost entries of its audit trail are out of order"));
    }
    Ok(())
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the manifest of the archive contradicts itself: {what}"))
}
