//! The store: opening, sharing, writing, viewing, closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::engine::buffered::Buffered;
use crate::engine::commit::reentrancy::Writing;
use crate::engine::commit::sink::SinkSlot;
use crate::engine::commit::wakeups::{Commits, Others, Waiter};
use crate::engine::commit::{Gate, Outcome, Size, with_result};
use crate::engine::format::epoch::Epoch;
use crate::engine::opening::context::Context;
use crate::engine::opening::open;
use crate::engine::opening::options::Durability;
pub(crate) use crate::engine::opening::options::Options;
use crate::engine::opening::reserve;
use crate::engine::opening::slot::Slot;
use crate::engine::recorder::RecordedHandle;
use crate::engine::redb_file::Handle;
use crate::engine::redb_file::pages::Snapshot;
use crate::engine::rows::ReadRows;
use crate::engine::session::own_session::OwnSession;
use crate::engine::session::views::Views;
use crate::engine::view::View;
use crate::engine::wal::{Log, Mover, TakenUp};
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};

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
    /// When the writes of this handle are answered; none: as the store was opened.
    pub(crate) durability: Option<Durability>,
    /// Whether nobody is answered for its writes.
    pub(crate) is_local: bool,
}

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) slot: Arc<Slot>,
    pub(crate) gate: Gate,
    /// Opens the file as it was opened, for when a failure has closed it. Waits for no other process.
    pub(crate) opener: Opener,
    pub(super) context: Arc<Context>,
    /// Moves the log into the file.
    pub(in crate::engine) mover: Mover,
    /// Whether that is a thread of its own.
    pub(super) tends_log: bool,
    /// The byte of this process's session, until its end is written.
    pub(super) held: OnceLock<Weak<OwnSession>>,
    /// Whether a session is still to begin, as the disk had no room for one.
    pub(super) session_put_off: AtomicBool,
    /// Whether others had the store open when it was opened, and no file of sessions told which of them live.
    pub(super) others_unseen: AtomicBool,
    pub(super) closing: Mutex<Vec<Closing>>,
}

/// Opens the file at that path once more.
pub(crate) type Opener = Box<dyn Fn(&Path) -> Result<TakenUp> + Send + Sync>;

/// Writes something when the store is closed; it may be tried more than once.
type Closing = Box<dyn Fn(&mut WriteTx<'_>) -> Result<()> + Send>;

impl Store {
    /// A handle that writes for nobody in particular.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner, recording: None, durability: None, is_local: false }
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
    /// Every error of the closure; `Conflict` for a write inside of a write on one thread; `Locked` when another
    /// process writes for longer than the lock timeout; `Uncertain` when the commit failed half-way; `NotCommitted`,
    /// `Reopen`, `Full`, `Moved` and `Io` as their names say.
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
        with_result(|tx| closure(tx).map(Outcome::Commit), |work| self.write_in_a_batch(work))
    }

    /// When a write of this handle is answered. Without a log every write is synced first.
    pub fn durability(&self) -> Durability {
        self.durability.unwrap_or(self.inner.context.durability)
    }

    /// A handle whose writes are answered at that moment, whatever the store was opened with.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Durability, Sharing, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::options().sharing(Sharing::Exclusive).open(dir.path().join("h.redb"))?;
    /// let soon = store.with_durability(Durability::System);
    /// assert_eq!((soon.durability(), store.durability()), (Durability::System, Durability::Disk));
    /// soon.write(|tx| tx.config().put("progress", &serde_json::json!(7)))?;
    /// // This one, and with it every write before it, survives a power cut.
    /// store.write(|tx| tx.config().put("done", &serde_json::json!(true)))?;
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Self {
        Self { durability: Some(durability), ..self.clone() }
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

    /// A consistent view of the present state.
    ///
    /// # Errors
    ///
    /// `Reopen` when the store is closed, `Damaged` when its pages are, `Io`.
    pub fn view(&self) -> Result<View> {
        self.view_at(Epoch::NOW)
    }

    /// A view as of a retained epoch.
    pub(crate) fn view_at(&self, epoch: Epoch) -> Result<View> {
        self.with_handle(|handle| View::new(self.inner.context.clone(), self.rows_of_now(handle)?, epoch))
    }

    /// A view of the present for callers that read all of it. Where possible it also reads the pages of the file
    /// directly.
    pub(crate) fn view_of_all(&self) -> Result<View> {
        self.with_handle(|handle| {
            // A store that is not shared begins to read from memory, which may be behind the file.
            let (rows, snapshot) = match self.inner.context.shared && handle.reads_the_file() {
                true => Snapshot::with(self.path(), || self.rows_of_now(handle))?,
                false => (self.rows_of_now(handle)?, None),
            };
            // The pages do not have the rows of a log.
            let snapshot = snapshot.filter(|_| rows.overlay().is_empty());
            let view = View::new(self.inner.context.clone(), rows, Epoch::NOW)?;
            Ok(view.with_snapshot(snapshot))
        })
    }

    /// The rows of now, for a caller that has the open file.
    pub(in crate::engine) fn rows_of_now(&self, handle: &Handle) -> Result<ReadRows> {
        self.inner.gate.log_slot().rows(handle, self.inner.context.lock_timeout)
    }

    /// Refuses a forked child, for calls that do not reach the open file.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        self.inner.slot.refuse_forked()
    }

    /// Refuses a store whose file is no longer at its path. Every commit asks this.
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

    /// Prepares a caller to wait under that name: from now on [`Store::commits`] also notice other processes and due
    /// times. Look for earlier changes after this call.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started, `Forked` in a forked child.
    pub(crate) fn waiting(&self, name: &[u8]) -> Result<Waiter> {
        self.refuse_forked()?;
        let others = match self.inner.gate.log().filter(|log| log.is_shared()) {
            Some(_) => {
                let inner = Arc::downgrade(&self.inner);
                Others::counted(move || inner.upgrade()?.gate.log()?.commits_of_all())
            }
            None if self.is_shared() => Others::in_file(self.path()),
            None => Others::None,
        };
        Waiter::begin(self.commits(), name, self.clock(), others)
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
        self.refuse_unless_written_to()?;
        self.with_handle(Handle::refuse_unless_writable)
    }

    /// Whether other processes may write to the file.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.context.shared
    }

    /// Whether the pages of the file were verified when it was opened, and nobody has written to it since.
    pub(crate) fn has_verified_pages(&self) -> Result<bool> {
        self.with_handle(|handle| Ok(handle.has_verified_pages()))
    }

    /// Verifies the pages of the file. A store that is looked at keeps writers out by itself, so it is looked at once
    /// more.
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

    /// Makes the file as small as its content. Returns whether anything changed. It takes about 3 s per GB. Writers of
    /// other processes wait meanwhile, and so do new readers.
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
        self.refuse_unless_written_to()?;
        let _writing = Writing::enter(&self.inner.context)?;
        self.refuse_moved()?;
        let mut slot = self.inner.slot.exclusively()?;
        let handle = slot.handle_mut()?;
        // W14: until it has ended, no other process appends or commits.
        let log = self.inner.gate.log();
        let _visit = log.as_deref().and_then(Log::visit);
        let mut writer = log.as_ref().map(|log| log.lock());
        if let (Some(log), Some(writer)) = (&log, &mut writer) {
            log.take_turn(writer, handle, &self.inner.context, Instant::now())?;
            // A transaction that reads keeps the file from being made smaller.
            writer.let_go_of_base();
        }
        let compacted = handle.compact();
        // Nothing may continue by itself over pages that may be only in the system's cache.
        if let (Err(error), true, Some(log)) = (&compacted, handle.is_spent(), &log)
            && error.kind() != ErrorKind::Full
        {
            log.give_up_for_good(error);
        }
        compacted
    }

    /// Registers a write for the close of the store.
    pub(crate) fn at_close(&self, closing: Closing) {
        self.inner.closing.lock().push(closing);
    }

    /// Which views are open in this process.
    pub(crate) fn views(&self) -> &Views {
        &self.inner.context.views
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
    pub(super) fn with_handle<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        self.inner.slot.with(call)
    }
}

impl Inner {
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
