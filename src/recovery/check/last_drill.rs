//! The results of the last drill, kept in the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::codec::Stored;
use crate::engine::meta_row::MetaRow;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::recovery::events::event::EventKind;

/// The row in `meta` of the last drill.
const LAST: MetaRow<LastDrill> = MetaRow::new(b"drill");

/// The results of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrill {
    /// When it ended.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// Its duration, in milliseconds.
    pub took_ms: u64,
    /// The number of records in the copy that the drill used.
    pub records: u64,
    /// The scenarios, in their order.
    pub scenarios: Vec<Rehearsed>,
}

/// The result of one disaster in a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Its name, such as `bot_killed`.
    pub name: String,
    /// The time from the disaster until work continued, in milliseconds.
    pub recovery_ms: u64,
    /// The number of records that were lost, or had another value than the acknowledged one.
    pub lost_records: u64,
    /// The age of the oldest of these records at the disaster, in milliseconds.
    pub lost_ms: u64,
    /// Whether both were within their targets.
    pub met: bool,
}

impl Stored for LastDrill {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the last drill";
}

impl LastDrill {
    /// Whether every target was met.
    pub fn is_met(&self) -> bool {
        self.scenarios.iter().all(|scenario| scenario.met)
    }

    /// The names of the scenarios that missed their target.
    pub fn missed(&self) -> Vec<&str> {
        self.scenarios.iter().filter(|scenario| !scenario.met).map(|scenario| scenario.name.as_str()).collect()
    }
}

impl Store {
    /// Stores the results of a drill, and appends an event.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn note_drill(&self, drill: &LastDrill) -> Result<()> {
        let details = serde_json::to_value(drill).map_err(|error| Error::invalid(error.to_string()))?;
        self.write(|tx| {
            LAST.put(tx, drill)?;
            tx.events().append(EventKind::DrillFinished, details)?;
            tx.note("drill", None)
        })
    }
}

impl View {
    /// The results of the last drill, if there was one.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    pub fn last_drill(&self) -> Result<Option<LastDrill>> {
        LAST.read(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::codec;

    fn drill() -> LastDrill {
        let scenario =
            |name: &str, met| Rehearsed { name: name.to_owned(), recovery_ms: 2, lost_records: 3, lost_ms: 4, met };
        let scenarios = vec![scenario("a", true), scenario("b", false)];
        LastDrill { at: Timestamp::from_microsecond(5).unwrap(), took_ms: 6, records: 7, scenarios }
    }

    #[test]
    fn the_bytes_of_a_drill_are_fixed() {
        let golden = b"\x01\x0a\x06\x07\x02\x01a\x02\x03\x04\x01\x01b\x02\x03\x04\x00";
        assert_eq!(codec::encode(&drill()).unwrap(), golden);
        assert_eq!(codec::decode::<LastDrill>(golden).unwrap(), drill());
    }

    #[test]
    fn the_last_drill_is_stored_with_an_event_that_names_the_missed_targets() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        assert_eq!(store.view().unwrap().last_drill().unwrap(), None);
        store.note_drill(&drill()).unwrap();
        let last = store.view().unwrap().last_drill().unwrap().unwrap();
        assert_eq!((last.is_met(), last.missed()), (false, vec!["b"]));
        let page = crate::state::page::Page::newest(1);
        assert_eq!(store.view().unwrap().events().list(page).unwrap()[0].kind, EventKind::DrillFinished);
        assert!(store.check().unwrap().is_sound());
    }
}
