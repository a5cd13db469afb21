//! `index.json`: backups and restore points.
//!
//! Each restore point becomes a sealed point under its own id, listed as its backups; each backup that is in none
//! becomes a point of its own. They are sealed in order of time. A backup's content is a document of its kind and
//! source, as it was at the backup's point; a document that the store held before is put back after the last of them.
//!
//! `index` reads the index; here the points and backups are made.
//!
//! * `making`: makes the points and backups

mod index;
mod making;

pub(super) use self::making::adopt;
