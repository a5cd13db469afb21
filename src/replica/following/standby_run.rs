//! A standby that runs until its caller stops it, or until it takes over: it tries again after a failure, promotes the
//! copy once the lease of the writer has ended, and opens the copy again if another standby was faster.

use std::ops::ControlFlow;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::standby::{ReplicaStandby, StandbyChange, StandbyLease, StandbyProgress};
use super::take_over::{TakeOverOptions, TakenOver};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::bucket::location::ReplicaLocation;

/// So many looks behind something new come after half the time.
const SOON: u32 = 3;
/// The time between two looks, unless another one is set.
const EVERY: Duration = Duration::from_secs(1);

/// How a standby runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyOptions {
    /// The time between two looks; half of it while something new comes. A second by default.
    pub every: Duration,
    /// Whether it ends once the copy has everything, and at the first failure.
    pub once: bool,
    /// How the copy is promoted once the lease of the writer has ended, always as with
    /// [`if_silent`](TakeOverOptions::if_silent); none if it only follows.
    pub promote: Option<TakeOverOptions>,
}

impl Default for StandbyOptions {
    fn default() -> Self {
        Self { every: EVERY, once: false, promote: None }
    }
}

/// A step of a standby that runs.
#[derive(Clone, Copy, Debug)]
pub enum StandbyEvent<'a> {
    /// The copy has changed.
    Moved(StandbyProgress),
    /// There is nothing new in the replica.
    Idle,
    /// The writer of another term has this lease; with none, the copy is not promoted. It is told at the start too, and
    /// only if the copy may be promoted.
    Lease(Option<StandbyLease>),
    /// The writer did not renew this lease, so the copy is about to be promoted.
    Promoting(StandbyLease),
    /// Write access to the replica, which a promotion needs, could not be verified.
    Unverified(&'a Error),
    /// Something failed, and is tried again.
    Retrying(&'a Error),
}

/// How a standby ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandbyEnd {
    /// Its caller stopped it.
    Stopped,
    /// The copy has everything, and it was to run [once](StandbyOptions::once).
    Complete,
    /// The copy was promoted, after that lease of the writer before.
    Promoted {
        /// The copy, as it was taken over.
        taken: TakenOver,
        /// The length of the lease.
        lease: Duration,
    },
    /// The copy was promoted before, so it follows nobody.
    WasPromoted,
}

impl ReplicaStandby {
    /// Opens the copy at a path, or makes it, and lets it follow until the caller breaks off, with every step told to
    /// the caller. Once it has worked, it goes on after failures of the bucket, of credentials and of a full disk; an
    /// error is what no later try can change. The process may be killed at any time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), [`step`](Self::step) and [`promote`](Self::promote); `Forbidden` when the copy may be
    /// promoted and the replica cannot be written to; and those of `tell`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use hivekeep::{InitReplicaOptions, ReplicaStandby, StandbyEnd, StandbyEvent, StandbyOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let at = dir.path().join("replica").to_str().unwrap().parse()?;
    /// # let path = dir.path().join("hive.redb");
    /// Store::open(path)?.init_replica(&at, &InitReplicaOptions::default())?;
    /// let copy = dir.path().join("copy.redb");
    /// let ended = ReplicaStandby::run(&at, &copy, None, &StandbyOptions::default(), |event| {
    ///     Ok(match event {
    ///         StandbyEvent::Idle => ControlFlow::Break(()),
    ///         _ => ControlFlow::Continue(()),
    ///     })
    /// })?;
    /// assert_eq!(ended, StandbyEnd::Stopped);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn run(
        from: &ReplicaLocation,
        path: impl AsRef<Path>,
        identity: Option<&str>,
        options: &StandbyOptions,
        tell: impl FnMut(StandbyEvent<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<StandbyEnd> {
        let path = path.as_ref();
        if options.promote.is_some() && Self::was_promoted(path)? {
            return Ok(StandbyEnd::WasPromoted);
        }
        let standby = Self::open(from, path, identity)?;
        let promote = options.promote.clone().map(|how| TakeOverOptions { if_silent: true, force: false, ..how });
        let options = StandbyOptions { promote, ..options.clone() };
        Run { from, path, identity, options, tell, has_worked: false, term: None, idle: 0 }.until_its_end(standby)
    }
}

/// A standby that runs.
struct Run<'a, F> {
    from: &'a ReplicaLocation,
    path: &'a Path,
    identity: Option<&'a str>,
    options: StandbyOptions,
    tell: F,
    /// Whether a look has succeeded: then the location and the credentials were right.
    has_worked: bool,
    /// The term whose lease was told.
    term: Option<u64>,
    /// How many looks in a row have found nothing.
    idle: u32,
}

/// The standby goes on, or its run has ended.
type Next = ControlFlow<StandbyEnd, ReplicaStandby>;

impl<F: FnMut(StandbyEvent<'_>) -> Result<ControlFlow<()>>> Run<'_, F> {
    fn until_its_end(mut self, standby: ReplicaStandby) -> Result<StandbyEnd> {
        let mut next = self.verify_rights(standby)?;
        loop {
            match next {
                ControlFlow::Continue(standby) => next = self.look(standby)?,
                ControlFlow::Break(end) => return Ok(end),
            }
        }
    }

    /// Refuses credentials that could not promote the copy, before that is needed.
    fn verify_rights(&mut self, standby: ReplicaStandby) -> Result<Next> {
        if self.options.promote.is_none() {
            return Ok(Next::Continue(standby));
        }
        match standby.try_write() {
            Err(error) if error.kind() == ErrorKind::Io => self.told(StandbyEvent::Unverified(&error), standby),
            tried => tried.map(|()| Next::Continue(standby)),
        }
    }

    /// Looks for something new once, and waits behind it if there was nothing.
    fn look(&mut self, mut standby: ReplicaStandby) -> Result<Next> {
        let next = match self.step(&mut standby) {
            Ok((progress, lease)) => {
                self.has_worked = true;
                match self.tell_lease(progress.term, lease, standby)? {
                    Next::Continue(standby) => self.act(progress, lease, standby)?,
                    ended @ Next::Break(_) => ended,
                }
            }
            Err(error) if !self.options.once && self.may_help(&error) => {
                self.told(StandbyEvent::Retrying(&error), standby)?
            }
            Err(error) => return Err(error),
        };
        // Behind something new there may be more already.
        if next.is_continue() && self.idle > 0 {
            sleep(if self.idle <= SOON { self.options.every / 2 } else { self.options.every });
        }
        Ok(next)
    }

    /// A step, with the lease of the writer if the copy may be promoted.
    fn step(&mut self, standby: &mut ReplicaStandby) -> Result<(StandbyProgress, Option<StandbyLease>)> {
        self.idle = self.idle.saturating_add(1);
        let progress = standby.step()?;
        let lease = if self.options.promote.is_some() { standby.lease()? } else { None };
        Ok((progress, lease))
    }

    /// Tells the lease of each term.
    fn tell_lease(&mut self, term: u64, lease: Option<StandbyLease>, standby: ReplicaStandby) -> Result<Next> {
        if self.options.promote.is_none() || self.term.replace(term) == Some(term) {
            return Ok(Next::Continue(standby));
        }
        self.told(StandbyEvent::Lease(lease), standby)
    }

    /// Acts on a look that succeeded.
    fn act(&mut self, progress: StandbyProgress, lease: Option<StandbyLease>, standby: ReplicaStandby) -> Result<Next> {
        if let Some(lease) = lease.filter(|lease| lease.is_over) {
            return self.promote(standby, lease);
        }
        if progress.change != StandbyChange::Nothing {
            self.idle = 0;
            return self.told(StandbyEvent::Moved(progress), standby);
        }
        if self.options.once {
            standby.close()?;
            return Ok(Next::Break(StandbyEnd::Complete));
        }
        self.told(StandbyEvent::Idle, standby)
    }

    /// Promotes the copy. Opens it again if another one was faster, or the bucket did not answer.
    fn promote(&mut self, standby: ReplicaStandby, lease: StandbyLease) -> Result<Next> {
        let Some(how) = self.options.promote.clone() else { return Ok(Next::Continue(standby)) };
        let standby = match self.told(StandbyEvent::Promoting(lease), standby)? {
            Next::Continue(standby) => standby,
            ended @ Next::Break(_) => return Ok(ended),
        };
        match standby.promote(&how) {
            Ok(taken) => Ok(Next::Break(StandbyEnd::Promoted { taken, lease: lease.length })),
            Err(error) if error.kind() == ErrorKind::Conflict || self.may_help(&error) => {
                match (self.tell)(StandbyEvent::Retrying(&error))? {
                    ControlFlow::Continue(()) => self.open_again(),
                    ControlFlow::Break(()) => Ok(Next::Break(StandbyEnd::Stopped)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the copy once the bucket answers.
    fn open_again(&mut self) -> Result<Next> {
        loop {
            match ReplicaStandby::open(self.from, self.path, self.identity) {
                Err(error) if self.may_help(&error) => {
                    if (self.tell)(StandbyEvent::Retrying(&error))?.is_break() {
                        return Ok(Next::Break(StandbyEnd::Stopped));
                    }
                }
                opened => return opened.map(Next::Continue),
            }
            sleep(self.options.every);
        }
    }

    /// Tells the caller, who may stop the standby.
    fn told(&mut self, event: StandbyEvent<'_>, standby: ReplicaStandby) -> Result<Next> {
        match (self.tell)(event)? {
            ControlFlow::Continue(()) => Ok(Next::Continue(standby)),
            ControlFlow::Break(()) => {
                standby.close()?;
                Ok(Next::Break(StandbyEnd::Stopped))
            }
        }
    }

    /// Whether a later try may succeed: a key that was exchanged, a clock that is set, a disk that was full.
    fn may_help(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Io => true,
            ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Full => self.has_worked,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::Sharing;
    use crate::engine::store::Store;
    use crate::replica::shipping::init::InitReplicaOptions;
    use crate::replica::shipping::options::ReplicateOptions;

    const OFTEN: StandbyOptions = StandbyOptions { every: Duration::from_millis(20), once: false, promote: None };

    /// A store that was shipped with that lease, and whose process has ended.
    fn shipped(folder: &Path, lease: Option<Duration>) -> ReplicaLocation {
        let at = folder.join("replica").to_str().unwrap().parse().unwrap();
        let store = Store::options().sharing(Sharing::Exclusive).open(folder.join("hive.redb")).unwrap();
        store.init_replica(&at, &InitReplicaOptions::default()).unwrap();
        let options = ReplicateOptions { lease, interval: Duration::from_millis(5), ..Default::default() };
        let replicator = store.replicate(&at, options, Duration::from_secs(20)).unwrap();
        store.write(|tx| tx.config().put("limit", &serde_json::json!(5))).unwrap();
        drop(replicator);
        at
    }

    /// The limit in the copy.
    fn limit(copy: &Path) -> Option<serde_json::Value> {
        Store::open(copy).unwrap().view().unwrap().config().get("limit").unwrap()
    }

    #[test]
    fn a_standby_that_runs_once_ends_when_it_has_everything_and_one_that_is_stopped_ends_too() {
        let folder = tempfile::tempdir().unwrap();
        let (at, copy) = (shipped(folder.path(), None), folder.path().join("copy.redb"));
        let once = StandbyOptions { once: true, ..OFTEN };
        let ended = ReplicaStandby::run(&at, &copy, None, &once, |event| {
            assert!(matches!(event, StandbyEvent::Moved(_)), "{event:?}");
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!(ended.unwrap(), StandbyEnd::Complete);
        assert_eq!(limit(&copy), Some(serde_json::json!(5)));
        let mut idle = 0;
        let ended = ReplicaStandby::run(&at, &copy, None, &OFTEN, |event| {
            idle += u32::from(matches!(event, StandbyEvent::Idle));
            Ok(if idle < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        });
        assert_eq!((ended.unwrap(), idle), (StandbyEnd::Stopped, 5));
        let refused = ReplicaStandby::run(&at, &copy, None, &OFTEN, |_| Err(Error::invalid("the caller's own")));
        assert_eq!(refused.unwrap_err().to_string(), "the caller's own");
    }

    #[test]
    fn a_standby_promotes_its_copy_after_the_lease_and_is_not_run_again() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Duration::from_secs(1);
        let (at, copy) = (shipped(folder.path(), Some(lease)), folder.path().join("copy.redb"));
        let options = StandbyOptions { promote: Some(TakeOverOptions::default()), ..OFTEN };
        let mut told = Vec::new();
        let ended = ReplicaStandby::run(&at, &copy, None, &options, |event| {
            match event {
                StandbyEvent::Lease(Some(StandbyLease { length, .. })) => told.push(("lease", length)),
                StandbyEvent::Promoting(StandbyLease { length, .. }) => told.push(("promoting", length)),
                StandbyEvent::Moved(_) | StandbyEvent::Idle => {}
                other => panic!("{other:?}"),
            }
            Ok(ControlFlow::Continue(()))
        });
        assert!(matches!(ended, Ok(StandbyEnd::Promoted { lease: after, .. }) if after == lease), "{ended:?}");
        assert_eq!(told, [("lease", lease), ("promoting", lease)]);
        Store::open(&copy).unwrap().write(|tx| tx.config().put("limit", &serde_json::json!(6))).unwrap();
        let again = ReplicaStandby::run(&at, &copy, None, &options, |event| panic!("{event:?}"));
        assert_eq!(again.unwrap(), StandbyEnd::WasPromoted);
    }

    #[test]
    fn a_standby_that_has_worked_tries_on_while_the_bucket_refuses_it_and_while_its_disk_is_full() {
        let from = "/nowhere".parse().unwrap();
        let tell = |_: StandbyEvent<'_>| Ok(ControlFlow::Continue(()));
        let (path, options) = (Path::new("copy.redb"), OFTEN);
        let mut run = Run { from: &from, path, identity: None, options, tell, has_worked: false, term: None, idle: 0 };
        let of = |kind| Error::new(kind, "no");
        let later = [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Full];
        assert!(run.may_help(&of(ErrorKind::Io)));
        assert!(!later.iter().any(|kind| run.may_help(&of(*kind))), "a mistake at the start is told");
        run.has_worked = true;
        assert!(later.iter().all(|kind| run.may_help(&of(*kind))));
        assert!(![ErrorKind::Damaged, ErrorKind::Conflict].iter().any(|kind| run.may_help(&of(*kind))));
    }
}
