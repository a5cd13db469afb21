//! Events: an append-only record of what happened to the store. An event is committed in the transaction that it
//! describes. A restore never removes one.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::codec::{self, Stored};
use crate::engine::records::{Records, Row};
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::page::{Page, sequence_key, sequence_of};
use crate::text::read_as_string;

/// The counter of events.
pub(crate) const COUNTER: &str = "events";
/// The most bytes of a kind's name.
const KIND_LEN_MAX: usize = 64;

/// An event in the life of the store. In JSON it is `{"timestamp", "event", "details"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, higher than the number of every earlier event. JSON does not contain it.
    #[serde(skip)]
    pub sequence: u64,
    /// The time.
    #[serde(rename = "timestamp", with = "crate::clock::time")]
    pub at: Timestamp,
    /// The kind of event.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// Its details.
    #[serde(with = "codec::json")]
    pub details: Value,
    /// The actor of the change: a key, a user such as `cli:1000`, or a program; none where nobody in particular acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl Stored for Event {
    const VERSION: u8 = 2;
    const WHAT: &'static str = "an event";

    /// An event without an actor has the bytes of version 1.
    fn version(&self) -> u8 {
        if self.actor.is_some() { Self::VERSION } else { 1 }
    }

    /// Version 1 had no actor: behind its bytes it is one that is not set.
    fn upgrade(_version: u8, bytes: &[u8]) -> Result<Self> {
        codec::decode_body(&[bytes, &[0]].concat())
    }
}

/// Defines the kinds of events, each with its name and a sentence.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kind of an event. Text and the store contain its name, so a kind can be added at any time.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
            /// A kind of another program, or of a later version, with this name.
            Other(String),
        }

        impl EventKind {
            /// Every kind that this version knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$kind,)*];

            /// The name, in lower case with underscores.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

kinds! {
    /// A backup was made.
    BackupCreated = "backup_created",
    /// A backup could not be made.
    BackupFailed = "backup_failed",
    /// Retention could not be carried out.
    RetentionFailed = "retention_failed",
    /// A check could not be carried out.
    CheckFailed = "check_failed",
    /// A restore point was made.
    RestorePointCreated = "restore_point_created",
    /// A restore succeeded, in place or by returning the content of a backup.
    RestoreSuccessful = "restore_successful",
    /// A restore failed.
    RestoreFailed = "restore_failed",
    /// A restore was undone.
    RestoreUndone = "restore_undone",
    /// A backup or a point was forgotten, by retention or on request.
    BackupDeletedOld = "backup_deleted_old",
    /// The retention policy was changed.
    PolicySet = "retention_set",
    /// A point was held.
    PointHeld = "point_held",
    /// A point was released.
    PointReleased = "point_released",
    /// A client announced its shutdown.
    CleanShutdownMarked = "clean_shutdown_marked",
    /// A session ended without being closed.
    CrashDetected = "crash_detected",
    /// A crash was acknowledged.
    CrashAcknowledged = "crash_acknowledged",
    /// Damaged bytes were found.
    CorruptionDetected = "corruption_detected",
    /// The store's file was opened again after a failure had closed it.
    StoreReopened = "store_reopened",
    /// An opening moved the write-ahead log of a process that did not close the store into the file.
    LogTakenUp = "log_taken_up",
    /// An opening found a write-ahead log of another file beside the store, and gave it another name.
    LogSetAside = "log_set_aside",
    /// Guarded work began, after a restore point was made.
    GuardStarted = "guard_started",
    /// Guarded work succeeded.
    GuardPassed = "guard_passed",
    /// Guarded work failed, and the store went back to the point before it.
    GuardRolledBack = "guard_rolled_back",
    /// Guarded work could not start; nothing was rolled back.
    GuardCalledOff = "guard_called_off",
    /// A drill ended; its results are in the details.
    DrillFinished = "drill_finished",
    /// Damage was repaired.
    Repaired = "repaired",
    /// Damaged rows got their bytes back from a replica.
    RowsHealed = "rows_healed",
    /// Files of another program were adopted.
    Adopted = "adopted",
    /// A part of such a file could not be adopted; its text is in the details.
    NotAdopted = "not_adopted",
    /// An archive was made of a point.
    ArchiveCreated = "archive_created",
    /// An archive was read back and matches the written one.
    ArchiveVerified = "archive_verified",
    /// An archive could not be made, or could not be read back.
    ArchiveFailed = "archive_failed",
    /// Retention removed archives.
    ArchiveDeletedOld = "archive_deleted_old",
    /// An archive was imported.
    Imported = "imported",
    /// An archive could not be imported.
    ImportFailed = "import_failed",
    /// A copy of a replica became a store that is written to.
    TakenOver = "taken_over",
    /// Changes that only an overtaken file had were taken into the store.
    OrphansApplied = "orphans_applied",
    /// Something in the replica is missing or damaged, or a drill with it failed.
    ReplicaFailed = "replica_failed",
    /// A moment was restored from the replica, compared, and removed again.
    ReplicaDrilled = "replica_drilled",
    /// Wrong keys were shown to the service, many from one address.
    KeysRefused = "keys_refused",
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = Error;

    /// The kind with that name.
    ///
    /// # Errors
    ///
    /// `Invalid` when the name is not 1 to 64 lower-case letters, digits and underscores.
    fn from_str(name: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > KIND_LEN_MAX || !name.bytes().all(fits) {
            return Err(Error::invalid(format!(
                "the name of an event has 1 to {KIND_LEN_MAX} lower-case letters, digits and underscores: event={}",
                name.escape_debug()
            )));
        }
        let known = Self::KNOWN.iter().find(|kind| kind.as_str() == name).cloned();
        Ok(known.unwrap_or_else(|| Self::Other(name.to_owned())))
    }
}

read_as_string!(EventKind);

impl From<EventKind> for String {
    fn from(kind: EventKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// The events. A view as of a point shows the present ones.
#[derive(Debug)]
pub struct Events<R> {
    records: R,
}

impl View {
    /// The present events, also in a view as of a point.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{EventKind, Page};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.events().append(EventKind::CrashAcknowledged, serde_json::json!({"by": "operator"})))?;
    /// let newest = store.view()?.events().list(Page::newest(1))?;
    /// assert_eq!(newest[0].kind, EventKind::CrashAcknowledged);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn events(&self) -> Events<&Self> {
        Events { records: self }
    }
}

impl WriteTx<'_> {
    /// The events, to read and to append. An event is committed in the transaction that it describes, or not at all.
    pub fn events(&mut self) -> Events<&mut Self> {
        Events { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Events<R> {
    /// A page of events.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bytes of an event are damaged, `Io`.
    pub fn list(&self, page: Page) -> Result<Vec<Event>> {
        let rows = self.records.rows(Table::Events, &page.range(&[]), page.limit())?;
        rows.into_iter().map(read).collect()
    }
}

impl Events<&mut WriteTx<'_>> {
    /// Appends an event at the present time, and returns its number.
    ///
    /// # Errors
    ///
    /// As [`Events::append_at`].
    pub fn append(&mut self, kind: EventKind, details: Value) -> Result<u64> {
        let now = self.records.now();
        self.append_at(now, kind, details)
    }

    /// Appends an event that happened at `at`, and returns its number.
    ///
    /// # Errors
    ///
    /// `Invalid` when the kind is [`EventKind::Other`] with a name that is not 1 to 64 lower-case letters, digits and
    /// underscores, or the details are longer than their [limit](crate#limits); `Io`.
    pub fn append_at(&mut self, at: Timestamp, kind: EventKind, details: Value) -> Result<u64> {
        let kind = kind.as_str().parse()?;
        limits::json("the details of an event", &details, limits::EVENT_BYTES)?;
        let sequence = self.records.next(COUNTER)?;
        let actor = self.records.actor().map(|actor| actor.name().to_owned());
        let payload = codec::encode(&Event { sequence, at, kind, details, actor })?;
        self.records.put_row(Table::Events, &sequence_key(sequence), &payload)?;
        Ok(sequence)
    }
}

fn read((key, payload): Row) -> Result<Event> {
    Ok(Event { sequence: sequence_of(&key)?, ..codec::decode(&payload)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::Fixture;

    fn event(kind: EventKind) -> Event {
        Event { sequence: 0, at: Timestamp::from_microsecond(5).unwrap(), kind, details: json!({"n": 1}), actor: None }
    }

    #[test]
    fn an_event_is_stored_in_these_bytes() {
        let bytes = codec::encode(&event(EventKind::Adopted)).unwrap();
        assert_eq!(bytes, b"\x01\x0a\x07adopted\x07{\"n\":1}");
        assert_eq!(codec::decode::<Event>(&bytes).unwrap(), event(EventKind::Adopted));
    }

    #[test]
    fn in_json_an_event_is_a_line_of_the_event_log() {
        let json = serde_json::to_string(&event(EventKind::CleanShutdownMarked)).unwrap();
        assert_eq!(
            json,
            r#"{"timestamp":"1970-01-01T00:00:00.000005+00:00","event":"clean_shutdown_marked","details":{"n":1}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event(EventKind::CleanShutdownMarked));
    }

    #[test]
    fn every_kind_is_parsed_by_its_unique_name() {
        for kind in EventKind::KNOWN {
            assert_eq!(kind.as_str().parse::<EventKind>().unwrap(), *kind);
            assert_eq!(EventKind::KNOWN.iter().filter(|other| other.as_str() == kind.as_str()).count(), 1);
        }
        assert_eq!("index_saved".parse::<EventKind>().unwrap(), EventKind::Other("index_saved".into()));
    }

    #[test]
    fn a_name_of_another_form_is_refused() {
        let test = Fixture::new();
        for name in ["", "Backup", "a b", "a\n", &"x".repeat(65)] {
            let kind = EventKind::Other(name.to_owned());
            let error = test.store.write(|tx| tx.events().append(kind, json!({}))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}");
        }
        assert_eq!(
            "A".parse::<EventKind>().unwrap_err().to_string(),
            "the name of an event has 1 to 64 lower-case letters, digits and underscores: event=A"
        );
    }

    #[test]
    fn events_are_numbered_and_paged_from_either_end_and_are_the_same_at_every_point() {
        let test = Fixture::new();
        test.write(|tx| tx.events().append(EventKind::BackupCreated, json!({})));
        let point = test.seal();
        test.pass(1);
        test.write(|tx| tx.events().append(EventKind::CrashDetected, json!({"session": 1})));
        let old = "2025-01-01T00:00:00Z".parse().unwrap();
        test.write(|tx| tx.events().append_at(old, EventKind::Other("index_saved".into()), json!({})));
        let list = |view: &View, page| view.events().list(page).unwrap();
        let numbers = |page| list(&test.view_at(point), page).iter().map(|event| event.sequence).collect::<Vec<_>>();
        assert_eq!(numbers(Page::newest(2)), [3, 2]);
        assert_eq!(numbers(Page::oldest(9).after(1)), [2, 3]);
        let [saved, crash] = list(&test.view(), Page::newest(2)).try_into().unwrap();
        assert_eq!((saved.at, saved.kind), (old, EventKind::Other("index_saved".into())));
        assert_eq!(crash.at.to_string(), "2027-01-15T08:00:01Z");
    }

    #[test]
    fn an_event_of_a_failed_closure_is_not_stored() {
        let test = Fixture::new();
        let failed = test.store.write(|tx| {
            tx.events().append(EventKind::BackupCreated, json!({}))?;
            Err::<(), _>(Error::conflict("changed my mind"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(test.view().events().list(Page::newest(9)).unwrap(), []);
    }
}
