//! The calls of a bucket, which are tried again where that is safe.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::cloud::{Cloud, SILENCE_MAX, SLOWEST};
use super::creation::Creation;
use super::directory::Directory;
use super::failure::lasting;
use super::in_time::{Progress, in_time};
use super::listed::{ListPage, Listed, NAMES_MAX, PAGE_MAX, Wanted, whole};
use super::location::Location;
use super::pauses::Pauses;
use super::variables::Variable;
use super::{connect, variables};
use crate::error::Result;
use crate::replica::objects::name::{Folder, ObjectName};

/// The time for which a call tries again, unless the caller sets another.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest limit for a folder: a disk that is slow for a moment does not hang.
const FOLDER_SILENCE_MIN: Duration = Duration::from_secs(2);

/// The bucket of a replica.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(super) place: Place,
    pub(super) patience: Duration,
    /// Whether it was said that it does not answer.
    pub(super) was_told: Arc<AtomicBool>,
    /// The greatest number of names in a whole list, and on a page.
    names_max: usize,
}

#[derive(Debug)]
pub(super) enum Place {
    Directory(FolderPlace),
    Cloud(Cloud),
}

impl Bucket {
    /// Opens a bucket with the credentials in the environment. A service is not asked yet.
    ///
    /// # Errors
    ///
    /// `NotFound` for a folder that is not there; `Invalid`, `Io`.
    pub(crate) fn open(location: &Location) -> Result<Self> {
        Self::open_with(location, &variables::environment())
    }

    /// The same with what opens the bucket of a location, on a thread of its own: its folder may hang.
    ///
    /// # Errors
    ///
    /// Those of `open`; `Io` when it hangs.
    pub(crate) async fn open_in_time(
        location: String,
        open: impl FnOnce() -> Result<Self> + Send + 'static,
    ) -> Result<Self> {
        in_time(&location, SILENCE_MAX, move |_| open()).await?
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
            Location::Directory(path) => {
                Place::Directory(FolderPlace { directory: Arc::new(Directory::open(path)?), silence: SILENCE_MAX })
            }
            Location::Bucket(bucket) => Place::Cloud(connect::connect(bucket, location.to_string(), environment)?),
        };
        Ok(Self { place, patience: PATIENCE, was_told: Arc::default(), names_max: NAMES_MAX })
    }

    /// A bucket in memory, or behind a wrapper that fails on purpose.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn of(store: Arc<dyn object_store::ObjectStore>) -> Self {
        Self {
            place: Place::Cloud(Cloud::of(store)),
            patience: PATIENCE,
            was_told: Arc::default(),
            names_max: NAMES_MAX,
        }
    }

    /// The same with another time for which a call tries again.
    #[cfg(any(fuzzing, test))]
    #[must_use]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same with a shorter wait for an answer, and for all tries of a call.
    #[must_use]
    pub(crate) fn with_limit(mut self, limit: Duration) -> Self {
        self.patience = self.patience.min(limit);
        match &mut self.place {
            Place::Cloud(cloud) => cloud.silence = cloud.silence.min(limit),
            Place::Directory(folder) => folder.silence = folder.silence.min(limit.max(FOLDER_SILENCE_MIN)),
        }
        self
    }

    /// The same with fewer names in a list.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with_names_max(self, names_max: usize) -> Self {
        Self { names_max, ..self }
    }

    /// The location, for messages.
    pub(crate) fn shown(&self) -> String {
        match &self.place {
            Place::Directory(folder) => folder.directory.shown(),
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
            Place::Directory(folder) => folder.create(*name, bytes).await,
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
            Place::Directory(folder) => {
                let name = *name;
                return folder.run(move |directory, progress| directory.get(&name, progress)).await;
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
        let (after, most) = (after.copied(), self.names_max);
        let wanted = Wanted { folder, after, before: None, has_lengths: false, most };
        let names = whole(self.listed(wanted).await?, &wanted)?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    /// The same with the lengths of the objects.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub(crate) async fn lengths(&self, folder: Folder) -> Result<Vec<(ObjectName, u64)>> {
        let wanted = Wanted { folder, after: None, before: None, has_lengths: true, most: self.names_max };
        whole(self.listed(wanted).await?, &wanted)
    }

    /// The first names in a folder from behind `after` on and before `before`. A folder may have very many.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn page(
        &self,
        folder: Folder,
        after: Option<ObjectName>,
        before: Option<ObjectName>,
    ) -> Result<ListPage> {
        let most = self.names_max.min(PAGE_MAX);
        let ListPage { names, next } = self.listed(Wanted { folder, after, before, has_lengths: false, most }).await?;
        Ok(ListPage { names: names.into_iter().map(|(name, _)| name).collect(), next })
    }

    /// The same with the lengths of the objects.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub(crate) async fn page_of_lengths(
        &self,
        folder: Folder,
        after: Option<ObjectName>,
        before: Option<ObjectName>,
    ) -> Result<ListPage<(ObjectName, u64)>> {
        let most = self.names_max.min(PAGE_MAX);
        self.listed(Wanted { folder, after, before, has_lengths: true, most }).await
    }

    /// Whether a list shows anything in a folder behind a name.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn has_any(&self, folder: Folder, after: ObjectName) -> Result<bool> {
        let wanted = Wanted { folder, after: Some(after), before: None, has_lengths: false, most: 1 };
        Ok(!self.listed(wanted).await?.names.is_empty())
    }

    pub(super) async fn listed(&self, wanted: Wanted) -> Result<ListPage<(ObjectName, u64)>> {
        let cloud = match &self.place {
            Place::Cloud(cloud) => cloud,
            Place::Directory(place) => {
                let list = move |directory: &Directory, progress: &Progress| {
                    let mut names = Listed::unordered(wanted);
                    let mut add = |text: &str, length: &dyn Fn() -> u64| {
                        progress.step();
                        names.add(text, length)
                    };
                    directory.list(wanted.folder, &mut add)?;
                    Ok(names.page())
                };
                return place.run(list).await;
            }
        };
        let mut pauses = self.pauses();
        loop {
            let mut names = Listed::new(wanted);
            let mut add = |text: &str, length: &dyn Fn() -> u64| names.add(text, length);
            match cloud.list(wanted.folder, wanted.after.as_ref(), &mut add).await {
                Ok(()) => return Ok(names.page()),
                Err(failure) => pauses.pause(lasting(failure, &cloud.shown)?).await?,
            }
        }
    }

    /// Removes the files that were begun before that time and never finished. A bucket of a service has none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn remove_left(&self, begun_before: Timestamp) -> Result<()> {
        match &self.place {
            Place::Directory(folder) => {
                folder.run(move |directory, progress| directory.remove_left(begun_before, progress)).await
            }
            Place::Cloud(_) => Ok(()),
        }
    }

    /// Deletes an object. It is no error if it is not there.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn delete(&self, name: &ObjectName) -> Result<()> {
        let cloud = match &self.place {
            Place::Directory(folder) => {
                let name = *name;
                return folder.run(move |directory, _| directory.delete(&name)).await;
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

/// A folder, and the longest time for which it does not answer.
#[derive(Debug)]
pub(super) struct FolderPlace {
    pub(super) directory: Arc<Directory>,
    pub(super) silence: Duration,
}

impl FolderPlace {
    /// Runs work with the folder.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory, &Progress) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.run_within(self.silence, work).await?
    }

    async fn run_within<R: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Directory, &Progress) -> Result<R> + Send + 'static,
    ) -> Result<Result<R>> {
        let (directory, place) = (self.directory.clone(), self.directory.shown());
        in_time(&place, limit, move |progress| work(&directory, progress)).await
    }

    /// Creates an object unless its name exists. One whose folder does not answer may come into being later.
    pub(super) async fn create(&self, name: ObjectName, bytes: Bytes) -> Result<Creation> {
        let limit = self.silence + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let created = self.run_within(limit, move |directory, _| directory.create(&name, &bytes)).await;
        created.unwrap_or_else(|late| Ok(Creation::Unknown(late)))
    }
}
