//! A replica in memory of which each machine has a door of its own: its requests are counted, one is held, or it dies
//! before one.

use std::fmt;
use std::future::pending;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parking_lot::Mutex;

use super::bucket::Bucket;
use super::connection::cipher::Identities;
use super::connection::opened::OpenReplica;
use super::objects::kinds::StoreHead;
use super::objects::layout::{Nonce, StoreId};
use super::objects::name::ObjectName;
use super::objects::object::{Object, StoredObject};
use super::restoring::restore::Copier;
use super::shipping::ship::Shipper;
use super::shipping::source::Source;
use super::terms::lease::Lease;
use super::terms::remote::Remote as _;
use crate::clock::{Clock, ManualClock};
use crate::engine::options::Sharing;
use crate::engine::store::{Options, Store};
use crate::error::Result;
use crate::testkit::checked_store::time;

/// The answer of a bucket that is away.
pub(super) fn refused() -> StoreError {
    StoreError::Generic { store: "away", source: "connection refused".into() }
}

/// A replica, and the machines that have it.
pub(super) struct Fleet {
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: ManualClock,
    pub(super) world: World,
}

/// The objects, behind all doors.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Inside>);

#[derive(Default)]
struct Inside {
    objects: InMemory,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests of the doors that count.
    requests: u64,
    held: Option<(Path, PutPayload, PutOptions)>,
    /// The held object lands before this request.
    let_go_at: Option<u64>,
}

/// The door of a machine.
#[derive(Clone)]
pub(super) struct Door {
    world: World,
    own: Arc<Mutex<Own>>,
}

#[derive(Default)]
struct Own {
    counts: bool,
    /// Every request first lets the others go on.
    yields: bool,
    /// Holds the next object that it creates whose name has this part, and sleeps.
    holds: Option<&'static str>,
    sleeps: bool,
    /// So many requests are left before it dies.
    left: Option<u64>,
    is_dead: bool,
    /// Each list takes so long.
    lists_for: Duration,
    /// The answer to every request, if the bucket is away.
    away: Option<fn() -> StoreError>,
}

impl World {
    /// Counts from now on, and lets what is held land before that request.
    pub(super) fn count(&self, let_go_at: Option<u64>) {
        let mut state = self.0.state.lock();
        (state.requests, state.let_go_at) = (0, let_go_at);
    }

    pub(super) fn requests(&self) -> u64 {
        self.0.state.lock().requests
    }

    /// Lets land what is held. Says whether there was anything.
    pub(super) async fn let_go(&self) -> bool {
        let held = self.0.state.lock().held.take();
        let Some((path, payload, options)) = held else { return false };
        // It may be too late for it.
        let _landed = self.0.objects.put_opts(&path, payload, options).await;
        true
    }

    /// The path of the object that is held.
    pub(super) fn held(&self) -> Option<String> {
        self.0.state.lock().held.as_ref().map(|(path, ..)| path.to_string())
    }

    /// Loses an object.
    pub(super) async fn lose(&self, name: ObjectName) {
        let all: Vec<_> = self.0.objects.list(None).try_collect().await.unwrap();
        let lost =
            all.into_iter().map(|object| object.location).find(|path| path.as_ref().ends_with(&name.to_string()));
        self.0.objects.delete(&lost.unwrap()).await.unwrap();
    }

    pub(super) fn door(&self) -> Door {
        Door { world: self.clone(), own: Arc::default() }
    }
}

impl Door {
    pub(super) fn counting(self) -> Self {
        self.own.lock().counts = true;
        self
    }

    /// One whose machine takes turns with others, and dies after so many requests and answers of creations, if at all.
    pub(super) fn taking_turns(self, left: Option<u64>) -> Self {
        (self.own.lock().yields, self.own.lock().left) = (true, left);
        self
    }

    pub(super) fn hold(&self) {
        self.hold_of("");
    }

    /// Holds the next object whose name has this part.
    pub(super) fn hold_of(&self, part: &'static str) {
        self.own.lock().holds = Some(part);
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.own.lock().sleeps
    }

    pub(super) fn wake(&self) {
        self.own.lock().sleeps = false;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.own.lock().is_dead
    }

    /// Each list takes so long from now on.
    pub(super) fn list_for(&self, time: Duration) {
        self.own.lock().lists_for = time;
    }

    /// Every request fails from now on; with none, the bucket is back.
    pub(super) fn away(&self, answer: Option<fn() -> StoreError>) {
        self.own.lock().away = answer;
    }

    async fn pass(&self) -> StoreResult<()> {
        if self.own.lock().yields {
            tokio::task::yield_now().await;
        }
        let dies = {
            let mut own = self.own.lock();
            own.is_dead = own.left == Some(0);
            own.left = own.left.map(|left| left.saturating_sub(1));
            own.is_dead
        };
        if dies {
            pending::<()>().await;
        }
        if self.own.lock().counts {
            let is_now = {
                let mut state = self.world.0.state.lock();
                state.requests += 1;
                state.let_go_at == Some(state.requests)
            };
            if is_now {
                self.world.let_go().await;
            }
        }
        let away = self.own.lock().away;
        away.map_or(Ok(()), |answer| Err(answer()))
    }
}

fn lost() -> StoreError {
    StoreError::Generic { store: "gated", source: "the answer is lost".into() }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Door {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.pass().await?;
        let is_held = self.own.lock().holds.take_if(|part| path.as_ref().contains(*part)).is_some();
        if !is_held {
            let done = self.world.0.objects.put_opts(path, payload, options).await;
            // It may die before it hears of it.
            if self.own.lock().left.is_some() {
                self.pass().await?;
            }
            return done;
        }
        self.world.0.state.lock().held = Some((path.clone(), payload, options));
        self.own.lock().sleeps = true;
        while self.own.lock().sleeps {
            tokio::task::yield_now().await;
        }
        Err(lost())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(lost())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.pass().await?;
        self.world.0.objects.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let door = self.clone();
        let deleted = async move { door.pass().await.map(|()| door.world.0.objects.delete_stream(paths)) };
        stream::once(deleted).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let (door, prefix) = (self.clone(), prefix.cloned());
        let time = door.own.lock().lists_for;
        let listed = async move {
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            door.pass().await.map(|()| door.world.0.objects.list(prefix.as_ref()))
        };
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.world.0.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        Err(lost())
    }
}

impl Fleet {
    /// A new store, with a replica that has its first base.
    pub(super) async fn begin() -> Result<(Self, Store)> {
        let world = World::default();
        let door: Arc<dyn ObjectStore> = Arc::new(world.door());
        let fleet = Self { folder: tempfile::tempdir().unwrap(), clock: ManualClock::new(time(0)), world };
        let store = fleet.open(&fleet.path("h.redb"))?;
        begin_replica(&store, door, &fleet.clock).await?;
        Ok((fleet, store))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn options(&self) -> Options {
        Store::options().reserve(false).clock(self.clock.clone())
    }

    pub(super) fn open(&self, path: &FilePath) -> Result<Store> {
        self.options().sharing(Sharing::Exclusive).open(path)
    }

    /// A machine that begins to write.
    pub(super) async fn shipper(&self, door: &Door, store: &Store) -> Result<Shipper> {
        shipper(store, Arc::new(door.clone()), &self.clock, LONG).await
    }

    pub(super) async fn copier(&self, door: &Door) -> Result<Copier> {
        let remote = Arc::new(remote(Arc::new(door.clone()), &self.clock, LONG).await?);
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        Ok(Copier { remote, from: "memory".into(), clock })
    }
}

async fn remote(objects: Arc<dyn ObjectStore>, clock: &ManualClock, patience: Duration) -> Result<OpenReplica> {
    let bucket = Arc::new(Bucket::of(objects).with_patience(patience));
    OpenReplica::of(bucket, Identities::default(), Arc::new(clock.clone())).await
}

/// A process that begins to ship a store to its replica in a bucket of a test.
pub(super) async fn shipper(
    store: &Store,
    objects: Arc<dyn ObjectStore>,
    clock: &ManualClock,
    patience: Duration,
) -> Result<Shipper> {
    shipper_with(store, objects, clock, patience, None).await
}

/// The same with a lease.
pub(super) async fn shipper_with(
    store: &Store,
    objects: Arc<dyn ObjectStore>,
    clock: &ManualClock,
    patience: Duration,
    lease: Option<Lease>,
) -> Result<Shipper> {
    let remote = remote(objects, clock, patience).await?;
    let source = Source::open(store.clone(), remote.store(), remote.description())?;
    Shipper::open_with(remote, source, lease).await
}

/// Makes a replica of a store in a bucket of a test.
pub(super) async fn begin_replica(store: &Store, objects: Arc<dyn ObjectStore>, clock: &ManualClock) -> Result<()> {
    let bucket = Bucket::of(objects.clone());
    let head = StoreHead { store: StoreId::new(), nonce: Nonce::new(), time: time(0), recipients: None };
    let description = StoredObject::prepare(ObjectName::Store, Object::Store(head), |_| Ok(Vec::new()))?;
    while bucket.get(&description.name).await?.is_none() {
        let _created = bucket.create(&description.name, description.bytes.clone()).await?;
    }
    store.begin_feed(0)?;
    let mut shipper = shipper(store, objects, clock, LONG).await?;
    let _made = shipper.base().await?;
    shipper.release().await
}

/// Writes a number.
pub(super) fn put(store: &Store, number: u64) -> Result<()> {
    store.write(|tx| tx.config().put(&format!("n{number}"), &serde_json::json!(number)))
}

/// The numbers of a store.
pub(super) fn numbers(store: &Store) -> Vec<u64> {
    let view = store.view().unwrap();
    let all: Vec<_> = view.config().list().collect::<Result<_>>().unwrap();
    let mut numbers: Vec<u64> = all.iter().filter_map(|(key, _)| key.strip_prefix('n')?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// How much a test does, and the seed with which it begins.
pub(super) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A request is tried again for so long.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// A time that every retention is over after.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
