//! A bucket of a service, by the crate `object_store`: one request for each call, with a limit of time and of size.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use parking_lot::RwLock;
use tokio::time::timeout;

use super::creation::{Creation, too_long};
use super::failure::Failure;
use super::listed::Each;
use crate::error::{ErrorKind, Result};
use crate::replica::objects::layout::OBJECT_MAX;
use crate::replica::objects::name::{Folder, ObjectName};

/// The longest wait for an answer, unless another one is set.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// The slowest upload that is not taken for a stalled one, in bytes a second.
pub(super) const SLOWEST: u64 = 64 << 10;

/// Makes a connection, with the credentials that files have now.
pub(super) type Connect = Box<dyn Fn() -> object_store::Result<Arc<dyn ObjectStore>> + Send + Sync>;

/// A bucket, and the folder of the replica in it.
pub(super) struct Cloud {
    connect: Connect,
    /// The connection, made anew once its credentials were refused.
    store: RwLock<Arc<dyn ObjectStore>>,
    pub(super) prefix: Path,
    /// The location, for messages.
    pub(super) shown: String,
    /// The names of the credentials that the environment lacks, so that the machine itself is asked for them.
    missing: Option<&'static str>,
    /// The longest wait for the beginning of an answer, and for each further piece of it.
    pub(super) silence: Duration,
}

/// Without the settings of the service, which include credentials.
impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Cloud {
    /// A bucket with its first connection; `connect` makes the later ones.
    pub(super) fn new(first: Arc<dyn ObjectStore>, connect: Connect, prefix: Path, shown: String) -> Self {
        Self { connect, store: RwLock::new(first), prefix, shown, missing: None, silence: SILENCE_MAX }
    }

    /// The same with the names of credentials that are missing.
    #[must_use]
    pub(super) fn lacking(self, missing: Option<&'static str>) -> Self {
        Self { missing, ..self }
    }

    /// A bucket that needs no connection.
    #[cfg(any(fuzzing, test))]
    pub(super) fn of(store: Arc<dyn ObjectStore>) -> Self {
        let (again, store) = (store.clone(), RwLock::new(store));
        let (connect, shown) = (Box::new(move || Ok(again.clone())), "memory".into());
        Self { connect, store, prefix: Path::from("p"), shown, missing: None, silence: SILENCE_MAX }
    }

    /// The connection.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.read().clone()
    }

    /// Creates an object unless its name exists, in one try.
    pub(super) async fn create(&self, name: &ObjectName, bytes: Bytes) -> Result<Creation> {
        let patience = self.silence + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let path = self.path(&name.to_string());
        let store = self.store();
        let request = store.put_opts(&path, bytes.into(), PutMode::Create.into());
        let failure = match timeout(patience, request).await {
            Ok(Ok(_)) => return Ok(Creation::Created),
            Ok(Err(error)) => self.failed(error),
            Err(_) => Failure::late(&self.shown),
        };
        match failure {
            Failure::Exists => Ok(Creation::Exists),
            Failure::Passing(error) => Ok(Creation::Unknown(error)),
            other => Err(other.into_error(&self.shown)),
        }
    }

    /// An object; none if it is not there.
    pub(super) async fn get(&self, name: &ObjectName) -> Result<Result<Option<Bytes>, Failure>> {
        let path = self.path(&name.to_string());
        let found = match timeout(self.silence, self.store().get(&path)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                return Ok(match self.failed(error) {
                    Failure::Absent => Ok(None),
                    other => Err(other),
                });
            }
            Err(_) => return Ok(Err(Failure::late(&self.shown))),
        };
        let length = found.meta.size;
        if length > OBJECT_MAX as u64 {
            return Err(too_long(name));
        }
        let (mut bytes, mut stream) = (BytesMut::new(), found.into_stream());
        while let Some(piece) = match timeout(self.silence, stream.next()).await {
            Ok(piece) => piece,
            Err(_) => return Ok(Err(Failure::late(&self.shown))),
        } {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => return Ok(Err(self.failed(error))),
            }
            if bytes.len() > OBJECT_MAX {
                return Err(too_long(name));
            }
        }
        // An answer that broke off is shorter than announced. The object itself may be whole.
        if bytes.len() as u64 == length { Ok(Ok(Some(bytes.freeze()))) } else { Ok(Err(Failure::late(&self.shown))) }
    }

    /// Calls `each` with the names of objects in a folder, from behind `after` on, in order if the service lists so.
    pub(super) async fn list(
        &self,
        folder: Folder,
        after: Option<&ObjectName>,
        each: &mut Each<'_>,
    ) -> Result<(), Failure> {
        let folder = self.path(&folder.to_string());
        let mut stream = match after {
            Some(after) => self.store().list_with_offset(Some(&folder), &self.path(&after.to_string())),
            None => self.store().list(Some(&folder)),
        };
        let below = if self.prefix.as_ref().is_empty() { 0 } else { self.prefix.as_ref().len() + 1 };
        while let Some(found) = match timeout(self.silence, stream.next()).await {
            Ok(found) => found,
            Err(_) => return Err(Failure::late(&self.shown)),
        } {
            match found {
                Ok(found) => {
                    let name = found.location.as_ref().get(below..).unwrap_or_default();
                    if each(name, &|| found.size).is_break() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Deletes an object, if it is there.
    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), Failure> {
        let path = self.path(&name.to_string());
        match timeout(self.silence, self.store().delete(&path)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match self.failed(error) {
                Failure::Absent => Ok(()),
                other => Err(other),
            },
            Err(_) => Err(Failure::late(&self.shown)),
        }
    }

    /// Sorts a failure. After refused credentials, the next request has those that are in their files by then.
    fn failed(&self, error: object_store::Error) -> Failure {
        let failure = Failure::of(&self.shown, self.missing, error);
        if matches!(&failure, Failure::Lasting(error) if error.kind() == ErrorKind::Forbidden) {
            match (self.connect)() {
                Ok(store) => *self.store.write() = store,
                Err(error) => tracing::warn!(%error, bucket = self.shown, "the credentials cannot be read again"),
            }
        }
        failure
    }

    fn path(&self, below: &str) -> Path {
        match self.prefix.as_ref() {
            "" => Path::from(below),
            prefix => Path::from(format!("{prefix}/{below}")),
        }
    }
}
