//! The verb that restores a store from its replica, with what a caller chooses and hears.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::moment::ReplicaMoment;
use super::restore::{Copier, RestoredCopy};
use crate::engine::store::Store;
use crate::error::Result;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;

/// How a replica is restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReplicaOptions {
    /// The moment.
    pub at: ReplicaMoment,
    /// The text of an age identity file, for an encrypted replica.
    pub identity: Option<String>,
}

/// A copy that was made from a replica. Nobody writes to it until it is taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredReplica {
    /// The number of its last commit.
    pub sequence: u64,
    /// When this commit was shipped, or the base was made that it began with.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// The term in which this was.
    pub term: u64,
    /// The base that it began with.
    pub base: String,
    /// Newer bases that could not be used, with the reasons.
    pub passed_over: Vec<String>,
}

impl RestoredReplica {
    pub(in crate::replica) fn of(RestoredCopy { position, base, passed_over }: RestoredCopy) -> Self {
        let (sequence, time, term) = (position.sequence, position.time, position.slot.term.0.into());
        Self { sequence, time, term, base: base.to_string(), passed_over }
    }
}

impl Store {
    /// Makes a copy at `to` of the state that a store had at a moment, from its replica. Every collection is compared
    /// with its source. The copy can be read, and is written to once it is [taken over](Store::take_over_replica).
    ///
    /// # Errors
    ///
    /// `Conflict` when there is a file, when nothing behind the moment is in the replica, when it does not have the
    /// commits of that moment, or when a clock that was ahead has written behind it; `NotFound` when there is no
    /// replica, or nothing that old in it; `Damaged` for an object that is missing or wrong, with its name; `Invalid`
    /// with a hint when the replica is encrypted for others; the errors of the bucket; `Full`, `Io`. Then there is no
    /// file at `to`.
    pub fn restore_replica(
        from: &ReplicaLocation,
        to: impl AsRef<Path>,
        options: &RestoreReplicaOptions,
    ) -> Result<RestoredReplica> {
        block_on(async {
            let copier = Copier::open(from, options.identity.as_deref()).await?;
            copier.restore(to.as_ref(), &options.at).await.map(RestoredReplica::of)
        })
    }
}
