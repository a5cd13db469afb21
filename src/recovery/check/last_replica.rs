//! The result of the last verification of a store's replica, and of the last drill with it, kept in the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
#[cfg(feature = "replica")]
use serde_json::Value;

use crate::clock;
use crate::engine::codec::Stored;
use crate::engine::meta_row::MetaRow;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
#[cfg(feature = "replica")]
use crate::recovery::events::event::EventKind;

/// The row in `meta` of a store that is shipped.
const LAST: MetaRow<ReplicaWatch> = MetaRow::new(b"replica watch");

/// The findings of the process that ships a store about the replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaWatch {
    /// The location of the replica: a bucket with its options, or an absolute path.
    pub location: String,
    /// The thirtieth of the bytes that is read next, from 0 to 29.
    pub next_part: u8,
    /// The last verification that found nothing wrong.
    pub verified: Option<LastReplicaCheck>,
    /// The first thing that the last verification found, if it found any.
    pub finding: Option<String>,
    /// The last drill that brought everything back.
    pub drill: Option<LastReplicaDrill>,
    /// The reason why the last drill failed, if it did.
    pub drill_error: Option<String>,
    /// The reason why the last drill was left out, if it was.
    pub drill_skipped: Option<String>,
}

/// A verification of a replica that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReplicaCheck {
    /// When it ended.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// The earliest moment that could be restored then.
    #[serde(with = "clock::time")]
    pub restorable_from: Timestamp,
    /// The number of objects that were there.
    pub objects: u64,
    /// The number of objects that were read.
    pub read: u64,
}

/// A restore of a moment from a replica, which was compared and removed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReplicaDrill {
    /// When it ended.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// The time of the last commit that it brought back.
    #[serde(with = "clock::time")]
    pub moment: Timestamp,
    /// The number of this commit.
    pub sequence: u64,
    /// The time until the file could have been used, in milliseconds.
    pub restored_ms: u64,
    /// The records in it.
    pub records: u64,
    /// The length of the file.
    pub bytes: u64,
}

impl Stored for ReplicaWatch {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the check results of the replica";
}

impl ReplicaWatch {
    /// Nothing is known of the replica at this location.
    #[cfg(feature = "replica")]
    pub(crate) fn new(location: String) -> Self {
        Self { location, ..Self::default() }
    }

    /// The reason why a restore may not bring everything back, if there is one.
    pub fn trouble(&self) -> Option<&str> {
        self.finding.as_deref().or(self.drill_error.as_deref())
    }
}

impl Store {
    /// Stores the check results of the replica, with an event if something happened.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    #[cfg(feature = "replica")]
    pub(crate) fn note_replica(&self, watch: &ReplicaWatch, event: Option<(EventKind, Value)>) -> Result<()> {
        self.write(|tx| {
            LAST.put(tx, watch)?;
            event.map_or(Ok(()), |(kind, details)| tx.events().append(kind, details).map(drop))
        })
    }
}

impl View {
    /// The findings of the process that ships the store about its replica; none of a store that was in none.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn replica_watch(&self) -> Result<Option<ReplicaWatch>> {
        LAST.read(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn watch() -> ReplicaWatch {
        ReplicaWatch {
            location: "s3".into(),
            next_part: 3,
            verified: Some(LastReplicaCheck { at: time(5), restorable_from: time(4), objects: 6, read: 7 }),
            finding: None,
            drill: Some(LastReplicaDrill {
                at: time(5),
                moment: time(4),
                sequence: 8,
                restored_ms: 9,
                records: 1,
                bytes: 2,
            }),
            drill_error: Some("a".into()),
            drill_skipped: None,
        }
    }

    #[test]
    fn the_bytes_of_what_is_known_of_a_replica_are_fixed() {
        let golden = b"\x01\x02s3\x03\x01\x0a\x08\x06\x07\x00\x01\x0a\x08\x08\x09\x01\x02\x01\x01a\x00";
        assert_eq!(codec::encode(&watch()).unwrap(), golden);
        assert_eq!(codec::decode::<ReplicaWatch>(golden).unwrap(), watch());
    }

    #[cfg(feature = "replica")]
    #[test]
    fn what_is_known_of_a_replica_is_kept_with_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        assert_eq!(store.view().unwrap().replica_watch().unwrap(), None);
        let event = (EventKind::ReplicaFailed, serde_json::json!({"error": "a"}));
        store.note_replica(&watch(), Some(event)).unwrap();
        let view = store.view().unwrap();
        assert_eq!(view.replica_watch().unwrap(), Some(watch()));
        assert_eq!(watch().trouble(), Some("a"));
        let newest = view.events().list(crate::state::page::Page::newest(1)).unwrap();
        assert_eq!(newest[0].kind, EventKind::ReplicaFailed);
        assert!(store.check().unwrap().is_sound());
    }
}
