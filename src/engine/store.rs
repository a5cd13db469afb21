//! The store: opening, sharing, writing, viewing, closing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{Clock, SystemClock};
use crate::engine::commit::{Gate, Outcome};
use crate::engine::epoch::Epoch;
use crate::engine::gathered::Gathered;
use crate::engine::held::Held;
use crate::engine::index::IndexRule;
use crate::engine::nested::Nested;
use crate::engine::notice::Commits;
use crate::engine::open;
use crate::engine::place::Place;
use crate::engine::presence::Presence;
use crate::engine::redb_file::open::in_use;
#[cfg(any(fuzzing, test))]
use crate::engine::redb_file::open::open_over;
use crate::engine::redb_file::pages::Snapshot;
use crate::engine::redb_file::{Handle, Transaction};
use crate::engine::reserve;
use crate::engine::schema::CollectionId;
use crate::engine::sink::SinkSlot;
use crate::engine::slot::{Content, Slot};
use crate::engine::turn::{Streak, Turn};
use crate::engine::view::View;
use crate::engine::views::Views;
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
}

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) slot: Slot,
    pub(crate) gate: Gate,
    /// Opens the file as it was opened, for when a failure has closed it. Waits for no other process.
    pub(crate) opener: Opener,
    context: Arc<Context>,
    /// The byte of this process's session, until its end is written.
    held: OnceLock<Weak<Held>>,
    /// Whether a session is still to begin, as the disk had no room for one.
    session_put_off: AtomicBool,
    /// Whether others had the store open when it was opened, and no file of sessions told which of them live.
    others_unseen: AtomicBool,
    closing: Mutex<Vec<Closing>>,
}

/// Opens the file at that path once more.
pub(crate) type Opener = Box<dyn Fn(&Path) -> Result<Handle> + Send + Sync>;

/// What is still to be written when the store is closed; it may be tried more than once.
type Closing = Box<dyn Fn(&mut WriteTx<'_>) -> Result<()> + Send>;

/// A store that is dropped waits for another process's write for so long, or for the lock timeout where that is longer:
/// nobody is there to try again, and a session that does not end is taken for a crash.
const LAST_WAIT: Duration = Duration::from_secs(60);

/// What every transaction of a store needs.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) indexes: &'static [IndexRule],
    pub(crate) shared: bool,
    pub(crate) history: Option<Duration>,
    pub(crate) stale_mark: Option<Duration>,
    pub(crate) turn: Turn,
    pub(crate) place: Place,
    pub(crate) lock_timeout: Duration,
    pub(crate) gathered: Gathered,
    pub(crate) sink: SinkSlot,
    /// Which views are open in this process.
    pub(crate) views: Arc<Views>,
    session: OnceLock<u64>,
    one_phase: bool,
    /// Whether the store is opened to be looked at only.
    only_looks: bool,
}

/// Who may have the file open at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Several processes read and write. Beginning a read costs 4 to 11 µs.
    #[default]
    Shared,
    /// Only this process. Beginning a read costs 1 µs.
    Exclusive,
}

/// Whether every page's checksum is compared when the store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyOnOpen {
    /// When no other process has the file open, and it is small (up to 64 MiB, about 0.1 s) or was last written on
    /// another host.
    #[default]
    Auto,
    /// Always: about 2.1 s per GB.
    Always,
    /// Never. Damaged pages may then be noticed only when they are read.
    Never,
}

/// How a store is opened. Made by [`Store::options`].
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) untouched: bool,
    pub(crate) sharing: Sharing,
    pub(crate) verify: VerifyOnOpen,
    pub(crate) cache_bytes: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lock_timeout: Duration,
    pub(crate) history: Option<Duration>,
    pub(crate) one_phase: bool,
    pub(crate) session: bool,
    pub(crate) reserve: bool,
    pub(crate) stale_mark: Option<Duration>,
    pub(crate) event_log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            read_only: false,
            untouched: false,
            sharing: Sharing::default(),
            verify: VerifyOnOpen::default(),
            cache_bytes: 64 << 20,
            clock: Arc::new(SystemClock),
            lock_timeout: Duration::from_secs(10),
            history: None,
            one_phase: false,
            session: true,
            reserve: true,
            stale_mark: Some(Duration::from_secs(30)),
            event_log: None,
        }
    }
}

impl Options {
    /// Whether a store that does not exist is created. It is, unless this says no.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens for reading only: joins a store that others write to, and leaves no trace.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens for inspection: a file that nobody else has open is read through a layer that keeps every write in memory,
    /// so that not one byte of it changes, and its pages are verified unless [`VerifyOnOpen::Never`] is set. A store in
    /// use is joined for reading.
    #[must_use]
    pub fn untouched(mut self) -> Self {
        self.read_only = true;
        self.untouched = true;
        self
    }

    /// Who may have the file open at the same time.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Whether pages are verified when the store is opened.
    #[must_use]
    pub fn verify_on_open(mut self, verify: VerifyOnOpen) -> Self {
        self.verify = verify;
        self
    }

    /// The size of the page cache, in bytes; 64 MiB unless set.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The clock that times come from.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a write waits for another process's before it fails with [`ErrorKind::Locked`], and so does opening; 10 s
    /// unless set.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Seals every commit of this process as an unnamed point, so that any commit of the last `window` can be read and
    /// restored by its time. At most 100,000 are kept, the oldest merged first.
    #[must_use]
    pub fn history(mut self, window: Duration) -> Self {
        self.history = Some(window);
        self
    }

    /// Whether this process gets a session, so that a crash of it is noticed and what was claimed in it comes back. It
    /// does, unless this says no, as for a command that is over at once.
    #[must_use]
    pub fn session(mut self, session: bool) -> Self {
        self.session = session;
        self
    }

    /// Whether there is a reserve beside the file; not for one that has not got its name yet.
    #[must_use]
    pub(crate) fn reserve(mut self, reserve: bool) -> Self {
        self.reserve = reserve;
        self
    }

    /// How old the mark of a clean shutdown may be when a process is found dead: an older one is reported as a crash,
    /// with the reason `stale_marker` and no other consequence. 30 seconds unless set; with none, no mark is too old.
    #[must_use]
    pub fn stale_mark(mut self, age: Option<Duration>) -> Self {
        self.stale_mark = age;
        self
    }

    /// Commits in one phase instead of two, in [`Sharing::Exclusive`] only: one sync less for each commit.
    ///
    /// What is given up: after a failed sync followed by a power cut, three of four such stores could not be opened at
    /// all when this was measured, and a flipped bit in the newest pages of a store that was not closed can silently
    /// roll back its last commit. Opening after a kill walks the whole file.
    #[must_use]
    pub fn one_phase_commits(mut self, one_phase: bool) -> Self {
        self.one_phase = one_phase;
        self
    }

    /// Opens the file with these rules for the index.
    pub(crate) fn open_with(self, path: &Path, indexes: &'static [IndexRule]) -> Result<Store> {
        if self.one_phase && self.sharing == Sharing::Shared {
            return Err(Error::invalid("one-phase commits need exclusive sharing: several processes cannot use them"));
        }
        let in_use = in_use(path).unwrap_or(false);
        let (handle, own_name) = open::open(path, &self)?;
        let others_unseen = in_use && Presence::look(&own_name).is_ok_and(|presence| presence.is_none());
        // Whoever opens it again waits by himself, while nothing else has to.
        let options = self.clone().lock_timeout(Duration::ZERO);
        let opener = move |path: &Path| open::open_again(path, &options);
        let store = self.store(&own_name, handle, Box::new(opener), indexes);
        store.inner.others_unseen.store(others_unseen, Ordering::Relaxed);
        Ok(store)
    }

    /// The same over any storage; only the file of sessions is at `path`.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn open_over<S: crate::engine::redb_file::StorageBackend>(
        self,
        storage: impl Fn() -> S + Send + Sync + 'static,
        path: &Path,
        indexes: &'static [IndexRule],
    ) -> Result<Store> {
        let handle = open_over(storage(), &self)?;
        let options = self.clone().verify_on_open(VerifyOnOpen::Never);
        let opener = move |_: &Path| open_over(storage(), &options);
        Ok(self.store(path, handle, Box::new(opener), indexes))
    }

    fn store(self, path: &Path, handle: Handle, opener: Opener, indexes: &'static [IndexRule]) -> Store {
        let context = Context {
            clock: self.clock,
            indexes,
            shared: self.sharing == Sharing::Shared,
            history: self.history,
            stale_mark: self.stale_mark,
            turn: Turn::new(path),
            place: Place::new(path, handle.id()),
            lock_timeout: self.lock_timeout,
            gathered: Gathered::default(),
            sink: SinkSlot::default(),
            views: Arc::default(),
            session: OnceLock::new(),
            one_phase: self.one_phase,
            only_looks: self.read_only,
        };
        let inner = Inner {
            path: path.to_path_buf(),
            slot: Slot::new(handle),
            gate: Gate::new(),
            opener,
            context: Arc::new(context),
            held: OnceLock::new(),
            session_put_off: AtomicBool::new(false),
            others_unseen: AtomicBool::new(false),
            closing: Mutex::default(),
        };
        Store { inner: Arc::new(inner) }
    }
}

impl Store {
    /// How to open a store in another way than the usual one.
    pub fn options() -> Options {
        Options::default()
    }

    /// Runs a closure in a transaction and returns once its changes are on the disk. Callers on several threads share
    /// one sync.
    ///
    /// The closure's changes are committed together. When it returns an error or panics, its own changes are taken
    /// back, and nobody else's.
    ///
    /// # Errors
    ///
    /// What the closure returns; `Conflict` for a write inside of a write on one thread; `Locked` when another process
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
        self.with_handle_in_turn(|handle| self.inner.gate.write(handle, &self.inner.context, closure))
    }

    /// Runs a closure like [`Store::write`], but alone: for loading much at once. It keeps no list of what it
    /// overwrote; when the closure fails, the whole transaction is dropped. Other writers wait meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub fn load<R>(&self, closure: impl FnOnce(&mut WriteTx<'_>) -> Result<R>) -> Result<R> {
        self.alone(|tx| {
            let result = closure(tx)?;
            if tx.batch.changed && tx.context.history.is_some() {
                tx.seal_commit()?;
            }
            Ok(Outcome::Commit(result))
        })
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
        self.with_handle(|handle| View::new(self.inner.context.clone(), handle.begin_read()?, epoch))
    }

    /// A view of now for whoever reads all of it: where it can, it also reads the pages of the file by itself.
    pub(crate) fn view_of_all(&self) -> Result<View> {
        self.with_handle(|handle| {
            // What is not shared begins to read from memory, which may be behind the file.
            let (tables, snapshot) = match self.inner.context.shared && handle.reads_the_file() {
                true => Snapshot::with(self.path(), || handle.begin_read())?,
                false => (handle.begin_read()?, None),
            };
            let view = View::new(self.inner.context.clone(), tables, Epoch::NOW)?;
            Ok(view.with_snapshot(snapshot))
        })
    }

    /// Runs work in a transaction of its own, which is committed or aborted as a whole.
    pub(crate) fn alone<R>(&self, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>) -> Result<R> {
        self.with_handle_in_turn(|handle| self.inner.gate.alone(handle, &self.inner.context, work))
    }

    /// Refuses a forked child, for what does not come to the open file.
    ///
    /// # Errors
    ///
    /// `Forked` in one.
    pub(crate) fn refuse_forked(&self) -> Result<()> {
        self.inner.slot.refuse_forked()
    }

    /// Refuses a store whose file is not at its path any more, as every commit does.
    ///
    /// # Errors
    ///
    /// `Moved` then.
    pub(crate) fn refuse_moved(&self) -> Result<()> {
        self.inner.context.place.refuse_moved()
    }

    /// What this process has committed, for those who wait for more.
    pub(crate) fn commits(&self) -> &Arc<Commits> {
        self.inner.gate.commits()
    }

    /// What this process is still to write.
    pub(crate) fn gathered(&self) -> Result<&Gathered> {
        self.refuse_forked()?;
        Ok(&self.inner.context.gathered)
    }

    /// Who is told of committed events.
    pub(crate) fn sink(&self) -> &SinkSlot {
        &self.inner.context.sink
    }

    /// Refuses what would be written later, if nothing can be.
    pub(crate) fn refuse_unless_writable(&self) -> Result<()> {
        self.with_handle(Handle::refuse_unless_writable)
    }

    /// Whether other processes may write to the file.
    pub(crate) fn is_shared(&self) -> bool {
        self.inner.context.shared
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The clock that the store was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.context.clock
    }

    /// Whether it was opened to be looked at only.
    pub(crate) fn only_looks(&self) -> bool {
        self.inner.context.only_looks
    }

    /// Makes the file as small as its content, and says whether anything changed. Writers of other processes wait while
    /// it runs, about 3 s per GB, and so do readers who come then.
    ///
    /// # Errors
    ///
    /// `Conflict` while a view of any process is alive, `Reopen` when the store is closed, `Io`. After an error of the
    /// disk, make a new file with `repair` before going on: what redb has moved may be in the system's cache only.
    pub fn compact(&self) -> Result<bool> {
        let _nested = Nested::enter(&self.inner.context)?;
        self.refuse_moved()?;
        let mut slot = self.inner.slot.exclusively()?;
        slot.handle_mut()?.compact()
    }

    /// Closes the file for every clone, once the calls in progress have ended. Views that are still alive fail from now
    /// on. While another process keeps writing, it stays open.
    pub(crate) fn close_file(&self) -> Result<()> {
        self.refuse_forked()?;
        // Refused before what is to be written last is tried.
        drop(Nested::enter(&self.inner.context)?);
        let closed = match self.with_handle_in_turn(|handle| self.inner.write_last(handle)) {
            Err(error) if may_be_written_again(&error) => self.write_last_again(error),
            Err(error) if error.kind() == ErrorKind::Locked => {
                return Err(error.context("the store could not be closed and is still open"));
            }
            closed => closed,
        };
        let _nested = Nested::enter(&self.inner.context)?;
        let mut slot = self.inner.slot.exclusively()?;
        // Where nothing was left to be written, nobody has looked yet.
        let moved = matches!(*slot, Content::Open(_)).then(|| self.refuse_moved());
        let content = std::mem::replace(&mut *slot, Content::Closed);
        drop(slot);
        let closed = closed.and(moved.unwrap_or(Ok(()))).and(match content {
            Content::Open(handle) => handle.close(),
            Content::Lost | Content::Closed => Ok(()),
        });
        self.inner.closing.lock().clear();
        // Who waits is to find out that there is nothing to wait for.
        self.commits().tell();
        closed
    }

    /// Writes the end once more on the file opened anew: otherwise a failure at the end would look like a crash. A disk that
    /// was full has room by now, where the reserve was given up.
    fn write_last_again(&self, failed: Error) -> Result<()> {
        let had_failed = failed.kind() == ErrorKind::Reopen;
        if self.inner.closing.lock().is_empty() {
            return if had_failed { Ok(()) } else { Err(failed) };
        }
        let again = self.reopen().and_then(|()| self.with_handle_in_turn(|handle| self.inner.write_last(handle)));
        match again {
            Err(error) if had_failed => {
                tracing::warn!(%error, "the store was closed, and its end could not be written");
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the end of the store could not be written on the file opened anew either");
                Err(failed)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether other processes had the store open when it was opened, and no file of sessions told which of them live.
    pub(crate) fn cannot_see_others(&self) -> bool {
        self.inner.others_unseen.load(Ordering::Relaxed)
    }

    /// Has something more written when the store is closed.
    pub(crate) fn at_close(&self, closing: Closing) {
        self.inner.closing.lock().push(closing);
    }

    /// Which views are open in this process.
    pub(crate) fn views(&self) -> &Views {
        &self.inner.context.views
    }

    /// Notes the number of this process's session, and what holds its byte.
    pub(crate) fn set_session(&self, number: u64, held: &Arc<Held>) {
        self.inner.context.session.get_or_init(|| number);
        self.inner.held.get_or_init(|| Arc::downgrade(held));
    }

    /// Sees to it that other processes find this one's session alive.
    pub(crate) fn keep_held(&self) {
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

    /// As [`Store::with_handle`], but behind a closer that waits, so that writers who follow one another do not keep it
    /// out for ever.
    fn with_handle_in_turn<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        // A write inside of a write is refused further on; here it would wait for a closer that waits for it.
        if Nested::is_inside(&self.inner.context) {
            return self.with_handle(call);
        }
        self.refuse_forked()?;
        self.keep_held();
        let done = self.inner.slot.with_in_turn(call);
        done.map_err(|error| reserve::give_up_when_full(self.path(), error))
    }

    /// Runs a call on the open file, which stays open until the call ends.
    fn with_handle<R>(&self, call: impl FnOnce(&Handle) -> Result<R>) -> Result<R> {
        self.inner.slot.with(call)
    }
}

impl Inner {
    /// What every transaction needs.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Writes what is still to be written before the file is closed. What could not be written stays, to be tried again.
    fn write_last(&self, handle: &Handle) -> Result<()> {
        // Held meanwhile, so that of two that close at once neither closes the file before this is written.
        let mut closing = self.closing.lock();
        if !closing.is_empty() {
            let write = |tx: &mut WriteTx<'_>| closing.iter().try_for_each(|write| write(tx)).map(Outcome::Commit);
            self.gate.alone(handle, &self.context, write)?;
            closing.clear();
        }
        Ok(())
    }

    /// The same where nobody can try again.
    fn write_last_with_patience(&self, handle: &Handle) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.write_last(handle) {
                Err(error) if error.kind() == ErrorKind::Locked && began.elapsed() < LAST_WAIT => {}
                written => return written,
            }
        }
    }
}

impl Drop for Inner {
    /// The last clone is gone: a clean end, unless a panic is on its way, or another process writes for a minute. In a forked
    /// child nothing ends.
    fn drop(&mut self) {
        if std::thread::panicking() || !self.slot.is_open() {
            return;
        }
        if let Err(error) = self.slot.with(|handle| self.write_last_with_patience(handle)) {
            tracing::warn!(%error, "the store was dropped, and its end could not be written");
        }
    }
}

impl Context {
    /// The number of this process's session.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session.get().copied()
    }

    /// A write transaction in the mode that the store was opened in, unless another process has one.
    pub(crate) fn try_begin_write(&self, handle: &Handle) -> Result<Option<Transaction>> {
        Ok(handle.try_begin_write()?.map(|transaction| self.in_mode(transaction)))
    }

    /// The same in this process's turn, for a caller who has waited since `arrived`. Says once when it has to wait for
    /// another process.
    pub(crate) fn begin_write(
        &self,
        handle: &Handle,
        arrived: Instant,
        streak: Streak,
        shut_out: &dyn Fn(),
    ) -> Result<Transaction> {
        let waiting = if self.shared { self.turn.wait_behind_others(streak) } else { self.turn.wait() };
        let transaction = handle.begin_write(arrived, self.lock_timeout, waiting, shut_out)?;
        Ok(self.in_mode(transaction))
    }

    fn in_mode(&self, mut transaction: Transaction) -> Transaction {
        if !self.shared && !self.one_phase {
            transaction.save_allocator_state();
        }
        transaction
    }

    /// How the index rows of a collection are derived, when it has any.
    pub(crate) fn index_rule(&self, collection: CollectionId) -> Option<&IndexRule> {
        self.indexes.iter().find(|rule| rule.collection == collection)
    }
}

/// Whether the end of a store may be written once more, on the file opened anew, after a failure.
fn may_be_written_again(error: &Error) -> bool {
    use ErrorKind::{Full, Io, NotCommitted, Reopen, Uncertain};
    matches!(error.kind(), Full | Io | NotCommitted | Reopen | Uncertain)
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
