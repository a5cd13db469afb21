//! The error type of the crate. It is plain data and imports no other module, so that every layer can use it.

use std::fmt;

/// A failure, with a message for people and a kind ([`Error::kind`]) for programs.
///
/// The message is lower case and ends with the relevant values as `key=value`. If a person can act, it names the next
/// step. If there is a cause, it is in [`source`](std::error::Error::source).
///
/// # Examples
///
/// ```
/// use hivekeep::{ErrorKind, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let error = Store::options().create(false).open(dir.path().join("none.redb")).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NoStore);
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<Hint>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`], by the right reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no store at that path. Create one, or name another path.
    NoStore,
    /// Another process has locked the store, or its writer's lock, for longer than the lock timeout. Try again later.
    Locked,
    /// The file is not a store. Name another path.
    NotAStore,
    /// A newer version wrote the file or the record. Use that version.
    NewerFormat,
    /// Stored bytes differ from the written ones. They were not returned as data. Check the store, then repair or
    /// restore it.
    Damaged,
    /// The restore point is no longer retained. Choose another one.
    Gone,
    /// Nothing matches the request.
    NotFound,
    /// Several things match. Be more specific.
    Ambiguous,
    /// The input is invalid. The message names the fault.
    Invalid,
    /// The state does not allow it: a token is void, a record changed meanwhile, a point is held.
    Conflict,
    /// The actor may not do that: its key is no longer valid, or it acts as another bot. Use another key.
    Forbidden,
    /// Nothing of the call was committed. It is safe to retry.
    NotCommitted,
    /// The commit failed half-way, so its changes may or may not exist after reopening. Reopen, look, and use
    /// idempotency keys. A write that waits for a replica fails so when its change is on the local disk, and not known
    /// to be in the replica; then nothing need be reopened.
    Uncertain,
    /// An earlier failure left this handle unusable. Nothing is lost: open the store again.
    Reopen,
    /// The store was opened before a fork, by the parent of this process. Open it again in this process.
    Forked,
    /// The file was moved, replaced or removed while it was open. Nothing more is written to it. Find the file, then
    /// open the store again.
    Moved,
    /// The disk is full. Free some space.
    Full,
    /// The operating system reported an error. The message and the source describe it.
    Io,
}

/// The next step after an [`Error`]. The message describes it in general words. The command line names an option, and
/// the service a field of the request.
///
/// # Examples
///
/// ```
/// use hivekeep::{Hint, Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let error = Store::options().create(false).open(dir.path().join("none.redb")).unwrap_err();
/// assert_eq!(error.hint(), Some(&Hint::NameStore));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hint {
    /// Create a store, or name the path of another.
    NameStore,
    /// Look at the list of all restore points.
    ListPoints,
    /// Look at a restore point, and at what a repair lost of it.
    ShowPoint,
    /// Compare restore points, to see what changed.
    ComparePoints,
    /// Make a restore point.
    MakePoint,
    /// Release the held restore point.
    ReleasePoint,
    /// Check the whole store.
    CheckStore,
    /// See what a repair would keep, then repair the store.
    RepairStore,
    /// Allow a restore to a point that lost something.
    AllowPartial {
        /// The command that restores what is left of it, with all that was asked for.
        command: String,
    },
    /// Allow an import of a point that lost something.
    AllowPartialImport,
    /// Undo a restore although records have changed since.
    DiscardLaterWork,
    /// Look at a new plan, since the state has changed.
    PlanAgain,
    /// Name the one collection of a key.
    NameCollection,
    /// Say that a bulk change is about all tasks.
    NameAllTasks,
    /// Take the task that has the idempotency key, although it differs.
    AllowDifferent,
    /// Wait for tasks that are not enqueued yet.
    AllowMissingDependencies,
    /// Name another file for the repaired store.
    NameRepaired,
    /// Replace the file that is there.
    ReplaceFile,
    /// Name another folder for archives.
    NameArchiveFolder,
    /// Name the recipient of an encrypted archive, or its passphrase.
    NameRecipient,
    /// Give the passphrase of an encrypted archive.
    GivePassphrase,
    /// Give the identity that can decrypt an archive.
    GiveIdentity,
    /// Raise the limit of the size of an unpacked archive.
    RaiseArchiveLimit,
    /// Raise the limit of the size of a record.
    RaiseRecordLimit,
    /// Name a folder on another disk for the copies of a drill.
    NameScratchFolder,
    /// Show a service a key that it knows.
    GiveKey,
    /// Trust the certificate of a service.
    TrustCertificate,
    /// Start the service, or name the address of another.
    StartService,
    /// Ask the service that has the store for itself.
    AskService,
    /// Take a copy of a replica over, so that it becomes a store that is written to.
    TakeOver,
    /// Take back a store whose history another machine goes on with.
    TakeBack,
    /// Take changes of an overtaken file although a restore gave them up.
    AllowGivenUp,
}

impl Error {
    /// An error of that kind with that message.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Invalid, "a bot id must not be empty");
    /// assert_eq!(error.to_string(), "a bot id must not be empty");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The reaction that fits it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The next step, which a face shows in its own words; none if the message is enough.
    pub fn hint(&self) -> Option<&Hint> {
        self.hint.as_ref()
    }

    /// The same error with a way out.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Input that is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Bytes that differ from the written ones.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// Nothing that matches.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A state that does not allow it.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
}

impl ErrorKind {
    /// All of them.
    #[cfg(feature = "http")]
    pub(crate) const ALL: [Self; 18] = [
        Self::NoStore,
        Self::Locked,
        Self::NotAStore,
        Self::NewerFormat,
        Self::Damaged,
        Self::Gone,
        Self::NotFound,
        Self::Ambiguous,
        Self::Invalid,
        Self::Conflict,
        Self::Forbidden,
        Self::NotCommitted,
        Self::Uncertain,
        Self::Reopen,
        Self::Forked,
        Self::Moved,
        Self::Full,
        Self::Io,
    ];

    /// The kind as one lower-case word with underscores, as JSON shows it.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(hivekeep::ErrorKind::NoStore.as_str(), "no_store");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStore => "no_store",
            Self::Locked => "locked",
            Self::NotAStore => "not_a_store",
            Self::NewerFormat => "newer_format",
            Self::Damaged => "damaged",
            Self::Gone => "gone",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::NotCommitted => "not_committed",
            Self::Uncertain => "uncertain",
            Self::Reopen => "reopen",
            Self::Forked => "forked",
            Self::Moved => "moved",
            Self::Full => "full",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("hint", &self.hint)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Whether the disk, a quota, or the limit of a file's size has no room for more.
pub(crate) fn is_no_room(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether a process has as many files open as it may, or all processes together have.
fn is_too_many_files(error: &std::io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        let kind = match source.kind() {
            kind if is_no_room(kind) => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        let way_out = match source.kind() {
            std::io::ErrorKind::FileTooLarge => "; raise the limit of the size of a file, as with ulimit -f unlimited",
            _ if is_too_many_files(&source) => "; raise the limit, as with ulimit -n 1024",
            _ => "",
        };
        Self::new(kind, format!("{source}{way_out}")).with_source(source)
    }
}
