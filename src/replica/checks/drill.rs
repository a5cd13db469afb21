//! A drill: a moment of a replica is restored into a scratch folder, every row of the copy is read and compared, and
//! all of it is measured and removed again.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

use super::status::{ReplicaStatus, status};
use crate::clock;
use crate::engine::feed::States;
use crate::engine::meta;
use crate::engine::reserve::free_space;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::upkeep::background::Background;
use crate::replica::bucket::location::ReplicaLocation;
use crate::replica::connection::runtime::block_on;
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::restoring::moment::ReplicaMoment;
use crate::replica::restoring::restore::Copier;
use crate::transfer::drill::scratch::{Scratch, remove_left};

/// A file of the store takes about so many times the bytes of the rows in a base.
const TIMES_THE_ROWS: u64 = 2;
/// The commits behind a base, before the next base is due, and what else is written.
const MORE: u64 = 192 << 20;
/// So many random moments are tried: the commits of some may not be in the replica.
const TRIES: usize = 5;

/// How a drill is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillReplicaOptions {
    /// The moment; a random one among those that can be restored if none.
    pub at: Option<ReplicaMoment>,
    /// The text of an age identity file, for an encrypted replica.
    pub identity: Option<String>,
}

/// The result of a drill with a replica: all of the moment came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DrilledReplica {
    /// When the drill ended.
    #[serde(with = "crate::clock::time")]
    pub at: Timestamp,
    /// The moment that was asked for, as [`ReplicaMoment`] is written.
    pub moment: String,
    /// The number of the last commit of the copy.
    pub sequence: u64,
    /// When this commit was shipped, or the base was made that the copy began with.
    #[serde(with = "crate::clock::time")]
    pub time: Timestamp,
    /// The base that it began with.
    pub base: String,
    /// The time until the file could have been used, in milliseconds. Every collection was compared by then.
    pub restored_ms: u64,
    /// The time of the whole drill, in which every record was read once more from the file.
    pub took_ms: u64,
    /// The records in the copy.
    pub records: u64,
    /// The length of its file.
    pub bytes: u64,
    /// Random moments that the replica does not have, with the reasons.
    pub passed_over: Vec<String>,
    /// Newer bases that are damaged, with the reasons.
    pub damaged_bases: Vec<String>,
}

impl Store {
    /// Restores a moment of a replica into a scratch folder within `within`, compares every collection with its source
    /// and every record with its checksum, and removes the copy.
    ///
    /// # Errors
    ///
    /// `Full` when the disk has no room for the copy; `Damaged` when something in the replica, or in the copy, is not
    /// as it was written; as [`Store::restore_replica`]. Nothing is left then either.
    pub fn drill_replica(
        from: &ReplicaLocation,
        within: impl AsRef<Path>,
        options: &DrillReplicaOptions,
    ) -> Result<DrilledReplica> {
        block_on(async {
            let copier = Copier::open(from, options.identity.as_deref()).await?;
            drill(&copier, within.as_ref(), options.at.as_ref()).await
        })
    }
}

/// Makes a drill.
///
/// # Errors
///
/// As [`Store::drill_replica`].
pub(crate) async fn drill(copier: &Copier, within: &Path, wanted: Option<&ReplicaMoment>) -> Result<DrilledReplica> {
    let begun = Instant::now();
    let status = status(&copier.remote).await?;
    // The copy of a drill that was killed takes the room.
    remove_left(within);
    refuse_full("a drill", within, &status)?;
    let scratch = Scratch::empty(&within.join("hivekeep.redb"), within)?;
    let path = scratch.store();
    let mut passed_over = Vec::new();
    let (moment, restored) = loop {
        let random = wanted.is_none() && passed_over.len() < TRIES;
        let moment = match wanted {
            Some(moment) => moment.clone(),
            None if random => any_moment(&status),
            None => ReplicaMoment::Newest,
        };
        match copier.restore(&path, &moment).await {
            Ok(restored) => break (moment, restored),
            // Its commits never came to the replica, or retention was there meanwhile.
            Err(error) if random && matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                passed_over.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    };
    let restored_ms = millis(begun.elapsed());
    let records = compare_apart(&path, restored.position.states.0).await?;
    let bytes = std::fs::metadata(&path)?.len();
    drop(scratch);
    Ok(DrilledReplica {
        at: clock::as_stored(copier.clock.now()),
        moment: moment.to_string(),
        sequence: restored.position.sequence,
        time: restored.position.time,
        base: restored.base.to_string(),
        restored_ms,
        took_ms: millis(begun.elapsed()),
        records,
        bytes,
        passed_over,
        damaged_bases: restored.passed_over,
    })
}

/// A random time between the oldest base and the newest commit.
fn any_moment(status: &ReplicaStatus) -> ReplicaMoment {
    let from = status.restorable_from().map(Timestamp::as_microsecond);
    // A term without commits tells when it was opened, and nothing is behind the moments before that.
    let term = status.term.as_ref().and_then(|term| u32::try_from(term.number).ok()).map(Term);
    let opening = term.map(|term| ObjectName::Log(ReplicaSlot::opening(term)).to_string());
    let newest = status.newest.as_ref().filter(|newest| Some(&newest.object) != opening.as_ref());
    let to = newest.map(|newest| newest.time).or_else(|| status.bases.first().map(|base| base.time));
    let to = to.map(Timestamp::as_microsecond);
    let (Some(from), Some(to)) = (from, to) else { return ReplicaMoment::Newest };
    let Some(length) = to.checked_sub(from).and_then(|length| u64::try_from(length).ok()).filter(|length| *length > 0)
    else {
        return ReplicaMoment::Newest;
    };
    let random = u64::from_le_bytes(*clock::random().first_chunk().unwrap_or(&[0; 8])) % length;
    let time = i64::try_from(random).ok().and_then(|random| Timestamp::from_microsecond(from + random).ok());
    time.map_or(ReplicaMoment::Newest, ReplicaMoment::Time)
}

/// Looks at the free space before anything is written.
pub(in crate::replica) fn refuse_full(what: &str, within: &Path, status: &ReplicaStatus) -> Result<()> {
    let largest = status.bases.iter().map(|base| base.bytes).max().unwrap_or(0);
    let needed = largest.saturating_mul(TIMES_THE_ROWS).saturating_add(MORE);
    match free_space(within) {
        Some(free) if free < needed => {
            let message = format!("not enough disk space for {what}; name a folder on another disk");
            let error = Error::new(ErrorKind::Full, format!("{message}: free_bytes={free} needed_bytes={needed}"));
            Err(error.with_hint(Hint::NameScratchFolder))
        }
        _ => Ok(()),
    }
}

/// Compares the copy on a thread of its own, which ends soon after the drill is dropped.
async fn compare_apart(path: &Path, states: [u8; 32]) -> Result<u64> {
    let (path, (tells, told)) = (path.to_owned(), oneshot::channel());
    let _thread = Background::start("hivekeep-drill", move |stop| {
        let _nobody_waits = tells.send(compare(&path, states, || stop.is_stopped()));
    })?;
    told.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "the copy could not be compared: the thread panicked")))
}

/// A file that stays as it is, with what its log has.
pub(in crate::replica) fn look(path: &Path) -> Result<Store> {
    Store::options().create(false).read_only(true).session(false).reserve(false).open(path)
}

/// Reads every record of the copy, and compares the state with that of the source. Returns how many there are.
pub(super) fn compare(path: &Path, states: [u8; 32], is_stopped: impl Fn() -> bool + Sync) -> Result<u64> {
    let store = look(path)?;
    let report = store.verify_all(|_, _| match is_stopped() {
        true => Err(Error::conflict("the drill was stopped")),
        false => Ok(()),
    })?;
    if let Some(first) = report.findings.first() {
        let (table, key, what) = (&first.table, &first.key, &first.what);
        return Err(Error::damaged(format!(
            "a copy that a drill made is damaged: found={} first={table} {key}: {what}",
            report.found
        )));
    }
    if States::new(meta::all_stats(&store.view()?)?).digest() != states {
        return Err(Error::damaged("a copy that a drill made has another state than its source"));
    }
    store.close()?;
    Ok(report.records)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
