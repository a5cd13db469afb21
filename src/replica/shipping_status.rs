//! How shipping goes, as everybody may ask.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::recovery::check::last_replica::ReplicaWatch;

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
    /// Whether objects of the replica that were old enough a week ago are still there, since no process has run for six
    /// hours in a row.
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
