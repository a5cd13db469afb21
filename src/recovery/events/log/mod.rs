//! The events as lines of a file, for tools that read logs: `{"timestamp", "event", "details"}`. When a call returns
//! that committed an event, the line is in the file.
//!
//! Several processes may share a file. Each locks it briefly and writes all missing lines, in order. The last line of
//! the file shows how far it has come. The store keeps the place to start that search, by the file's path, in two rows,
//! so that a line costs no commit and no sync of its own:
//!
//! * the last event that is on the disk for certain, stored from time to time, after a sync of the file;
//! * the last event in the file before a commit with events, stored by that commit. It is valid until the system
//!   restarts.
//!
//! Thus no line is lost. If a process is killed after a rename of the file, the lines of its last commit may be in both
//! files. After a power cut, this applies to the lines since the last sync. Otherwise no line is written twice.
//!
//! `file` opens and locks the file, and reads its end; `lines` has the missing lines, and the order of the steps.

mod file;
mod lines;

#[cfg(test)]
mod test;
