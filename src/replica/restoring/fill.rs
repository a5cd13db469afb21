//! A copy that is being written: the protocol moves it along the log, and a thread writes it while the next objects
//! are fetched.

use std::sync::mpsc::{Receiver as Coming, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::moment::ReplicaMoment;
use super::point_search;
use crate::engine::feed::{ReceivedCommit, Receiver, States};
use crate::error::{Error, ErrorKind, Result};
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::layout::{ObjectHash, StoreId};
use crate::replica::reading::position::CopyPosition;
use crate::replica::terms::remote::{Fit, Local, ReplicaPosition};

/// So many pieces wait to be written. A part of a base has up to 32 MiB.
const WAITING: usize = 2;
/// Commits of so many bytes are written in one transaction, if they have come already.
const TOGETHER: usize = 8 << 20;

/// Something that a copy gets.
enum Piece {
    /// A part of the state at one moment.
    Rows(Vec<u8>),
    /// Its end.
    Whole(ReplicaPosition),
    /// Commits, and the position behind them.
    Commits(Vec<ShippedCommit>, ReplicaPosition),
}

/// A copy that is being written.
pub(crate) struct Filler {
    pieces: SyncSender<Piece>,
    thread: JoinHandle<(Receiver, Result<()>)>,
    /// The last commits are written once the caller has compared the state after them.
    held: Option<Piece>,
    at: Option<ReplicaPosition>,
    states: States,
    /// The restore point behind which the copy does not go.
    sought: ReplicaMoment,
    has_met: bool,
}

impl Filler {
    /// Begins to write a new copy, which does not go behind a restore point if one is sought.
    ///
    /// # Errors
    ///
    /// `Io` when no thread can be started.
    pub(crate) fn begin(receiver: Receiver, store: StoreId, sought: &ReplicaMoment) -> Result<Self> {
        let (pieces, coming) = sync_channel(WAITING);
        let thread = Builder::new().name("hivekeep-copy".into());
        let thread = thread.spawn(move || write(receiver, store, &coming))?;
        let (held, at, states, sought) = (None, None, States::default(), sought.clone());
        Ok(Self { pieces, thread, held, at, states, sought, has_met: false })
    }

    /// Goes on to write a copy.
    ///
    /// # Errors
    ///
    /// As [`Filler::begin`], and as a view.
    pub(crate) fn resume(receiver: Receiver, position: &CopyPosition) -> Result<Self> {
        let states = receiver.states()?;
        let filler = Self::begin(receiver, position.store, &ReplicaMoment::Newest)?;
        Ok(Self { at: Some(position.at()), states, ..filler })
    }

    /// Writes a part of the state at one moment. False if it has the restore point already that is sought.
    ///
    /// # Errors
    ///
    /// `Damaged` for rows that no writer makes; `NotCommitted` when writing has failed, of which [`Filler::end`] has
    /// the reason.
    pub(crate) fn rows(&mut self, rows: Vec<u8>) -> Result<bool> {
        if point_search::makes(&self.sought, &rows)? {
            return Ok(false);
        }
        self.states.apply(&rows)?;
        self.send(Piece::Rows(rows)).map(|()| true)
    }

    /// All of that state has come.
    ///
    /// # Errors
    ///
    /// `Damaged` when it is another one; as [`Filler::rows`].
    pub(crate) fn whole(&mut self, position: ReplicaPosition) -> Result<()> {
        if self.digest() != position.states {
            return Err(Error::damaged("the state of the base is not the one that its manifest tells"));
        }
        self.at = Some(position);
        self.send(Piece::Whole(position))
    }

    /// Whether the copy has come to the restore point that is sought.
    pub(crate) fn has_met(&self) -> bool {
        self.has_met
    }

    /// Ends, and gives the copy back. Commits that the caller has compared are written; a caller that failed because
    /// writing has gets the reason of that.
    ///
    /// # Errors
    ///
    /// `Damaged` when writing has panicked.
    pub(crate) fn end<R>(mut self, done: Result<R>) -> Result<(Receiver, Result<R>)> {
        let done = done.and_then(|done| self.flush().map(|()| done));
        drop(self.pieces);
        let (receiver, written) = self.thread.join().map_err(|_| Error::damaged("writing a copy panicked"))?;
        let done = match (done, written) {
            (Err(error), _) if error.kind() != ErrorKind::NotCommitted => Err(error),
            (done, written) => written.and(done),
        };
        Ok((receiver, done))
    }

    fn hold(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<()> {
        self.flush()?;
        self.at = Some(position);
        self.held = Some(Piece::Commits(commits.to_vec(), position));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.held.take().map_or(Ok(()), |held| self.send(held))
    }

    fn send(&self, piece: Piece) -> Result<()> {
        self.pieces.send(piece).map_err(|_| Error::new(ErrorKind::NotCommitted, "the copy could not be written"))
    }

    fn go_on(&mut self, commits: &[ShippedCommit]) -> Result<ObjectHash> {
        commits.iter().try_for_each(|commit| self.states.apply(&commit.rows))?;
        Ok(self.digest())
    }

    fn digest(&self) -> ObjectHash {
        ObjectHash(self.states.digest())
    }
}

impl Local for Filler {
    fn position(&self) -> Option<ReplicaPosition> {
        self.at
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        let at = self.at.ok_or_else(|| Error::conflict("the copy has no content yet"))?;
        Ok((at.sequence, at.states))
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        self.hold(&[], position)
    }

    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        if let Some(number) = point_search::made_by(&self.sought, commits)? {
            let some = commits.get(..=number).unwrap_or(commits);
            let states = self.go_on(some)?;
            let sequence = some.last().map_or(position.sequence, |last| last.sequence);
            let before = self.at.unwrap_or(position);
            self.hold(some, ReplicaPosition { sequence, states, time: position.time, ..before })?;
            self.has_met = true;
            return Ok((Fit::Apart, states));
        }
        let states = self.go_on(commits)?;
        self.hold(commits, ReplicaPosition { states, ..position })?;
        Ok((Fit::Fits, states))
    }

    fn keep_aside(&mut self) -> Result<Fit> {
        // A copy has no commits of its own.
        Ok(Fit::Fits)
    }
}

fn write(mut receiver: Receiver, store: StoreId, coming: &Coming<Piece>) -> (Receiver, Result<()>) {
    let mut next = coming.recv().ok();
    while let Some(piece) = next {
        match take(&mut receiver, store, piece, coming) {
            Ok(behind) => next = behind.or_else(|| coming.recv().ok()),
            Err(error) => return (receiver, Err(error)),
        }
    }
    (receiver, Ok(()))
}

/// Writes a piece. Returns the one behind it, if that has come already.
fn take(receiver: &mut Receiver, store: StoreId, piece: Piece, coming: &Coming<Piece>) -> Result<Option<Piece>> {
    match piece {
        Piece::Rows(rows) => receiver.put(&rows).map(|()| None),
        Piece::Whole(at) => {
            let position = CopyPosition::new(store, at).to_bytes()?;
            receiver.finish(at.states.0, &position).map(|()| None)
        }
        Piece::Commits(commits, at) => apply(receiver, store, commits, at, coming),
    }
}

/// Applies commits, with those that have come meanwhile.
fn apply(
    receiver: &mut Receiver,
    store: StoreId,
    mut commits: Vec<ShippedCommit>,
    mut at: ReplicaPosition,
    coming: &Coming<Piece>,
) -> Result<Option<Piece>> {
    let length = |commits: &[ShippedCommit]| commits.iter().map(|commit| commit.rows.len()).sum::<usize>();
    let (mut bytes, mut behind) = (length(&commits), None);
    while bytes < TOGETHER && behind.is_none() {
        match coming.try_recv() {
            Ok(Piece::Commits(more, later)) => {
                bytes += length(&more);
                commits.extend(more);
                at = later;
            }
            Ok(other) => behind = Some(other),
            Err(_) => break,
        }
    }
    let last = commits.len().saturating_sub(1);
    let steps = commits.iter().enumerate().map(|(number, commit)| ReceivedCommit {
        rows: &commit.rows,
        // The state after the last one is that of the position.
        states: (number == last).then_some(at.states.0),
    });
    receiver.apply(steps, &CopyPosition::new(store, at).to_bytes()?)?;
    Ok(behind)
}
