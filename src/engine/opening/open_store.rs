//! Opens a store: its file, its log, and all that the handles of one process share.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::buffered::Buffered;
use crate::engine::commit::Gate;
use crate::engine::feed::Told;
use crate::engine::format::index::IndexRule;
use crate::engine::opening::context::Context;
use crate::engine::opening::named_file::NamedFile;
use crate::engine::opening::open;
#[cfg(any(fuzzing, test))]
use crate::engine::opening::options::VerifyOnOpen;
use crate::engine::opening::options::{Options, Sharing};
use crate::engine::opening::slot::Slot;
use crate::engine::redb_file::Handle;
use crate::engine::redb_file::open::in_use;
#[cfg(any(fuzzing, test))]
use crate::engine::redb_file::open::open_over;
use crate::engine::session::session_locks::SessionLocks;
use crate::engine::session::writer_line::WriterLine;
use crate::engine::store::{Inner, Opener, Store};
#[cfg(any(fuzzing, test))]
use crate::engine::wal::beginning::recover;
#[cfg(any(fuzzing, test))]
use crate::engine::wal::{Joining, LogFolder, LogNews};
use crate::engine::wal::{Mover, TakenUp, is_lived_in};
use crate::error::{Error, ErrorKind, Result};

/// How long a store that is opened again stands in line for the turn at a shared log.
const IN_LINE: Duration = Duration::from_secs(1);

/// Opens the file and its log once more, or the file alone.
type Openers = (Opener, Box<dyn Fn() -> Result<Handle> + Send + Sync>);

impl Options {
    /// Opens the file with these rules for the index.
    pub(crate) fn open_with(mut self, path: &Path, indexes: &'static [IndexRule]) -> Result<Store> {
        // The log that others share has commits that the file does not have.
        if self.sharing == Sharing::Shared && is_lived_in(path).unwrap_or(false) {
            self.sharing = Sharing::SharedLog;
        }
        if self.one_phase && self.sharing != Sharing::Exclusive {
            return Err(Error::invalid("one-phase commits need exclusive sharing: several processes cannot use them"));
        }
        let in_use = in_use(path).unwrap_or(false);
        let (opened, own_name) = match open::open(path, &self) {
            // Another process has begun to share a log meanwhile.
            Err(error)
                if error.kind() == ErrorKind::Locked
                    && self.sharing == Sharing::Shared
                    && !self.read_only
                    && is_lived_in(path).unwrap_or(false) =>
            {
                self.sharing = Sharing::SharedLog;
                open::open(path, &self)?
            }
            opened => opened?,
        };
        let others_unseen = in_use && SessionLocks::look(&own_name).is_ok_and(|locks| locks.is_none());
        // A caller that opens it again waits by itself, while nothing else has to.
        // In line for a shared log, since a busy process gives the turn to those only who stand there.
        let in_line = if self.sharing == Sharing::SharedLog { self.lock_timeout.min(IN_LINE) } else { Duration::ZERO };
        let options = self.clone().lock_timeout(in_line);
        let (alone, name) = (options.clone(), own_name.clone());
        let opener = move |path: &Path| open::open_again(path, &options);
        let anew = move || open::open_without_log(&name, &alone);
        let store = self.store(&own_name, opened, (Box::new(opener), Box::new(anew)), indexes);
        store.inner.others_unseen.store(others_unseen, Ordering::Relaxed);
        store.note_standby();
        store.note_overtaken();
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
        let (again, alone, line) = (storage.clone(), options.clone(), WriterLine::new(path));
        let anew = move || open_over(again(), &alone);
        let open = move |options: &Self, first: &Self| {
            let folder = folder();
            let joins = folder.as_ref().filter(|_| options.shares_log());
            let joining =
                joins.map(|folder| Joining::begin(&**folder, &line, options.lock_timeout, || Ok(false))).transpose()?;
            let handle = open_over(storage(), first)?;
            match folder {
                Some(folder) => {
                    recover::take_up(handle, folder, options, joining, |_| true, || open_over(storage(), options))
                }
                None => Ok(TakenUp { handle, log: None, news: LogNews::default() }),
            }
        };
        let opened = open(&options, &self)?;
        let opener = move |_: &Path| open(&options, &options);
        Ok(self.store(path, opened, (Box::new(opener), Box::new(anew)), indexes))
    }

    fn store(
        self,
        path: &Path,
        TakenUp { handle, log, news }: TakenUp,
        (opener, anew): Openers,
        indexes: &'static [IndexRule],
    ) -> Store {
        let context = Context {
            clock: self.clock,
            indexes,
            shared: self.sharing != Sharing::Exclusive,
            history: self.history,
            stale_mark: self.stale_mark,
            writer_line: WriterLine::new(path),
            // A process that only reads goes on over a file that was moved.
            place: NamedFile::new(path, handle.id().filter(|_| !self.read_only)),
            lock_timeout: self.lock_timeout,
            buffered: Buffered::default(),
            told: Told::default(),
            #[cfg(any(test, feature = "replica"))]
            awaited: Default::default(),
            lease: Default::default(),
            views: Arc::default(),
            session: OnceLock::new(),
            one_phase: self.one_phase,
            durability: self.durability,
            was_standby: OnceLock::new(),
            was_overtaken: OnceLock::new(),
            only_looks: self.read_only,
            log_news: Mutex::new(news),
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
