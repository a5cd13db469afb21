//! The replica of a store, for those who look at the store: how far it is behind, and whether a restore would work.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::{self, show_time};
use crate::duration;
use crate::engine::feed::{Fence, Standby, Unshipped};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::recovery::check::last_replica::ReplicaWatch;
use crate::text::{counted, show_bytes};
use crate::transfer::archives::same_file_system;

/// A replica that did not have everything for longer is late.
pub(crate) const LATE: Duration = Duration::from_secs(60);

/// The replica of a store, as far as the store and the process that ships it know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// The last verification, and the last drill.
    #[serde(flatten)]
    pub watch: ReplicaWatch,
    /// Shipping; none if no process that is asked ships the store.
    pub shipping: Option<ReplicaShipping>,
    /// The commits that wait for the replica, as the file says it; none of a copy.
    pub waiting: Option<ReplicaWaiting>,
    /// How another machine got the history of this store, so that its file is locked.
    pub overtaken: Option<ReplicaOvertaken>,
    /// The file as a copy of a replica; none of a store that is written to.
    #[serde(default)]
    pub copy: Option<ReplicaCopy>,
}

/// A file that is a copy of a replica, so that it refuses writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCopy {
    /// The number of its last commit, as far as that can be read.
    pub sequence: Option<u64>,
    /// The time of the newest object of the replica of which it has anything.
    #[serde(with = "clock::time::option")]
    pub time: Option<Timestamp>,
    /// Whether a standby keeps it up to date now.
    pub is_followed: bool,
}

/// The commits of a store that wait for its replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaWaiting {
    /// The number of the newest commit in the replica, as far as that was written down.
    pub shipped: u64,
    /// The time of that commit, as far as it was written down.
    #[serde(default, with = "clock::time::option")]
    pub shipped_at: Option<Timestamp>,
    /// The bytes of the commits behind it that the store keeps.
    pub kept_bytes: u64,
    /// Whether any process ships the store now.
    pub is_shipped: bool,
}

impl ReplicaCopy {
    /// Its state in one line.
    pub(crate) fn in_words(&self, now: Timestamp) -> String {
        let Self { sequence, time, is_followed } = self;
        let commit = sequence.map(|sequence| format!(", with commit {sequence}")).unwrap_or_default();
        let at = time.map_or_else(String::new, |at| {
            format!(" of {}, {} ago", show_time(at), duration::show(duration::since(at, now)))
        });
        let by = if *is_followed { "a standby keeps it up to date" } else { "NOBODY KEEPS IT UP TO DATE" };
        format!("this file is a copy{commit}{at}; it refuses writes; {by}")
    }
}

impl From<Unshipped> for ReplicaWaiting {
    fn from(Unshipped { shipped, shipped_at, kept_bytes, is_shipped }: Unshipped) -> Self {
        Self { shipped, shipped_at, kept_bytes, is_shipped }
    }
}

/// A store whose history another machine goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaOvertaken {
    /// The term with which it goes on, as far as that is known.
    pub by_term: Option<u64>,
    /// When this was noticed.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
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
    /// The lease of the process that ships, in milliseconds; none without a lease.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// The time for which the service may still write without a new answer of the replica, in milliseconds; none
    /// without a lease.
    pub lease_left_ms: Option<u64>,
    /// Whether another process has the history now.
    pub fenced: bool,
    /// The error of the last try to ship, or to read back; none after a success.
    pub error: Option<String>,
    /// The reason why no new base could be made, if one is due. Commits are shipped all the same.
    #[serde(default)]
    pub base_error: Option<String>,
    /// Whether objects that were old enough a week ago are still there, since no process has shipped the store for six
    /// hours in a row.
    #[serde(default)]
    pub collection_overdue: bool,
}

/// The row of the watch. A damaged one, which the check of the store names, keeps nobody from anything.
fn known(view: &View) -> Result<Option<ReplicaWatch>> {
    match view.replica_watch() {
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(Some(ReplicaWatch::default())),
        read => read,
    }
}

impl ReplicaState {
    /// The replica of a store, without the shipping of this process; none if the store is in none, also if it once was.
    pub(crate) fn of(store: &Store, view: &View) -> Result<Option<Self>> {
        if let Some(standby) = store.standby()? {
            return Self::of_copy(store, standby).map(Some);
        }
        let fence = store.overtaken()?;
        let waiting = store.waiting_for_replica(view)?;
        if fence.is_none() && waiting.is_none() {
            return Ok(None);
        }
        let location = fence.as_ref().map(|fence| fence.replica.clone());
        let unknown = || location.map(|location| ReplicaWatch { location, ..ReplicaWatch::default() });
        let Some(watch) = known(view)?.or_else(unknown) else { return Ok(None) };
        let waiting = waiting.map(ReplicaWaiting::from);
        let overtaken = fence.map(|Fence { by_term, at, .. }| ReplicaOvertaken { by_term, at });
        Ok(Some(Self { watch, shipping: None, waiting, overtaken, copy: None }))
    }

    /// The replica that a copy comes from. The findings of its source about the replica have come along, and are old.
    fn of_copy(store: &Store, standby: Standby) -> Result<Self> {
        let (sequence, time) = standby.place().map(|place| (place.sequence, place.time)).unzip();
        let copy = Some(ReplicaCopy { sequence, time, is_followed: store.is_shipped()? });
        let watch = ReplicaWatch { location: standby.from, ..ReplicaWatch::default() };
        Ok(Self { watch, shipping: None, waiting: None, overtaken: None, copy })
    }

    /// Whether the file refuses writes: it is a copy, or another machine has its history.
    pub fn refuses_writes(&self) -> bool {
        self.copy.is_some() || self.overtaken.is_some()
    }

    /// Whether no process ships the store, so that the replica misses each further commit.
    pub(crate) fn is_left_alone(&self) -> bool {
        let waits_alone = self.waiting.as_ref().is_some_and(|waiting| !waiting.is_shipped);
        self.overtaken.is_none() && self.shipping.is_none() && waits_alone
    }

    /// The time for which the replica has not had everything; none if nobody ships, or it never had.
    pub fn behind(&self) -> Option<Duration> {
        self.shipping.as_ref()?.behind_ms.map(Duration::from_millis)
    }

    /// The same, also where nobody ships, or the replica was not reached yet: then the age of the newest commit in it.
    /// None where another process ships, which knows it.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        let is_known = self.shipping.is_some() || self.is_left_alone();
        let newest = self.waiting.as_ref().filter(|_| is_known).and_then(|waiting| waiting.shipped_at);
        self.behind().or_else(|| newest.map(|at| duration::since(at, now)))
    }

    /// The moment up to which everything would come back from the replica if the store were lost. None where nobody
    /// can tell: it is not shipped, is late, another machine has the history, or something is wrong with it; and where
    /// it is on the same file system as the store.
    pub fn restorable_until(&self, store: &Store) -> Option<Timestamp> {
        if self.watch.trouble().is_some() || self.overtaken.is_some() || self.is_beside(store) {
            return None;
        }
        match (&self.shipping, &self.waiting) {
            (Some(ReplicaShipping { fenced: false, complete_at, .. }), _) => {
                complete_at.filter(|at| duration::since(*at, store.clock().now()) <= LATE)
            }
            // Another process ships it: what waits must not be old, or the bucket may be away.
            (None, Some(ReplicaWaiting { is_shipped: true, shipped_at, kept_bytes, .. })) => {
                shipped_at.filter(|at| *kept_bytes == 0 || duration::since(*at, store.clock().now()) <= LATE)
            }
            _ => None,
        }
    }

    /// Whether it, or the machine that writes it, has everything that this file has.
    pub(crate) fn is_another_copy(&self, store: &Store) -> bool {
        self.copy.is_some() || self.restorable_until(store).is_some()
    }

    /// Whether it is a folder on the same file system as the store.
    pub(crate) fn is_beside(&self, store: &Store) -> bool {
        same_file_system(Path::new(&self.watch.location), store.path()) == Some(true)
    }

    /// How the shipping by this process begins, in one line; none if this process does not ship.
    pub fn greeting(&self) -> Option<String> {
        let ReplicaShipping { term, lease_ms, .. } = self.shipping.as_ref()?;
        let location = &self.watch.location;
        let Some(term) = term else {
            return Some(format!("{location}, not reached yet: commits wait for it, and it is tried again"));
        };
        let lease = lease_ms.map(|lease| format!(", a lease of {}", duration::exact(Duration::from_millis(lease))));
        let (lease, sequence) = (lease.unwrap_or_default(), self.sequence());
        Some(format!("{location}, term {term}{lease}, as far as commit {sequence}"))
    }

    /// The number of the newest commit in the replica, as far as that is known.
    pub fn sequence(&self) -> u64 {
        let shipping = self.shipping.as_ref().map_or(0, |shipping| shipping.sequence);
        self.waiting.as_ref().map_or(shipping, |waiting| waiting.shipped.max(shipping))
    }

    /// Its state in one line.
    pub fn in_words(&self, now: Timestamp) -> String {
        let Self { watch, shipping, waiting, overtaken, copy } = self;
        let ago = |at: Timestamp| duration::show(duration::since(at, now));
        let mut parts = vec![watch.location.clone()];
        // Nothing else matters then, and what is known of the replica is old.
        if let Some(copy) = copy {
            parts.push(copy.in_words(now));
            return parts.join("; ");
        }
        if let Some(ReplicaOvertaken { by_term, at }) = overtaken {
            let term = by_term.map(|term| format!(", with term {term}")).unwrap_or_default();
            let locked =
                format!("ANOTHER MACHINE HAS THE HISTORY{term}, noticed {} ago; this file is locked", ago(*at));
            parts.push(locked);
            return parts.join("; ");
        }
        match shipping {
            Some(ReplicaShipping { fenced: true, error, .. }) => {
                let why = error.clone().unwrap_or_else(|| "another process has the history".to_owned());
                return format!("{}; THIS PROCESS WRITES NOTHING ANY MORE: {why}", parts.join("; "));
            }
            Some(ReplicaShipping { complete_at: Some(at), .. }) => {
                parts.push(format!("restorable until {}, {} ago", show_time(*at), ago(*at)));
            }
            Some(_) => parts.push("it did not have everything yet".to_owned()),
            None => {}
        }
        if let (None, Some(ReplicaWaiting { shipped, shipped_at, kept_bytes, is_shipped })) = (shipping, waiting) {
            let who = if *is_shipped { "another process ships it" } else { "NO PROCESS SHIPS IT" };
            let of = shipped_at.map(|at| format!(" of {}", show_time(at))).unwrap_or_default();
            parts.push(format!("{who}, it has commit {shipped}{of} at least, {} wait", show_bytes(*kept_bytes)));
        }
        parts.extend(shipping.iter().filter_map(|shipping| shipping.error.clone()));
        let of_base = shipping.iter().filter_map(|shipping| shipping.base_error.as_ref());
        parts.extend(of_base.map(|error| format!("NO NEW BASE COULD BE MADE: {error}")));
        if shipping.as_ref().is_some_and(|shipping| shipping.collection_overdue) {
            parts.push(
                "OLD OBJECTS ARE STILL THERE: they are removed once the store is shipped for twelve hours in a row"
                    .into(),
            );
        }
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
                lease_ms: None,
                lease_left_ms: None,
                fenced: false,
                error: None,
                base_error: None,
                collection_overdue: false,
            }),
            waiting: None,
            overtaken: None,
            copy: None,
        }
    }

    #[test]
    fn a_replica_that_nobody_ships_and_a_file_that_is_locked_are_named() {
        let shipped_at = Some(time(60));
        let waiting = |is_shipped, kept_bytes| Some(ReplicaWaiting { shipped: 41, shipped_at, kept_bytes, is_shipped });
        let alone = ReplicaState { shipping: None, waiting: waiting(false, 1 << 20), ..state() };
        let words = alone.in_words(time(120));
        let expected =
            "NO PROCESS SHIPS IT, it has commit 41 of 1970-01-01T00:01:00.000000+00:00 at least, 1.0 MB wait";
        assert!(words.contains(expected), "{words}");
        let elsewhere = ReplicaState { waiting: waiting(true, 1 << 20), ..alone.clone() };
        assert!(elsewhere.in_words(time(120)).contains("another process ships it"));
        let at_rest = ReplicaState { waiting: waiting(false, 100), ..alone.clone() };
        let overtaken = Some(ReplicaOvertaken { by_term: Some(8), at: time(60) });
        let locked = ReplicaState { overtaken, ..alone.clone() };
        let words = locked.in_words(time(120));
        assert!(words.contains("ANOTHER MACHINE HAS THE HISTORY, with term 8, noticed 1m ago"), "{words}");
        let fenced = |error: Option<&str>| {
            let error = error.map(str::to_owned);
            let shipping = ReplicaShipping { fenced: true, error, ..state().shipping.unwrap() };
            ReplicaState { shipping: Some(shipping), ..state() }
        };
        let said_once = ReplicaState { overtaken: locked.overtaken.clone(), ..fenced(Some("it was overtaken")) };
        assert_eq!(said_once.in_words(time(120)), locked.in_words(time(120)));
        for (error, why) in [(Some("it was cloned"), "it was cloned"), (None, "another process has the history")] {
            let words = fenced(error).in_words(time(120));
            assert_eq!(words, format!("s3://b/p; THIS PROCESS WRITES NOTHING ANY MORE: {why}"));
        }
        let states = [&alone, &elsewhere, &at_rest, &locked, &state()];
        assert_eq!(states.map(ReplicaState::is_left_alone), [true, false, true, false, false]);
        let lags = states.map(|state| state.lag(time(120)).map(|lag| lag.as_secs()));
        assert_eq!(lags, [Some(60), None, Some(60), None, Some(1)]);
        let shipping = ReplicaShipping { complete_at: None, behind_ms: None, ..state().shipping.unwrap() };
        let unreached = ReplicaState { shipping: Some(shipping), waiting: waiting(true, 100), ..state() };
        assert_eq!(unreached.lag(time(120)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_copy_says_of_what_it_is_one_and_of_which_moment_and_whether_anybody_follows() {
        let copy = |is_followed| Some(ReplicaCopy { sequence: Some(7), time: Some(time(60)), is_followed });
        let words = ReplicaState { copy: copy(true), ..state() }.in_words(time(120));
        assert_eq!(
            words,
            "s3://b/p; this file is a copy, with commit 7 of 1970-01-01T00:01:00.000000+00:00, 1m ago; it refuses \
             writes; a standby keeps it up to date"
        );
        let words = ReplicaState { copy: copy(false), ..state() }.in_words(time(120));
        assert!(words.ends_with("; NOBODY KEEPS IT UP TO DATE"), "{words}");
    }

    #[test]
    fn the_greeting_says_where_the_store_is_shipped_in_which_term_and_how_far_it_is() {
        let waiting = Some(ReplicaWaiting { shipped: 41, shipped_at: None, kept_bytes: 0, is_shipped: true });
        let begun = |term, lease_ms| {
            let shipping = ReplicaShipping { term, lease_ms, sequence: 0, ..state().shipping.unwrap() };
            ReplicaState { shipping: Some(shipping), waiting: waiting.clone(), ..state() }.greeting()
        };
        let far = "as far as commit 41";
        assert_eq!(begun(Some(3), Some(30_000)), Some(format!("s3://b/p, term 3, a lease of 30s, {far}")));
        assert_eq!(begun(Some(3), None), Some(format!("s3://b/p, term 3, {far}")));
        assert!(begun(None, None).unwrap().starts_with("s3://b/p, not reached yet"));
        assert_eq!(ReplicaState { shipping: None, ..state() }.greeting(), None);
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
        if let Some(shipping) = &mut wrong.shipping {
            shipping.base_error = Some("a row is damaged".into());
            shipping.collection_overdue = true;
        }
        let words = wrong.in_words(time(120));
        assert!(words.contains("NO NEW BASE COULD BE MADE: a row is damaged"), "{words}");
        assert!(words.contains("OLD OBJECTS ARE STILL THERE"), "{words}");
        assert!(words.contains("WRONG: a part is missing") && words.contains("FAILED: it is damaged"), "{words}");
        wrong.shipping = None;
        assert!(!wrong.in_words(time(120)).contains("until") && wrong.behind().is_none());
    }

    #[test]
    fn everything_comes_back_up_to_the_moment_at_which_a_replica_that_is_well_had_it() {
        let hive = crate::testkit::checked_store::Fixture::new();
        let (now, until) = (hive.store.clock().now(), |state: &ReplicaState| state.restorable_until(&hive.store));
        let shipping = |at, fenced| {
            let complete_at = Some(clock::before(now, Duration::from_secs(at)));
            let shipping = ReplicaShipping { complete_at, fenced, ..state().shipping.unwrap() };
            ReplicaState { shipping: Some(shipping), ..state() }
        };
        let well = shipping(60, false);
        assert_eq!(until(&well), Some(clock::before(now, LATE)));
        assert_eq!([shipping(61, false), shipping(1, true)].map(|state| until(&state)), [None, None]);
        let waiting = |is_shipped| {
            let waiting = ReplicaWaiting { shipped: 1, shipped_at: Some(now), kept_bytes: 1, is_shipped };
            ReplicaState { shipping: None, waiting: Some(waiting), ..state() }
        };
        assert_eq!([true, false].map(|is_shipped| until(&waiting(is_shipped))), [Some(now), None]);
        let mut wrong = well.clone();
        wrong.watch.finding = Some("a part is missing".into());
        let overtaken = Some(ReplicaOvertaken { by_term: None, at: now });
        let mut beside = well.clone();
        beside.watch.location = hive.store.path().parent().unwrap().to_str().unwrap().into();
        for state in [wrong, ReplicaState { overtaken, ..well }, beside] {
            assert_eq!(until(&state), None, "{state:?}");
        }
    }

    #[cfg(feature = "replica")]
    #[test]
    fn a_store_that_is_in_no_replica_any_more_has_none() {
        let hive = crate::testkit::checked_store::Fixture::new();
        hive.store.begin_feed(0).unwrap();
        hive.store.note_replica(&state().watch, None).unwrap();
        assert_eq!(ReplicaState::of(&hive.store, &hive.view()).unwrap().unwrap().watch, state().watch);
        hive.store.end_feed().unwrap();
        assert_eq!(ReplicaState::of(&hive.store, &hive.view()).unwrap(), None);
    }

    #[test]
    fn its_json_reads_back() {
        let json = serde_json::to_value(state()).unwrap();
        assert_eq!((&json["location"], &json["shipping"]["behind_ms"]), (&"s3://b/p".into(), &1000.into()));
        assert_eq!(serde_json::from_value::<ReplicaState>(json).unwrap(), state());
    }
}
