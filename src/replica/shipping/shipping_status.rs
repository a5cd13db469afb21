//! How shipping goes, as everybody may ask.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::recovery::check::last_replica::ReplicaWatch;
use crate::replica::checks::watch::Shipping;

/// The state of shipping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationStatus {
    /// The location of the replica.
    pub location: String,
    /// The term that this process writes; none before it was opened.
    pub term: Option<u64>,
    /// The number of the newest commit in the replica.
    pub sequence: u64,
    /// When the replica had everything last; none before it had.
    pub complete_at: Option<Timestamp>,
    /// When an object was read back last.
    pub read_back_at: Option<Timestamp>,
    /// The error of reading back last; none after a success.
    pub read_back_error: Option<String>,
    /// The error of the last try; none after a success.
    pub error: Option<String>,
    /// The reason why no new base could be made, if one is due; none after a success. Commits are shipped all the same.
    pub base_error: Option<String>,
    /// Whether a new base could not be made for a day, or the log behind the newest one has become far too long.
    pub base_overdue: bool,
    /// Whether objects of the replica that were old enough a week ago are still there, since no process has run for
    /// twelve hours in a row.
    pub collection_overdue: bool,
    /// The time for which this process may still write without a new answer of the replica, in milliseconds; none
    /// without a lease.
    pub lease_left_ms: Option<u64>,
    /// Whether another process has the history now, so that this one writes nothing any more.
    pub fenced: bool,
    /// The last verification of the replica, and the last drill with it.
    pub watch: ReplicaWatch,
}

impl ReplicationStatus {
    /// The state of shipping before any term was opened.
    pub(crate) fn begin(location: String) -> Self {
        Self {
            location,
            term: None,
            sequence: 0,
            complete_at: None,
            read_back_at: None,
            read_back_error: None,
            error: None,
            base_error: None,
            base_overdue: false,
            collection_overdue: false,
            lease_left_ms: None,
            fenced: false,
            watch: ReplicaWatch::default(),
        }
    }
}

/// The state of shipping that its thread and everybody else share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<ReplicationStatus>,
    /// The reason why no term can be opened, if it does not pass by itself.
    pub(super) refusal: Mutex<Option<Error>>,
    /// Whether the caller that starts it has gone on. Before, a refusal is told to that caller alone.
    pub(super) has_started: AtomicBool,
    pub(super) changed: Condvar,
    /// Whether the last look at the bucket has failed, and nothing was written to it since. An idle store sends
    /// nothing, so that nothing else fails.
    is_away: AtomicBool,
}

impl Shared {
    pub(super) fn begin(location: String) -> Self {
        Self {
            state: Mutex::new(ReplicationStatus::begin(location)),
            refusal: Mutex::default(),
            has_started: AtomicBool::new(false),
            changed: Condvar::new(),
            is_away: AtomicBool::new(false),
        }
    }

    /// Notes that everything that the store had at that time was sent.
    pub(super) fn note_complete(&self, at: Timestamp, sequence: u64) {
        let is_away = self.is_away.load(Ordering::Acquire);
        self.note(|state| {
            state.sequence = sequence;
            if !is_away {
                (state.complete_at, state.error) = (Some(at), None);
            }
        });
    }

    /// Notes whether the bucket has answered.
    pub(super) fn note_looked(&self, looked: Result<()>) {
        self.is_away.store(looked.is_err(), Ordering::Release);
        if let Err(error) = looked {
            tracing::warn!(%error, "the replica could not be looked at; it is tried again");
            self.note(|state| state.error = Some(error.to_string()));
        }
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut ReplicationStatus)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    pub(super) fn shipping(&self) -> Shipping {
        let state = self.state.lock();
        match (state.fenced, state.term) {
            (true, _) => Shipping::IsOver,
            (false, None) => Shipping::Waits,
            (false, Some(_)) => Shipping::Goes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::testkit::checked_store::time;

    #[test]
    fn the_replica_of_an_idle_store_is_complete_only_while_its_bucket_answers() {
        let shared = Shared::begin("there".into());
        let state = || {
            let state = shared.state.lock();
            (state.complete_at, state.error.clone(), state.sequence)
        };
        shared.note_complete(time(1), 7);
        shared.note_looked(Ok(()));
        assert_eq!(state(), (Some(time(1)), None, 7));
        shared.note_looked(Err(Error::new(ErrorKind::Io, "no route")));
        shared.note_complete(time(2), 7);
        assert_eq!(state(), (Some(time(1)), Some("no route".into()), 7));
        shared.note_looked(Ok(()));
        shared.note_complete(time(3), 8);
        assert_eq!(state(), (Some(time(3)), None, 8));
    }
}
