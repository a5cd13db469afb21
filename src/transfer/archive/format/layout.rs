//! The names of an archive's entries, and their order. Writer and reader share them, so the reader knows the next name
//! and never has to trust one.

/// The first entry.
pub(in crate::transfer::archive) const MANIFEST: &str = "manifest.json";
/// The last entry: the SHA-256 of all others, as `sha256sum -c` reads it.
pub(in crate::transfer::archive) const SUMS: &str = "SHA256SUMS";
/// The name of the audit trail's entries.
pub(in crate::transfer::archive) const AUDIT: &str = "audit";
/// An entry ends after the record that brings it to this length, so that a few times this memory is enough for
/// everybody.
pub(in crate::transfer::archive) const PART_BYTES: usize = 2 << 20;
/// The most bytes and records of a collection that is one readable JSON file.
pub(in crate::transfer::archive) const WHOLE_BYTES: u64 = 1 << 20;
pub(in crate::transfer::archive) const WHOLE_COUNT: u64 = 10_000;

/// The files of one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transfer::archive) struct Stem(String);

impl Stem {
    /// The place of a collection. A user's own collections are in a folder, so that no name clashes with another entry.
    pub(in crate::transfer::archive) fn of(name: &str, built_in: bool) -> Self {
        Self(if built_in { name.to_owned() } else { format!("collections/{name}") })
    }

    /// The one readable file of a small collection.
    pub(in crate::transfer::archive) fn whole(&self) -> String {
        format!("{}.json", self.0)
    }

    /// A readable file with one line for each record, counted from 1.
    pub(in crate::transfer::archive) fn lines(&self, part: u32) -> String {
        format!("{}-{part:06}.jsonl", self.0)
    }

    /// A file of the exact records, counted from 1.
    pub(in crate::transfer::archive) fn records(&self, part: u32) -> String {
        format!("records/{}-{part:06}.bin", self.0)
    }
}
