//! The bucket of a replica: objects that are created once, and read, listed and deleted by
//! name. Nothing is ever overwritten.
//!
//! [`Bucket`] tries again where that is safe, and within limits. Its calls are async, because a base is sent and
//! fetched in parts side by side; a caller of the library blocks on them, in a runtime of its own.
//!
//! * `creation`: the answer to the creation of an object; `failure`: failures that pass, and those that last;
//!   `pauses`: the pauses between tries
//! * `listed`: the names of a list
//! * `directory`: a folder as a bucket; `cloud`: a bucket of a service; `connect`: the connection to it

mod cloud;
mod connect;
mod creation;
mod directory;
mod failure;
mod listed;
mod pauses;

#[cfg(test)]
mod moto_test;
#[cfg(test)]
mod test;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;

pub(crate) use self::connect::Variable;
pub(crate) use self::creation::Creation;
pub(crate) use self::pauses::Pauses;

use self::cloud::Cloud;
use self::directory::Directory;
use self::failure::lasting;
use self::listed::Listed;
use super::location::Location;
use super::objects::name::{Folder, ObjectName};
use crate::error::{Error, ErrorKind, Result};

/// The time for which a call tries again, unless the caller sets another.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bucket of a replica.
#[derive(Debug)]
pub(crate) struct Bucket {
    place: Place,
    patience: Duration,
    /// Whether it was said that it does not answer.
    was_told: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Place {
    Directory(Arc<Directory>),
    Cloud(Cloud),
}

impl Bucket {
    /// Opens a bucket with the credentials in the environment. A service is not asked yet.
    ///
    /// # Errors
    ///
    /// `NotFound` for a folder that is not there; `Invalid`, `Io`.
    pub(crate) fn open(location: &Location) -> Result<Self> {
        Self::open_with(location, &connect::environment())
    }

    /// The same for a replica that begins: its folder is made.
    ///
    /// # Errors
    ///
    /// `Invalid`, `Io`.
    pub(crate) fn begin(location: &Location) -> Result<Self> {
        if let Location::Directory(path) = location {
            Directory::create_root(path)?;
        }
        Self::open(location)
    }

    /// The same with variables in place of the environment.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_with(location: &Location, environment: &[Variable]) -> Result<Self> {
        let place = match location {
            Location::Directory(path) => Place::Directory(Arc::new(Directory::open(path)?)),
            Location::Bucket(bucket) => Place::Cloud(connect::connect(bucket, location.to_string(), environment)?),
        };
        Ok(Self { place, patience: PATIENCE, was_told: Arc::default() })
    }

    /// A bucket in memory, or behind a wrapper that fails on purpose.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn of(store: Arc<dyn object_store::ObjectStore>) -> Self {
        Self { place: Place::Cloud(Cloud::of(store)), patience: PATIENCE, was_told: Arc::default() }
    }

    /// The same with another time for which a call tries again.
    #[must_use]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with a shorter wait for an answer, and for all tries of a call.
    #[must_use]
    pub(crate) fn with_limit(mut self, limit: Duration) -> Self {
        self.patience = self.patience.min(limit);
        if let Place::Cloud(cloud) = &mut self.place {
            cloud.silence = cloud.silence.min(limit);
        }
        self
    }

    /// The location, for messages.
    pub(crate) fn shown(&self) -> String {
        match &self.place {
            Place::Directory(directory) => directory.shown(),
            Place::Cloud(cloud) => cloud.shown.clone(),
        }
    }

    /// The pauses between the tries of a call.
    pub(crate) fn pauses(&self) -> Pauses {
        Pauses::within(self.patience).marked(self.was_told.clone())
    }

    /// The time for which a call tries again.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Creates an object unless its name exists, in one try. A dropped call may have created it.
    ///
    /// # Errors
    ///
    /// An error that no other try solves: `Forbidden` for refused credentials, `NotFound` for a missing bucket,
    /// `Invalid`.
    pub(crate) async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<Creation> {
        match &self.place {
            Place::Directory(directory) => {
                let name = *name;
                on_a_thread(directory, move |directory| directory.create(&name, &bytes)).await
            }
            Place::Cloud(cloud) => cloud.create(name, bytes).await,
        }
    }

    /// An object; none if it is not there, which the bucket knows for certain.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); `Io` after several tries; `Damaged` for a longer object than any that is written.
    pub(crate) async fn get(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        let cloud = match &self.place {
            Place::Directory(directory) => {
                let name = *name;
                return on_a_thread(directory, move |directory| directory.get(&name)).await;
            }
            Place::Cloud(cloud) => cloud,
        };
        let mut pauses = self.pauses();
        loop {
            match cloud.get(name).await? {
                Ok(found) => return Ok(found),
                Err(failure) => pauses.pause(lasting(failure, &cloud.shown)?).await?,
            }
        }
    }

    /// The names of the objects in a folder, in order, from behind `after` on. A name that is missing may be there: a
    /// list proves presence and never absence. Names that are not of a replica are left out.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); `Invalid` for too many names.
    pub(crate) async fn list(&self, folder: Folder, after: Option<&ObjectName>) -> Result<Vec<ObjectName>> {
        let listed = self.listed(Listed { folder, after: after.copied(), names: Vec::new(), has_lengths: false });
        Ok(listed.await?.into_iter().map(|(name, _)| name).collect())
    }

    /// The same with the lengths of the objects.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub(crate) async fn lengths(&self, folder: Folder) -> Result<Vec<(ObjectName, u64)>> {
        self.listed(Listed { folder, after: None, names: Vec::new(), has_lengths: true }).await
    }

    async fn listed(&self, wanted: Listed) -> Result<Vec<(ObjectName, u64)>> {
        let mut pauses = self.pauses();
        loop {
            let mut names = wanted.clone();
            let (folder, after) = (names.folder, names.after);
            let cloud = match &self.place {
                Place::Cloud(cloud) => cloud,
                Place::Directory(directory) => {
                    let list = move |directory: &Directory| {
                        directory.list(folder, &mut |text, length| names.add(text, length))?;
                        Ok(names.sorted())
                    };
                    return on_a_thread(directory, list).await;
                }
            };
            match cloud.list(folder, after.as_ref(), &mut |text, length| names.add(text, length)).await? {
                Ok(()) => return Ok(names.sorted()),
                Err(failure) => pauses.pause(lasting(failure, &cloud.shown)?).await?,
            }
        }
    }

    /// Deletes an object. It is no error if it is not there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn delete(&self, name: &ObjectName) -> Result<()> {
        let cloud = match &self.place {
            Place::Directory(directory) => {
                let name = *name;
                return on_a_thread(directory, move |directory| directory.delete(&name)).await;
            }
            Place::Cloud(cloud) => cloud,
        };
        let mut pauses = self.pauses();
        loop {
            match cloud.delete(name).await {
                Ok(()) => return Ok(()),
                Err(failure) => pauses.pause(lasting(failure, &cloud.shown)?).await?,
            }
        }
    }
}

/// Runs work with a folder on a thread for blocking work, so that calls side by side do not wait for each other.
async fn on_a_thread<R: Send + 'static>(
    directory: &Arc<Directory>,
    work: impl FnOnce(&Directory) -> Result<R> + Send + 'static,
) -> Result<R> {
    let directory = directory.clone();
    let done = spawn_blocking(move || work(&directory)).await;
    done.map_err(|source| Error::new(ErrorKind::Reopen, "the runtime is shutting down").with_source(source))?
}
