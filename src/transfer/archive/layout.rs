//! The names of an archive's entries, and their order. Both sides go by it, so an importer knows which name must come
//! next and never has to trust one.

/// The first entry.
pub(super) const MANIFEST: &str = "manifest.json";
/// The last entry: the SHA-256 of all others, as `sha256sum -c` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";
/// The name of the audit trail's entries.
pub(super) const AUDIT: &str = "audit";
/// An entry is ended behind the record that brings it to this length, so that nobody needs more memory than a few of
/// these.
pub(super) const PART_BYTES: usize = 2 << 20;
/// A collection of up to so many bytes and records is one readable JSON file.
pub(super) const WHOLE_BYTES: u64 = 1 << 20;
pub(super) const WHOLE_COUNT: u64 = 10_000;

/// The files of one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stem(String);

impl Stem {
    /// The place of a collection. A user's own collections are in a folder, so that no name clashes with another entry.
    pub(super) fn of(name: &str, built_in: bool) -> Self {
        Self(if built_in { name.to_owned() } else { format!("collections/{name}") })
    }

    /// The one readable file of a small collection.
    pub(super) fn whole(&self) -> String {
        format!("{}.json", self.0)
    }

    /// A readable file of a line for each record, counted from 1.
    pub(super) fn lines(&self, part: u32) -> String {
        format!("{}-{part:06}.jsonl", self.0)
    }

    /// A file of the exact records, counted from 1.
    pub(super) fn records(&self, part: u32) -> String {
        format!("records/{}-{part:06}.bin", self.0)
    }
}
