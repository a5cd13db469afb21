//! The replica of a store, for those who look at the store: how far it is behind, and whether a restore would work.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{self, show_time};
use crate::duration;
use crate::engine::meta;
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::check::last_replica::ReplicaWatch;
use crate::text::counted;

/// The replica of a store, as far as the store and the process that ships it know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// The last verification, and the last drill.
    #[serde(flatten)]
    pub watch: ReplicaWatch,
    /// Shipping; none if no process that is asked ships the store.
    pub shipping: Option<ReplicaShipping>,
}

/// The shipping of a store, as the process that does it sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaShipping {
    /// The term that it writes; none before it was opened.
    pub term: Option<u64>,
    /// The number of the newest commit in the replica.
    pub sequence: u64,
    /// When the replica had everything last; none before it had.
    #[serde(with = "clock::time::option")]
    pub complete_at: Option<Timestamp>,
    /// The time since then, in milliseconds.
    pub behind_ms: Option<u64>,
    /// The bytes of commits that the store keeps for the replica.
    pub kept_bytes: u64,
    /// When an object was read back last.
    #[serde(with = "clock::time::option")]
    pub read_back_at: Option<Timestamp>,
    /// Whether another process has the history now.
    pub fenced: bool,
    /// The error of the last try to ship, or to read back; none after a success.
    pub error: Option<String>,
}

impl ReplicaState {
    /// The replica of a store, without its shipping; none if the store is in none, also if it once was, or is a copy
    /// of one that is.
    pub(crate) fn of(view: &View) -> Result<Option<Self>> {
        if view.row(Table::Meta, meta::FEED)?.is_none() {
            return Ok(None);
        }
        Ok(view.replica_watch()?.map(|watch| Self { watch, shipping: None }))
    }

    /// The time for which the replica has not had everything; none if nobody ships, or it never had.
    pub fn behind(&self) -> Option<Duration> {
        self.shipping.as_ref()?.behind_ms.map(Duration::from_millis)
    }

    /// Its state in one line.
    pub fn in_words(&self, now: Timestamp) -> String {
        let Self { watch, shipping } = self;
        let ago = |at: Timestamp| duration::show(duration::since(at, now));
        let mut parts = vec![watch.location.clone()];
        match shipping {
            Some(ReplicaShipping { fenced: true, .. }) => parts.push("another process has the history".to_owned()),
            Some(ReplicaShipping { complete_at: Some(at), .. }) => {
                parts.push(format!("restorable until {}, {} ago", show_time(*at), ago(*at)));
            }
            Some(_) => parts.push("it did not have everything yet".to_owned()),
            None => {}
        }
        parts.extend(shipping.iter().filter_map(|shipping| shipping.error.clone()));
        if let Some(verified) = &watch.verified {
            let from = show_time(verified.restorable_from);
            parts.push(format!("restorable from {from}, verified {} ago", ago(verified.at)));
        }
        parts.extend(watch.finding.iter().map(|finding| format!("WRONG: {finding}")));
        if let Some(drill) = &watch.drill {
            let (records, took) =
                (counted(drill.records, "record"), duration::exact(Duration::from_millis(drill.restored_ms)));
            parts.push(format!("last drill {} ago: {records} came back, took {took}", ago(drill.at)));
        }
        parts.extend(watch.drill_error.iter().map(|error| format!("THE LAST DRILL FAILED: {error}")));
        parts.extend(watch.drill_skipped.iter().map(|why| format!("the last drill was left out: {why}")));
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::check::last_replica::{LastReplicaCheck, LastReplicaDrill};

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    pub(super) fn state() -> ReplicaState {
        let drill =
            LastReplicaDrill { at: time(60), moment: time(50), sequence: 3, restored_ms: 2500, records: 7, bytes: 8 };
        ReplicaState {
            watch: ReplicaWatch {
                location: "s3://b/p".into(),
                verified: Some(LastReplicaCheck { at: time(100), restorable_from: time(0), objects: 9, read: 1 }),
                drill: Some(drill),
                ..ReplicaWatch::default()
            },
            shipping: Some(ReplicaShipping {
                term: Some(1),
                sequence: 4,
                complete_at: Some(time(119)),
                behind_ms: Some(1000),
                kept_bytes: 0,
                read_back_at: None,
                fenced: false,
                error: None,
            }),
        }
    }

    #[test]
    fn the_line_says_until_when_it_can_be_restored_how_long_that_took_and_all_that_is_wrong() {
        let words = state().in_words(time(120));
        assert_eq!(
            words,
            "s3://b/p; restorable until 1970-01-01T00:01:59.000000+00:00, 1s ago; restorable from \
             1970-01-01T00:00:00.000000+00:00, verified 20s ago; last drill 1m ago: 7 records came back, took 2s 500ms"
        );
        let mut wrong = state();
        wrong.watch.finding = Some("a part is missing".into());
        wrong.watch.drill_error = Some("it is damaged".into());
        let words = wrong.in_words(time(120));
        assert!(words.contains("WRONG: a part is missing") && words.contains("FAILED: it is damaged"), "{words}");
        wrong.shipping = None;
        assert!(!wrong.in_words(time(120)).contains("until") && wrong.behind().is_none());
    }

    #[cfg(feature = "replica")]
    #[test]
    fn a_store_that_is_in_no_replica_any_more_has_none() {
        let hive = crate::testkit::checked_store::Fixture::new();
        hive.store.begin_feed(0).unwrap();
        hive.store.note_replica(&state().watch, None).unwrap();
        assert_eq!(ReplicaState::of(&hive.view()).unwrap().unwrap().watch, state().watch);
        hive.store.end_feed().unwrap();
        assert_eq!(ReplicaState::of(&hive.view()).unwrap(), None);
    }

    #[test]
    fn its_json_reads_back() {
        let json = serde_json::to_value(state()).unwrap();
        assert_eq!((&json["location"], &json["shipping"]["behind_ms"]), (&"s3://b/p".into(), &1000.into()));
        assert_eq!(serde_json::from_value::<ReplicaState>(json).unwrap(), state());
    }
}
