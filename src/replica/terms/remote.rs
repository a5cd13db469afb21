//! The two sides of the protocol, as it sees them: the objects of the replica, and the state on this machine. The
//! simulation of the tests has its own of both.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::replica::bucket::{Creation, ListPage};
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::kinds::{LogOpen, TermClaim};
use crate::replica::objects::layout::{Nonce, ObjectHash, StoreId};
use crate::replica::objects::name::{Folder, ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};

/// The objects of one replica.
pub(crate) trait Remote {
    /// The id of the store.
    fn store(&self) -> StoreId;
    /// The time now.
    fn now(&self) -> Timestamp;
    /// The time since some moment, by a clock that nobody sets, and that goes on while the machine sleeps.
    fn boot_time(&self) -> Duration;
    /// The name of this machine, for people, and of the file that this process writes.
    fn machine(&self) -> String;
    /// Whether a claim is of a process that wrote the file of this one, on this machine since its start. Only one
    /// process at a time has the file for itself.
    fn is_own(&self, claim: &TermClaim) -> bool;
    /// A number that no other object has.
    fn nonce(&self) -> Nonce;
    /// The key of a term that this process is about to claim, encrypted; none if the replica is plain.
    fn wrapped_key(&self, term: Term) -> Result<Option<String>>;
    /// An object as it will be written. Its bytes never change from here on.
    fn prepare(&self, name: ObjectName, object: Object, body: &[u8]) -> Result<StoredObject>;
    /// Creates an object unless its name exists, in one try.
    async fn create(&self, object: &StoredObject) -> Result<Creation>;
    /// An object; none if it is not there, for certain.
    async fn get(&self, name: ObjectName) -> Result<Option<StoredObject>>;
    /// Names in a folder, in order. One that is missing may be there.
    async fn list(&self, folder: Folder) -> Result<Vec<ObjectName>>;
    /// The first ones from behind a name on and before another, in order, since a folder may have very many.
    async fn list_page(
        &self,
        folder: Folder,
        after: Option<ObjectName>,
        before: Option<ObjectName>,
    ) -> Result<ListPage>;
    /// The body of an object, decrypted.
    async fn body(&self, object: &StoredObject) -> Result<Vec<u8>>;
    /// Waits before another try, longer with each.
    ///
    /// # Errors
    ///
    /// `why`, once several tries together took too long, the first of which began then by
    /// [`boot_time`](Self::boot_time).
    async fn wait(&self, tries: u32, since: Duration, why: Error) -> Result<()>;
    /// Waits for a moment.
    async fn rest(&self);
}

/// The objects of one replica, for a process that may delete some.
pub(crate) trait Deletes: Remote {
    /// Deletes an object, if it is there.
    async fn delete(&self, name: ObjectName) -> Result<()>;
    /// Deletes objects in any order.
    async fn delete_all(&self, names: &[ObjectName]) -> Result<()> {
        for name in names {
            self.delete(*name).await?;
        }
        Ok(())
    }
}

/// The place up to which the replica has a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaPosition {
    /// The slot of the next object.
    pub(crate) slot: ReplicaSlot,
    /// The check of the object before that slot.
    pub(crate) previous: ObjectHash,
    /// The last commit that the replica has.
    pub(crate) sequence: u64,
    /// The digest of the state after it.
    pub(crate) states: ObjectHash,
    /// The time of the last batch.
    pub(crate) time: Timestamp,
}

/// Whether a state could do what the log of the replica requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a state that is apart needs a base"]
pub(crate) enum Fit {
    Fits,
    /// It has commits of its own that the replica does not have, and cannot take them back.
    Apart,
}

/// A state on this machine, with commits behind its position that the replica does not have yet: its *tail*.
pub(crate) trait Local {
    /// Its place in the replica; none if it never was in it.
    fn position(&self) -> Option<ReplicaPosition>;
    /// Its newest commit, and the digest of the state after it.
    fn newest(&self) -> Result<(u64, ObjectHash)>;
    /// Moves the position over an object that changes nothing.
    fn set_position(&mut self, position: ReplicaPosition) -> Result<()>;
    /// Moves the position over commits, which follow it. A commit that is the next one of the tail is there already;
    /// any other one is applied, and the tail from there on is kept aside. The result has the position's new digest.
    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)>;
    /// Notes the opening of a term that is about to be sent, so that a later process of this state knows it.
    fn note_opening(&mut self, _open: &LogOpen) -> Result<()> {
        Ok(())
    }
    /// Whether an opening is the one that was noted last.
    fn has_noted(&self, _open: &LogOpen) -> bool {
        false
    }
    /// Keeps the whole tail aside, where a person finds it.
    fn keep_aside(&mut self) -> Result<Fit>;
}
