//! The store: opening, sharing, writing, viewing, closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::engine::buffered::Buffered;
use crate::engine::commit::reentrancy::Writing;
use crate::engine::commit::sink::SinkSlot;
use crate::engine::commit::wakeups::{Commits, Waiter};
use crate::engine::commit::{Gate, Outcome, Size};
use crate::engine::format::epoch::Epoch;
use crate::engine::format::index::IndexRule;
use crate::engine::opening::context::Context;
use crate::engine::opening::named_file::NamedFile;
use crate::engine::opening::open;
#[cfg(any(fuzzing, test))]
use crate::engine::opening::options::VerifyOnOpen;
pub(crate) use crate::engine::opening::options::{Options, Sharing};
use crate::engine::opening::reserve;
use crate::engine::opening::slot::Slot;
use crate::engine::recorder::RecordedHandle;
use crate::engine::redb_file::Handle;
use crate::engine::redb_file::open::in_use;
#[cfg(any(fuzzing, test))]
use crate::engine::redb_file::open::open_over;
use crate::engine::redb_file::pages::Snapshot;
use crate::engine::session::own_session::OwnSession;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::session::views::Views;
use crate::engine::session::writer_line::WriterLine;
use crate::engine::view::View;
use crate::engine::wal::{Log, Mover};
#[cfg(any(fuzzing, test))]
use crate::engine::wal::{LogFolder, recover};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};

/// An open store. Clones share it; it may be used from any thread.
///
/// Live state, its history and its restore points are in one file. Every committed write is durable when `write`
/// returns.
///
/// # Examples
///
/// ```
/// use hivekeep::Store;
///
/// # let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("hive.redb"))?;
/// store.write(|tx| tx.config().put("greeting", &serde_json::json!("hello")))?;
/// assert_eq!(store.view()?.config().get("greeting")?, Some(serde_json::json!("hello")));
/// store.close()?;
/// # Ok::<(), hivekeep::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    /// For whom this handle writes.
    pub(crate) recording: Option<RecordedHandle>,
}

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) slot: Arc<Slot>,
    pub(crate) gate: Gate,
    /// Opens the file as it was opened, for when a failure has closed it. Waits for no other process.
    pub(crate) opener: Opener,
    context: Arc<Context>,
    /// Moves the log into the file.
    pub(super) mover: Mover,
    /// Whether that is a thread of its own.
    tends_log: bool,
    /// The byte of this process's session, until its end is written.
    held: OnceLock<Weak<OwnSession>>,
    /// Whether a session is still to begin, as the disk had no room for one.
    session_put_off: AtomicBool,
    /// Whether others had the store open when it was opened, and no file of sessions told which of them live.
    others_unseen: AtomicBool,
    pub(super) closing: Mutex<Vec<Closing>>,
}

/// Opens the file at that path once more.
pub(crate) type Opener = Box<dyn Fn(&Path) -> Result<Opened> + Send + Sync>;

/// Opens the file and its log once more, or the file alone.
type Openers = (Opener, Box<dyn Fn() -> Result<Handle> + Send + Sync>);

/// An open file, and its log if it has one.
pub(crate) type Opened = (Handle, Option<Log>);

/// Writes something when the store is closed; it may be tried more than once.
type Closing = Box<dyn Fn(&mut WriteTx<'_>) -> Result<()> + Send>;

impl Options {
    /// Opens the file with these rules for the index.
    pub(crate) fn open_with(self, path: &Path, indexes: &'static [IndexRule]) -> Result<Store> {
        if self.one_phase && self.sharing == Sharing::Shared {
            return Err(Error::invalid("one-phase commits need exclusive sharing: several processes cannot use them"));
        }
        let in_use = in_use(path).unwrap_or(false);
        let (handle, log, own_name) = open::open(path, &self)?;
        let others_unseen = in_use && SessionLocks::look(&own_name).is_ok_and(|presence| presence.is_none());
        // A caller that opens it again waits by itself, while nothing else has to.
        let options = self.clone().lock_timeout(Duration::ZERO);
        let (alone, name) = (options.clone(), own_name.clone());
        let opener = move |path: &Path| open::open_again(path, &options);
        let anew = move || open::open_without_log(&name, &alone);
        let store = self.store(&own_name, (handle, log), (Box::new(opener), Box::new(anew)), indexes);
        store.inner.others_unseen.store(others_unseen, Ordering::Relaxed);
        Ok(store)
    }

    /// The same over any storage; only the file of sessions is at `path`.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn open_over<S: crate::engine::redb_file::StorageBackend>(
        self,
        storage: impl Fn() -> S + Send + Sync + 'static,
        folder: impl Fn() -> Option<Box<dyn LogFolder>> + Send + Sync + 'static,
        path: &Path,
        indexes: &'static [IndexRule],
    ) -> Result<Store> {
        let storage = Arc::new(storage);
        let options = self.clone().verify_on_open(VerifyOnOpen::Never);
        let (again, alone) = (storage.clone(), options.clone());
        let anew = move || open_over(again(), &alone);
        let open = move |options: &Self, first: &Self| {
            let handle = open_over(storage(), first)?;
            match folder() {
                Some(folder) => recover::take_up(handle, folder, options, |_| true, || open_over(storage(), options)),
                None => Ok((handle, None)),
            }
        };
        let opened = open(&options, &self)?;
        let opener = move |_: &Path| open(&options, &options);
        Ok(self.store(path, opened, (Box::new(opener), Box::new(anew)), indexes))
    }

    fn store(
        self,
        path: &Path,
        (handle, log): Opened,
        (opener, anew): Openers,
        indexes: &'static [IndexRule],
    ) -> Store {
        let context = Context {
            clock: self.clock,
            indexes,
            shared: self.sharing == Sharing::Shared,
            history: self.history,
            stale_mark: self.stale_mark,
            writer_line: WriterLine::new(path),
            place: NamedFile::new(path, handle.id()),
            lock_timeout: self.lock_timeout,
            buffered: Buffered::default(),
            views: Arc::default(),
            session: OnceLock::new(),
            one_phase: self.one_phase,
            only_looks: self.read_only,
        };
        let (slot, context) = (Arc::new(Slot::new(handle)), Arc::new(context));
        let (path, anew) = (path.to_path_buf(), anew.into());
        let mover = Mover { slot: slot.clone(), context: context.clone(), anew };
        let tends_log = self.tends_log;
        let inner = Inner {
            path,
            slot,
            gate: Gate::new(),
            opener,
            context,
            mover,
            tends_log,
            held: OnceLock::new(),
            session_put_off: AtomicBool::new(false),
            others_unseen: AtomicBool::new(false),
            closing: Mutex::default(),
        };
        inner.set_log(log);
        Store::of(Arc::new(inner))
    }
}

impl Store {
    /// A handle that writes for nobody in particular.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner, recording: None }
    }

    /// How to open a store in another way than the usual one.
    pub fn options() -> Options {
        Options::default()
    }

    /// Runs a closure in a transaction and returns once its changes are on the disk. Callers on several threads share
    /// one sync.
    ///
    /// The closure's changes are committed together. When it returns an error or panics, its own changes are undone,
    /// and no others.
    ///
    /// # Errors
    ///
    /// Every error of the closure; `Conflict` for a write inside of a write on one thread; `Locked` when another process
    /// writes for longer than the lock timeout; `Uncertain` when the commit failed half-way; `NotCommitted`, `Reopen`,
    /// `Full`, `Moved` and `Io` as their names say.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| {
    ///     tx.config().put("a", &serde_json::json!(1))?;
    ///     tx.config().put("b", &serde_json::json!(2))
    /// })?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn write<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> Result<R> {
        let Some(recording) = &self.recording else { return self.write_in_a_batch(closure) };
        let (done, has_recorded) = self.write_in_a_batch(|tx| recording.within(tx, closure))?;
        if has_recorded {
            recording.acting.recorded();
        }
        Ok(done)
    }

    fn write_in_a_batch<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> Result<R> {
        self.with_handle_in_turn(|handle| self.inner.gate.write(handle, &self.inner.context, closure))
    }

    /// Runs a closure like [`Store::write`], but alone, to load much data at once. It keeps no list of overwritten
    /// values. When the closure fails, the whole transaction is dropped. Other writers wait meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn load<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> Result<R> {
        self.alone_with(Size::Large, |tx| {
            let result = closure(tx)?;
            if tx.batch.changed && tx.context.history.is_some() {
                tx.seal_commit()?;
            }
            Ok(Outcome::Commit(result))
        })
    }

    /// This store for an action that may take several transactions: its changes have one entry together, whatever they
    /// consist of.
    pub(crate) fn doing(&self, action: &'static str, target: Option<String>) -> Self {
        let doing =
            |RecordedHandle { acting, recorder }| RecordedHandle { acting: acting.doing(action, target), recorder };
        Self { inner: self.inner.clone(), recording: self.recording.clone().map(doing) }
    }

    /// A consistent view of now.
    ///
    /// # Errors
    ///
    /// `Reopen` when the store is closed, `Damaged` when its pages are, `Io`.
    pub fn view(&self) -> Result<View> {
        self.view_at(Epoch::NOW)
    }

    /// A view as of a retained epoch.
    pub(crate) fn view_at(&self, epoch: Epoch) -> Result<View> {
        self.with_handle(|handle| View::new(self.inner.context.clone(), self.inner.gate.rows(handle)?, epoch))
    }

    /// A view of now for callers that read all of it. Where possible it also reads the pages of the file directly.
    pub(crate) fn view_of_all(&self) -> Result<View> {
        self.with_handle(|handle| {
            // A store that is not shared begins to read from memory, which may be behind the file.
            let (rows, snapshot) = match self.inner.context.shared && handle.reads_the_file() {
                true => Snapshot::with(self.path(), || self.inner.gate.rows(handle))?,
                false => (self.inner.gate.rows(handle)?, None),
            };
            let view = View::new(self.inner.context.clone(), rows, Epoch::NOW)?;
            Ok(view.with_snapshot(snapshot))
        })
    }

    /// Runs work in a transaction of its own, which is committed or aborted as a whole.
    pub(crate) fn alone<R>(&self, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>) -> Result<R> {
        self.alone_with(Size::Small, work)
    }

    fn alone_with<R>(&self, size: Size, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>) -> Result<R> {
        let Some(recording) = &self.recording else { return self.alone_for_nobody(size, work) };
        let (done, has_recorded) = self.alone_for_nobody(size, |tx| {
            let (outcome, has_recorded) = recording.within(tx, work)?;
            Ok(match outcome {
                Outcome::Commit(done) => Outcome::Commit((done, has_recorded)),
                Outcome::Abort(done) => Outcome::Abort((done, false)),
            })
        })?;
        if has_recorded {
            recording.acting.recorded();
        }
        Ok(done)
    }

    fn alone_for_nobody<R>(&self, size: Size, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>) -> Result<R> {
        self.with_handle_in_turn(|handle| self.inner.gate.alone(handle, &self.inner.context, size, work))
    }

    /// Refuses a forked child, for calls that do not reach the open file.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        self.inner.slot.refuse_forked()
    }

    /// Refuses a store whose file is not at its path any more. Every commit asks this.
    ///
    /// # Errors
    ///
    /// `Moved` then.
    pub(crate) fn refuse_moved(&self) -> Result<()> {
        self.inner.context.place.refuse_moved()
    }

    /// The commits of this process, for callers that wait for more.
    pub(crate) fn commits(&self) -> &Arc<Commits> {
        self.inner.gate.commits()
    }

    /// Prepares a caller to wait under that name: from now on [`Store::commits`] also tell of other processes and of due
    /// times. Look for earlier changes after this call.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started, `Forked` in a forked child.
    pub(crate) fn waiting(&self, name: &[u8]) -> Result<Waiter> {
        self.refuse_forked()?;
        Waiter::begin(self.commits(), name, self.clock(), self.is_shared().then(|| self.path()))
    }

    /// The rows that this process is still to write.
    pub(crate) fn buffered(&self) -> Result<&Buffered> {
        self.refuse_forked()?;
        Ok(&self.inner.context.buffered)
    }

    /// The receiver of committed events.
    pub(crate) fn sink(&self) -> &SinkSlot {
        self.inner.gate.sink()
    }

    /// Refuses buffered rows if nothing can be written.
    pub(crate) fn refuse_unless_writable(&self) -> Result<()> {
        self.with_handle(Handle::refuse_unless_writable)
    }

    /// Whether other processes may write to the file.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.context.shared
    }

    /// Moves the log into the file, as after a moment of rest.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn rest_log(&self) -> Result<()> {
        let log = self.inner.gate.log();
        self.with_handle(|handle| log.map_or(Ok(()), |log| log.rest(handle, &self.inner.context)))
    }

    /// Whether the file could not take the log when the store was opened.
    pub(crate) fn log_waits(&self) -> bool {
        self.inner.gate.log().is_some_and(|log| log.waits_for_redb())
    }

    /// Verifies the pages of the file. A store that is looked at keeps writers out by itself, so it is looked at once more.
    pub(crate) fn verify_pages(&self) -> Result<()> {
        match self.with_handle(|handle| Ok(handle.reads_the_file()))? {
            true => open::check_pages(self.path()),
            false => open::look_at_pages(self.path()),
        }
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The clock that the store was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.context.clock
    }

    /// Whether it was opened for reading only.
    pub(crate) fn only_looks(&self) -> bool {
        self.inner.context.only_looks
    }

    /// Makes the file as small as its content. Returns whether anything changed. It takes about 3 s per GB. Writers of other
    /// processes wait meanwhile, and so do new readers.
    ///
    /// # Errors
    ///
    /// `Conflict` while a view of any process is alive, `Reopen` when the store is closed, `Io`. After an error of the
    /// disk, make a new file with `repair` before going on: what redb has moved may be in the system's cache only.
    pub fn compact(&self) -> Result<bool> {
        let changed = self.shrink()?;
        if changed && let Some(recording) = &self.recording {
            self.write(|tx| recording.recorder.record(tx, "compact", None))?;
        }
        Ok(changed)
    }

    fn shrink(&self) -> Result<bool> {
        let _writing = Writing::enter(&self.inner.context)?;
        self.refuse_moved()?;
        let mut slot = self.inner.slot.exclusively()?;
        let handle = slot.handle_mut()?;
        let compacted = handle.compact();
        // Nothing is to go on by itself over pages that may be only in the system's cache.
        if let (Err(error), true, Some(log)) = (&compacted, handle.is_spent(), self.inner.gate.log())
            && error.kind() != ErrorKind::Full
        {
            log.give_up_for_good(error);
        }
        compacted
    }

    /// Whether other processes had the store open when it was opened, and no file of sessions told which of them live.
    pub(crate) fn cannot_see_others(&self) -> bool {
        self.inner.others_unseen.load(Ordering::Relaxed)
    }

    /// Registers a write for the close of the store.
    pub(crate) fn at_close(&self, closing: Closing) {
        self.inner.closing.lock().push(closing);
    }

    /// Which views are open in this process.
    pub(crate) fn views(&self) -> &Views {
        &self.inner.context.views
    }

    /// Notes the number of this process's session, and what holds its byte.
    pub(crate) fn set_session(&self, number: u64, held: &Arc<OwnSession>) {
        self.inner.context.session.get_or_init(|| number);
        self.inner.held.get_or_init(|| Arc::downgrade(held));
    }

    /// Keeps this process's session visible to other processes.
    pub(crate) fn keep_session_lock(&self) {
        if let Some(held) = self.inner.held.get().and_then(Weak::upgrade) {
            held.keep(|| self.refuse_moved().is_ok());
        }
    }

    /// Notes whether this process's session is still to begin; gives whether it was.
    pub(crate) fn put_session_off(&self, put_off: bool) -> bool {
        self.inner.session_put_off.swap(put_off, Ordering::Relaxed)
    }

    /// Whether this process's session is still to begin.
    pub(crate) fn is_session_put_off(&self) -> bool {
        self.inner.session_put_off.load(Ordering::Relaxed)
    }

    /// The number of this process's session.
    pub(crate) fn session_number(&self) -> Option<u64> {
        self.inner.context.session()
    }

    /// As [`Store::with_handle`], but behind a waiting closer, so that writers in a row do not keep it waiting forever.
    pub(super) fn with_handle_in_turn<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        // A write inside of a write is refused further on; here it would wait for a closer that waits for it.
        if Writing::is_inside(&self.inner.context) {
            return self.with_handle(call);
        }
        self.refuse_forked()?;
        self.keep_session_lock();
        let done = self.inner.slot.with_in_turn(call);
        self.inner.tend_log();
        done.map_err(|error| reserve::give_up_when_full(self.path(), error))
    }

    /// Runs a call on the open file, which stays open until the call ends.
    fn with_handle<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        self.inner.slot.with(call)
    }
}

impl Inner {
    /// Gives the file that was just opened its log.
    pub(crate) fn set_log(&self, log: Option<Log>) {
        let tends = self.tends_log && !self.context.only_looks;
        self.gate.set_log(log, tends.then_some(&self.mover));
    }

    /// Moves sections that are full into the file where no thread does.
    fn tend_log(&self) {
        // First of all: in a forked child a thread that it does not have may hold any lock.
        if self.slot.refuse_forked().is_err() {
            return;
        }
        // Also not in a closure of this thread, which may have redb's transaction.
        let Ok(_writing) = Writing::enter(self.context()) else { return };
        if let Some(log) = self.gate.log().filter(|log| log.bell.take_full_without_thread())
            && let Err(error) = self.mover.move_log(&log, false)
        {
            tracing::debug!(%error, "the log could not be moved into the file of the store");
        }
    }

    /// The parts that every transaction needs.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
