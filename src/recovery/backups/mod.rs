//! Backups: one kind of state of a point, with source, tags, counts and checksum, as clients of the replaced service
//! know them. A backup of live state is a row, not a copy. For a document, `seal` stores the document too.
//!
//! * `backup`: a backup as it is stored, and its kind
//! * `seal`: lists backups. It puts the document of a new one, waits for its checksum, writes its row, and seals its
//!   point by `history::seal`; `verbs` then reads the row back and appends event and audit entry, all in one
//!   transaction
//! * `content`: the content of a backup; size and checksum of live state (`documents::prepared` has those of a
//!   document)
//! * `verbs`: the verbs of `Store`, except `restore_data`, which is in `events::failures`; in a restore in place
//!   `restore::scope` finds the rows of a document

mod backup;
mod content;
mod seal;
mod verbs;

#[cfg(test)]
mod backups_test;

pub use self::backup::{Backup, BackupOf, Kind};
pub(crate) use self::backup::{backup_details, backup_row, find_backup, no_backup};
#[cfg(any(feature = "transfer", test))]
pub(crate) use self::content::sha256;
pub(crate) use self::content::{content, damaged};
pub(crate) use self::seal::{NewBackup, NewSealed};
pub use self::verbs::BackupRequest;
