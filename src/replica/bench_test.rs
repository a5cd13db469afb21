//! A store with its replica in memory, for tests: every commit is shipped by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::bucket::Bucket;
use super::connection::cipher::{Identities, Recipients};
use super::connection::opened::OpenReplica;
use super::objects::commits::ShippedCommit;
use super::objects::kinds::{LogGap, StoreHead};
use super::objects::layout::{Nonce, ObjectHash, StoreId};
use super::objects::name::{BaseName, ObjectName, Term};
use super::objects::object::{Object, StoredObject};
use super::reading::shipped::ShippedTo;
use super::restoring::restore::Copier;
use super::shipping::base::{MadeBase, UnfinishedBase};
use super::terms::open::{BegunFrom, OpenedAs, open_term};
use super::terms::remote::{Fit, Local, Remote, ReplicaPosition};
use super::terms::settle::{Settled, settle};
use super::terms::write::{Shipped, TermWriter};
use crate::clock::{Clock, ManualClock};
use crate::engine::feed::{Dump, Fed, States, is_local};
use crate::engine::records::KeyRange;
use crate::engine::schema::Table;
use crate::engine::store::{Options, Store};
use crate::error::Result;
use crate::testkit::checked_store::time;

/// Every row that travels.
pub(super) type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Every row of a store that travels.
pub(super) fn rows(store: &Store) -> Rows {
    let view = store.view().unwrap();
    let all = Table::ALL.into_iter().flat_map(|table| {
        let rows = view.stored().page(table, &KeyRange::all(), usize::MAX).unwrap();
        rows.into_iter().map(move |(key, value)| ((table, key), value))
    });
    all.filter(|((table, key), _)| !is_local(*table, key)).collect()
}

/// A store that ships.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: ManualClock,
    pub(super) store: Store,
    pub(super) objects: Arc<InMemory>,
    pub(super) remote: Arc<OpenReplica>,
    pub(super) identities: Option<Identities>,
    pub(super) source: Source,
    pub(super) writer: TermWriter,
    runtime: tokio::runtime::Runtime,
}

/// The state of the source, as the protocol sees it.
pub(super) struct Source {
    pub(super) at: Option<ReplicaPosition>,
    newest: (u64, ObjectHash),
    states: States,
}

impl Local for Source {
    fn position(&self) -> Option<ReplicaPosition> {
        self.at
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        Ok(self.newest)
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        self.at = Some(position);
        Ok(())
    }

    fn apply(&mut self, _: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        Ok((Fit::Apart, position.states))
    }

    fn keep_aside(&mut self) -> Result<Fit> {
        Ok(Fit::Fits)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn options(clock: &ManualClock) -> Options {
    Store::options().clock(clock.clone())
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(None, |_| ())
    }

    /// A store whose base has what `first` did. A replica with recipients is encrypted.
    pub(super) fn with(key: Option<(Recipients, Identities)>, first: impl FnOnce(&Store)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, objects, runtime) = (ManualClock::new(time(0)), Arc::new(InMemory::new()), runtime());
        let store = options(&clock).open(folder.path().join("hive.redb")).unwrap();
        first(&store);
        store.begin_feed(0).unwrap();
        let (recipients, identities) = key.unzip();
        let bucket = Bucket::of(objects.clone());
        let head = StoreHead {
            store: StoreId::new(),
            nonce: Nonce::new(),
            time: time(0),
            recipients: recipients.map(|recipients| recipients.texts()),
        };
        let object = StoredObject::prepare(ObjectName::Store, Object::Store(head), |_| Ok(Vec::new())).unwrap();
        runtime.block_on(bucket.create(&object.name, object.bytes.clone())).unwrap();
        let remote = runtime.block_on(open(objects.clone(), identities.clone().unwrap_or_default(), &clock)).unwrap();
        let (source, writer) = (Source::of(&store, None), TermWriter::new(Term(0)));
        let remote = Arc::new(remote);
        let mut bench = Self { folder, clock, store, objects, remote, identities, source, writer, runtime };
        bench.open_term(BegunFrom::Log);
        bench.make_base();
        bench
    }

    pub(super) fn run<R>(&self, future: impl Future<Output = R>) -> R {
        self.runtime.block_on(future)
    }

    /// Begins the next term, as a process that starts does.
    pub(super) fn open_term(&mut self, origin: BegunFrom) {
        let opened = self.runtime.block_on(open_term(&*self.remote, &mut self.source, origin)).unwrap();
        let OpenedAs::Writer(term, _) = opened else { panic!("{opened:?}") };
        self.writer = TermWriter::new(term);
    }

    /// A base of the state that was shipped.
    pub(super) fn make_base(&self) -> BaseName {
        let dump = self.store.dump().unwrap();
        self.run(make(&*self.remote, dump, &self.source.at.unwrap())).unwrap().name
    }

    /// Ships what was committed, in one object, a second later. Says up to which commit.
    pub(super) fn ship(&mut self) -> u64 {
        assert!(matches!(self.try_ship(), Shipped::Acknowledged(_)));
        self.source.at.unwrap().sequence
    }

    /// The same by a process that may be fenced.
    pub(super) fn try_ship(&mut self) -> Shipped {
        let Fed::Commits(commits) = self.store.feed_after(self.source.at.unwrap().sequence, usize::MAX).unwrap() else {
            panic!("the feed has a gap")
        };
        let commits: Vec<_> =
            commits.into_iter().map(|commit| ShippedCommit { sequence: commit.sequence, rows: commit.rows }).collect();
        commits.iter().for_each(|commit| self.source.states.apply(&commit.rows).unwrap());
        let states = ObjectHash(self.source.states.digest());
        self.clock.advance(Duration::from_secs(1));
        let now = self.clock.now();
        self.writer.prepare(&*self.remote, &self.source, &commits, states, now).unwrap();
        self.runtime.block_on(self.writer.ship(&*self.remote, &mut self.source)).unwrap()
    }

    /// Ends the term as a process that stops does.
    pub(super) fn release(&mut self) {
        self.writer.prepare_release(&*self.remote, &self.source).unwrap();
        let shipped = self.runtime.block_on(self.writer.ship(&*self.remote, &mut self.source)).unwrap();
        assert!(matches!(shipped, Shipped::Acknowledged(_)));
    }

    /// Leaves out what was committed, and goes on behind a base.
    pub(super) fn gap(&mut self) {
        let before = self.source.at.unwrap();
        let dump = self.store.dump().unwrap();
        self.source = Source::of(&self.store, Some(before));
        self.clock.advance(Duration::from_secs(1));
        let (sequence, states) = self.source.newest;
        let at = ReplicaPosition { sequence, states, time: self.clock.now(), ..before };
        let base = self.run(make(&*self.remote, dump, &at)).unwrap().name;
        let gap = LogGap {
            store: self.remote.store(),
            slot: before.slot,
            nonce: Nonce::new(),
            previous: before.previous,
            time: self.clock.now(),
            after: before.sequence,
            last: sequence,
            states,
            base,
        };
        let object = self.remote.prepare(ObjectName::Log(before.slot), Object::Gap(gap), b"").unwrap();
        assert!(matches!(self.run(settle(&*self.remote, &object)).unwrap(), Settled::Own));
        self.source.at = Some(ReplicaPosition { slot: before.slot.next().unwrap(), previous: object.hash, ..at });
    }

    pub(super) fn copier(&self) -> Copier {
        self.copier_of(self.objects.clone())
    }

    /// A copier behind a wrapper of the objects.
    pub(super) fn copier_of(&self, objects: Arc<dyn ObjectStore>) -> Copier {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        // One that knows no keys of terms yet.
        let identities = self.identities.clone().unwrap_or_default();
        let remote = Arc::new(self.run(open(objects, identities, &self.clock)).unwrap());
        Copier { remote, from: "memory".into(), clock }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names of all objects.
    pub(super) fn names(&self) -> Vec<Path> {
        let listed = self.run(self.objects.list(None).map_ok(|meta| meta.location).try_collect::<Vec<_>>());
        let mut names = listed.unwrap();
        names.sort();
        names
    }

    pub(super) fn take(&self, name: &Path) -> Vec<u8> {
        let bytes = self.run(async { self.objects.get(name).await.unwrap().bytes().await.unwrap() });
        self.run(self.objects.delete(name)).unwrap();
        bytes.to_vec()
    }

    pub(super) fn put(&self, name: &Path, bytes: Vec<u8>) {
        self.run(self.objects.put(name, bytes.into())).unwrap();
    }
}

impl Source {
    pub(super) fn of(store: &Store, at: Option<ReplicaPosition>) -> Self {
        let dump = store.dump().unwrap();
        let states = dump.states().clone();
        Self { at, newest: (dump.sequence(), ObjectHash(states.digest())), states }
    }
}

impl Source {
    /// A store that was taken over, as far as its replica has it.
    pub(super) fn shipped(store: &Store) -> Self {
        let to = ShippedTo::of_bytes(&store.feed_status().unwrap().unwrap().position).unwrap();
        let (states, sequence) = (to.states(), to.sequence);
        let digest = ObjectHash(states.digest());
        let at = ReplicaPosition { slot: to.slot, previous: to.previous, sequence, states: digest, time: to.time };
        Self { at: Some(at), newest: (sequence, digest), states }
    }
}

/// Makes a base of a dump, whose state is that of the position.
pub(super) async fn make(remote: &impl Remote, dump: Dump, at: &ReplicaPosition) -> Result<MadeBase> {
    let mut base = UnfinishedBase::begin(remote, dump, *at).await?;
    loop {
        if let Some(made) = base.step(remote).await? {
            return Ok(made);
        }
    }
}

async fn open(objects: Arc<dyn ObjectStore>, identities: Identities, clock: &ManualClock) -> Result<OpenReplica> {
    let bucket = Arc::new(Bucket::of(objects).with_patience(Duration::from_secs(1)));
    OpenReplica::of(bucket, identities, Arc::new(clock.clone())).await
}
