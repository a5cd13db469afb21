//! How a store is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};

/// The length of the first section of a log. A section that is filled soon is followed by a longer one.
const FIRST_SECTION: u64 = 256 << 10;

/// Which processes may have the file open at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Several processes read and write. Beginning a read costs 4 to 11 µs.
    #[default]
    Shared,
    /// Only this process. Beginning a read costs 1 µs.
    Exclusive,
    /// Several processes read and write, and take turns at one write-ahead log, so that a commit costs one sync. All
    /// processes that write must open the store like this; one that asks for [`Sharing::Shared`] while others have it
    /// open like this joins them. They run on one machine, on a local file system, with the folder of the file.
    /// [`Durability::System`] has no effect. Older versions do not open such a store any more.
    SharedLog,
}

/// The moment from which a write that was answered survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// A write survives the loss of the machine: it is answered once it is on the disk and in the replica, together
    /// with everything that it saw. Writes of many threads share one object there, so each takes one or two round trips
    /// to the bucket.
    ///
    /// This process must ship the store (`Store::replicate`, of the feature `replica`); otherwise a write is refused as
    /// `Conflict` before anything is written. If the replica does not get a change in time, or another process takes
    /// the replica over meanwhile, the error is `Uncertain`, and the change stays on the local disk. Once the replica
    /// has been away for longer than a write waits, a write is refused as `NotCommitted`, and nothing is written. Views
    /// may show what the replica does not have yet.
    Replicated,
    /// A write survives a power cut: it is answered once it is on the disk.
    #[default]
    Disk,
    /// A write survives the end of the process, but not of the machine: it is answered once the system has it, and on
    /// the disk within about 100 ms. Views may show what a power cut, or a sync that fails, then takes. Writes keep
    /// their order: a power cut takes the newest ones only, and none before a write that was answered as on the disk.
    ///
    /// It has an effect on commits that go into a log ([`Sharing::Exclusive`]), and none on restore points, restores,
    /// loads, claims, and commits with events, which are always on the disk. The id of a task that a power cut takes
    /// may be given to another one; a task with an id of your own keeps it.
    System,
}

impl Durability {
    /// All of them, the safest first.
    pub const ALL: [Self; 3] = [Self::Replicated, Self::Disk, Self::System];

    /// The name: `replicated`, `disk` or `system`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Disk => "disk",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|durability| durability.as_str() == text);
        found.ok_or_else(|| Error::invalid(format!("must be replicated, disk or system: text={}", text.escape_debug())))
    }
}

/// Whether every page's checksum is compared when the store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyOnOpen {
    /// When no other process has the file open, and it is small (up to 64 MiB, about 0.1 s) or was last written on
    /// another host. A file with a damaged page is refused then, so that nobody writes to it unawares.
    #[default]
    Auto,
    /// Always: about 2.1 s per GB.
    Always,
    /// Never. Damaged pages may then be noticed only when they are read.
    Never,
}

/// How a store is opened. Made by [`Store::options`](crate::Store::options).
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
    pub(crate) durability: Durability,
    pub(crate) session: bool,
    pub(crate) reserve: bool,
    pub(crate) stale_mark: Option<Duration>,
    pub(crate) event_log: Option<PathBuf>,
    /// Whether the log has a thread of its own; else a writer moves what is full.
    pub(in crate::engine) tends_log: bool,
    /// The first section of a log is so long, and the second commit begins it.
    pub(in crate::engine) first_section: u64,
    pub(in crate::engine) commits_before_log: u32,
    /// Whether files beside the store last as long as the store.
    pub(in crate::engine) has_folder: bool,
    /// Whether a reader also shows the entries of a log that other processes share.
    pub(in crate::engine) follows_log: bool,
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
            durability: Durability::Disk,
            session: true,
            reserve: true,
            stale_mark: Some(Duration::from_secs(30)),
            event_log: None,
            tends_log: true,
            first_section: FIRST_SECTION,
            commits_before_log: 2,
            has_folder: true,
            follows_log: false,
        }
    }
}

impl Options {
    /// Whether to create a store that does not exist; true unless set.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether one process has the store for itself.
    pub(in crate::engine) fn is_alone(&self) -> bool {
        self.sharing == Sharing::Exclusive
    }

    /// Whether several processes share the log.
    pub(in crate::engine) fn shares_log(&self) -> bool {
        self.sharing == Sharing::SharedLog && !self.read_only
    }

    /// Whether commits go into a log.
    pub(in crate::engine) fn has_log(&self) -> bool {
        let logs = self.sharing != Sharing::Shared && !self.read_only && !self.one_phase;
        logs && (self.has_folder || self.shares_log())
    }

    /// Opens for reading only: joins a store that others write to, and changes nothing.
    ///
    /// Beside processes that write, views show what is on the disk, except for writes with [`Durability::System`]. If
    /// nobody has the store open for writing, they also show the log that a killed process left, to its last entry. A
    /// power cut could still take entries which that process had not synced.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens for inspection. If no other process has the file open, writes stay in memory, so that no byte of the file
    /// changes, and its pages are verified unless [`VerifyOnOpen::Never`] is set. A store in use is joined for reading.
    #[must_use]
    pub fn untouched(mut self) -> Self {
        self.read_only = true;
        self.untouched = true;
        self
    }

    /// Which processes may have the file open at the same time.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Whether to verify pages when the store is opened.
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

    /// The source of all times.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long writing and opening wait for another process's write before they fail with
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked); 10 s unless set.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Seals every commit of this process as an unnamed point, so that any commit of the last `window` can be read and
    /// restored by its time. At most 100,000 are kept, the oldest merged first. A process that opens the same store
    /// without this seals none: its commits belong to the next sealed one of another process.
    #[must_use]
    pub fn history(mut self, window: Duration) -> Self {
        self.history = Some(window);
        self
    }

    /// When a write is answered; [`Durability::Disk`] unless set.
    /// [`Store::with_durability`](crate::Store::with_durability) chooses for single writes.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Whether this process gets a session, so that other processes notice its crash and its claimed tasks come back;
    /// true unless set. A short command does not need one.
    #[must_use]
    pub fn session(mut self, session: bool) -> Self {
        self.session = session;
        self
    }

    /// Whether to keep a reserve beside the file; a file without its final name needs none.
    #[must_use]
    pub(crate) fn reserve(mut self, reserve: bool) -> Self {
        self.reserve = reserve;
        self
    }

    /// Whether the log has a thread of its own. Without one, a writer moves what is full into the file.
    #[cfg(any(fuzzing, test))]
    #[must_use]
    pub(crate) fn tends_log(mut self, tends_log: bool) -> Self {
        self.tends_log = tends_log;
        self
    }

    /// The first section of a log is so long, and the second commit begins it.
    #[cfg(any(fuzzing, test))]
    #[must_use]
    pub(crate) fn first_section(mut self, bytes: u64) -> Self {
        (self.first_section, self.commits_before_log) = (bytes, 1);
        self
    }

    /// The maximum age of the mark of a clean shutdown when a process is found dead. An older mark is
    /// reported as a crash with the reason `stale_marker` and has no other consequence. 30 seconds unless
    /// set; with none, no mark is too old.
    #[must_use]
    pub fn stale_mark(mut self, age: Option<Duration>) -> Self {
        self.stale_mark = age;
        self
    }

    /// Commits in one phase instead of two, in [`Sharing::Exclusive`] only: one sync less for each commit.
    ///
    /// The price: after a failed sync followed by a power cut, three of four such stores could not be opened at
    /// all when this was measured, and a flipped bit in the newest pages of a store that was not closed can silently
    /// roll back its last commit. Opening after a kill walks the whole file.
    #[must_use]
    pub fn one_phase_commits(mut self, one_phase: bool) -> Self {
        self.one_phase = one_phase;
        self
    }
}
