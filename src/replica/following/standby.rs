//! A standby for blocking callers: a copy that follows a replica, is read meanwhile, and can become its source.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::follower::{Follower, FollowerStep};
use super::take_over::{TakeOverOptions, TakenOver};
use crate::engine::store::Store;
use crate::error::Result;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::OwnRuntime;
use crate::replica::reading::position::CopyPosition;
use crate::replica::restoring::restore::Copier;
use crate::replica::restoring::restored::{RestoreReplicaOptions, RestoredReplica};
use crate::state::INDEXES;

/// A standby: a copy of a store that follows its replica. It can be read meanwhile, also by other processes, and
/// becomes the source of the replica when it is promoted.
///
/// # Examples
///
/// ```
/// use hivekeep::{InitReplicaOptions, ReplicaStandby, Sharing, StandbyChange, Store, TakeOverOptions};
/// # use std::time::Duration;
///
/// # let dir = tempfile::tempdir().unwrap();
/// let at = dir.path().join("replica").to_str().unwrap().parse()?;
/// # let path = dir.path().join("hive.redb");
/// let store = Store::options().sharing(Sharing::Exclusive).open(path)?;
/// store.init_replica(&at, &InitReplicaOptions::default())?;
/// let replicator = store.replicate(&at, Default::default(), Duration::from_secs(5))?;
/// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
/// drop(replicator);
///
/// let copy = dir.path().join("copy.redb");
/// let mut standby = ReplicaStandby::open(&at, &copy, None)?;
/// while standby.step()?.change != StandbyChange::Nothing {}
/// assert_eq!(standby.store()?.view()?.config().get("limit")?, Some(serde_json::json!(5)));
/// // The machine of the store is gone.
/// drop(store);
/// standby.promote(&TakeOverOptions::default())?;
/// Store::open(&copy)?.write(|tx| tx.config().put("limit", &serde_json::json!(6)))?;
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub struct ReplicaStandby {
    // Before the runtime, in which its requests run.
    follower: Follower,
    runtime: OwnRuntime,
}

/// How far a standby is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StandbyProgress {
    /// The change that the step made.
    pub change: StandbyChange,
    /// The number of the newest commit that the standby has.
    pub sequence: u64,
    /// When the newest object of which it has anything was shipped.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// The term of its next object.
    pub term: u64,
}

/// The change that a step of a standby made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandbyChange {
    /// There was nothing new in the replica.
    Nothing,
    /// Commits were applied, or the next term began.
    Moved,
    /// The copy was made anew from a base, as it was not part of the history any more. Others who have it open open it
    /// again.
    Anew,
}

/// The lease of the process that writes a replica, as a standby sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyLease {
    /// The time for which a successor waits without a sign of that process.
    pub length: Duration,
    /// Whether there was no sign for so long.
    pub is_over: bool,
}

impl ReplicaStandby {
    /// Opens the copy at a path, or makes it if there is no file. An encrypted replica needs the text of an age
    /// identity file.
    ///
    /// # Errors
    ///
    /// `Conflict` when the file is no copy, or one of another replica; `Locked` when another standby follows with it;
    /// as [`Store::restore_replica`], and as opening a store.
    pub fn open(from: &ReplicaLocation, path: impl AsRef<Path>, identity: Option<&str>) -> Result<Self> {
        let runtime = OwnRuntime::new()?;
        let follower = runtime.block_on(async {
            let copier = Copier::open(from, identity).await?;
            Follower::open(copier, path.as_ref(), Store::options()).await
        })?;
        Ok(Self { follower, runtime })
    }

    /// Makes a copy of a moment that is to take the replica over: by [`promote`](Self::promote) if it is the newest
    /// one, and by [`take_over`](Self::take_over) otherwise. Before that, retention removes nothing of which the copy
    /// was made, for a day at most. [`close`](Self::close) ends this too.
    ///
    /// # Errors
    ///
    /// As [`Store::restore_replica`], and as opening a store. Without a copy there is no file at `path`.
    pub fn restore(
        from: &ReplicaLocation,
        path: impl AsRef<Path>,
        options: &RestoreReplicaOptions,
    ) -> Result<(Self, RestoredReplica)> {
        let runtime = OwnRuntime::new()?;
        let (follower, restored) = runtime.block_on(async {
            let copier = Copier::open(from, options.identity.as_deref()).await?;
            Follower::restore(copier, path.as_ref(), &options.at, Store::options()).await
        })?;
        Ok((Self { follower, runtime }, RestoredReplica::of(restored)))
    }

    /// Whether the file at a path was a copy that was promoted, or is the source of a replica otherwise. False if there
    /// is none, and for the file of a store that was overtaken.
    ///
    /// # Errors
    ///
    /// As opening a store.
    pub fn was_promoted(path: impl AsRef<Path>) -> Result<bool> {
        if std::fs::symlink_metadata(path.as_ref()).is_err() {
            return Ok(false);
        }
        let store = Store::options().create(false).session(false).open_with(path.as_ref(), INDEXES)?;
        let is_source = !store.is_standby() && store.feed_status()?.is_some() && store.overtaken()?.is_none();
        store.close_file()?;
        Ok(is_source)
    }

    /// Applies everything that is in the replica now, or some thousand objects of it. Call it about once in a second,
    /// and at once while it moves; without anything new it costs one request.
    ///
    /// # Errors
    ///
    /// `Damaged` for an object that is missing or wrong, with its name; the errors of the bucket; `Full`, `Io`. The
    /// copy stays as it is then, and the next step tries again.
    pub fn step(&mut self) -> Result<StandbyProgress> {
        let step = self.runtime.block_on(self.follower.step())?;
        let (change, position) = match step {
            FollowerStep::Nothing => (StandbyChange::Nothing, self.follower.position()?),
            FollowerStep::Moved(position) => (StandbyChange::Moved, position),
            FollowerStep::Anew(position) => (StandbyChange::Anew, position),
        };
        let (sequence, time, term) = (position.sequence, position.time, position.slot.term.0.into());
        Ok(StandbyProgress { change, sequence, time, term })
    }

    /// The lease of the process that writes; none if it has none. Call it after each step: the lease counts from the
    /// first call behind a new object. Once it is over, [`promote`](Self::promote)
    /// with [`if_silent`](TakeOverOptions::if_silent) takes over.
    ///
    /// # Errors
    ///
    /// The errors of the bucket; as a view.
    pub fn lease(&mut self) -> Result<Option<StandbyLease>> {
        let lease = self.runtime.block_on(self.follower.lease())?;
        Ok(lease.map(|(lease, is_over)| StandbyLease { length: lease.length(), is_over }))
    }

    /// Writes a small object to the replica, and removes it: whether a promotion has the rights that it needs.
    ///
    /// # Errors
    ///
    /// `Forbidden` when the bucket refuses it; the errors of the bucket.
    pub fn try_write(&self) -> Result<()> {
        self.runtime.block_on(self.follower.try_write())
    }

    /// The copy, to be read: every write is refused. It is another one after [`StandbyChange::Anew`].
    ///
    /// # Errors
    ///
    /// As opening a store.
    pub fn store(&mut self) -> Result<&Store> {
        self.follower.store()
    }

    /// Makes the copy the source of the replica. This ends the term of the process that writes now, if it still does,
    /// and applies everything that it has shipped. [`Store::replicate`] goes on from there. If that process has a
    /// lease, this waits for its end, unless it is forced: until then the other one may still write. After an error,
    /// the copy still follows.
    ///
    /// # Errors
    ///
    /// `Conflict` when another process takes over at the same moment; as [`ReplicaStandby::step`], and as a write.
    pub fn promote(self, options: &TakeOverOptions) -> Result<TakenOver> {
        let Self { follower, runtime } = self;
        runtime.block_on(follower.promote(options))
    }

    /// The same for the copy as it is: the replica gives up all that it has behind it.
    ///
    /// # Errors
    ///
    /// As [`promote`](Self::promote), and `Conflict` when the history was moved to an earlier moment since the copy was
    /// made.
    pub fn take_over(self, options: &TakeOverOptions) -> Result<TakenOver> {
        let Self { follower, runtime } = self;
        runtime.block_on(follower.take_over(options))
    }

    /// Closes the copy.
    ///
    /// # Errors
    ///
    /// As [`Store::close`].
    pub fn close(self) -> Result<()> {
        let Self { mut follower, runtime } = self;
        runtime.block_on(async {
            follower.let_go().await;
            follower.close()
        })
    }
}

impl Store {
    /// The time of the newest object of its replica of which a copy has anything: the copy shows the state of that
    /// moment, or of now if nothing was written since. None for a store that is no copy.
    ///
    /// # Errors
    ///
    /// As a view; `Damaged`.
    pub fn copy_time(&self) -> Result<Option<Timestamp>> {
        if !self.is_standby() {
            return Ok(None);
        }
        let position = self.standby()?.and_then(|row| row.position);
        position.map(|bytes| CopyPosition::of_bytes(&bytes).map(|at| at.time)).transpose()
    }
}

impl fmt::Debug for ReplicaStandby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaStandby").finish_non_exhaustive()
    }
}
