//! The laws of the simulation. The truth sees every object as it lands, every acknowledgement, every object that is
//! read and applied, every result, and every deletion.

use std::collections::{BTreeMap, BTreeSet};

use super::simulation_test::{World, at};
use super::walk::Until;
use crate::replica::objects::commits::{self, ShippedCommit};
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::{ObjectName, ReplicaSlot, Term};
use crate::replica::objects::object::{Object, StoredObject};

pub(super) const FOREVER: u64 = u64::MAX;

/// A commit of the simulation. The number is its own; the sequence may be that of another commit in another history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SimCommit {
    pub(super) sequence: u64,
    pub(super) number: u64,
    pub(super) time: u64,
}

impl SimCommit {
    pub(super) fn shipped(self) -> ShippedCommit {
        ShippedCommit {
            sequence: self.sequence,
            rows: [self.number.to_le_bytes(), self.time.to_le_bytes()].concat().into(),
        }
    }

    pub(super) fn of(commit: &ShippedCommit) -> Self {
        let word = |at: usize| u64::from_le_bytes(commit.rows[at..at + 8].try_into().unwrap());
        Self { sequence: commit.sequence, number: word(0), time: word(8) }
    }
}

/// The digest of a state that has one more commit.
pub(super) fn digest_after(before: u64, commit: &SimCommit) -> u64 {
    let mut digest = before ^ 0x9e37_79b9_7f4a_7c15;
    for word in [commit.sequence, commit.number, commit.time] {
        digest = (digest ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        digest ^= digest >> 32;
    }
    digest
}

pub(super) fn digest(commits: &[SimCommit]) -> u64 {
    commits.iter().fold(0, digest_after)
}

pub(super) fn hash_of(number: u64) -> ObjectHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    ObjectHash(bytes)
}

/// The commits in the body of a batch or a part.
pub(super) fn commits_in(stored: &StoredObject) -> Vec<SimCommit> {
    commits::decode(&stored.body, 0).unwrap().iter().map(SimCommit::of).collect()
}

/// The one history, as it landed in the bucket. A restore to an earlier moment begins a new version of it.
pub(super) struct Truth {
    term: Term,
    next: u64,
    is_sealed: bool,
    pub(super) versions: Vec<Vec<SimCommit>>,
    /// The batch of each commit, and its time, which counts as that of the commit.
    places: Vec<Vec<(ReplicaSlot, u64)>>,
    /// When a version was given up.
    ended: Vec<u64>,
    /// The numbers of the commits that were history, and the checks of their batches.
    ever: BTreeSet<u64>,
    batches: BTreeSet<[u8; 32]>,
    first: BTreeMap<ObjectName, ObjectHash>,
    /// The disks of the claimants, and the one to which the history moved last.
    claimants: BTreeMap<Term, String>,
    owner: Option<String>,
    /// The base that a restore of each machine reads from.
    pub(super) pins: BTreeMap<usize, ReplicaSlot>,
    /// The floors that collections have announced, and those that they have decided, once they have.
    collections: Vec<(ReplicaSlot, Option<Option<ReplicaSlot>>)>,
    pub(super) violation: Option<String>,
}

impl Truth {
    pub(super) fn new() -> Self {
        Self {
            term: Term(0),
            next: 0,
            is_sealed: true,
            versions: vec![Vec::new()],
            places: vec![Vec::new()],
            ended: vec![FOREVER],
            ever: BTreeSet::new(),
            batches: BTreeSet::new(),
            first: BTreeMap::new(),
            claimants: BTreeMap::new(),
            owner: None,
            pins: BTreeMap::new(),
            collections: Vec::new(),
            violation: None,
        }
    }

    pub(super) fn wrong(&mut self, why: String) {
        self.violation.get_or_insert(why);
    }

    /// The number of the next collection, the highest floor that was decided, and those that are announced.
    pub(super) fn floors(&self) -> (u32, Option<ReplicaSlot>, Vec<(u32, ReplicaSlot)>) {
        let decided = self.collections.iter().filter_map(|(_, decided)| decided.flatten()).max();
        let numbered = (0..).zip(&self.collections);
        let undecided =
            numbered.filter(|(_, (_, decided))| decided.is_none()).map(|(number, (floor, _))| (number, *floor));
        (u32::try_from(self.collections.len()).unwrap(), decided, undecided.collect())
    }

    fn history(&mut self) -> &mut Vec<SimCommit> {
        self.versions.last_mut().unwrap()
    }

    pub(super) fn landed(&mut self, stored: &StoredObject, now: u64) {
        let name = stored.name;
        let is_again = self.first.contains_key(&name);
        if self.first.get(&name) == Some(&stored.hash) {
            return;
        }
        self.first.entry(name).or_insert(stored.hash);
        match &stored.object {
            Object::Claim(claim) if !is_again => {
                let disk = claim.machine.split(' ').next().unwrap_or_default();
                self.claimants.insert(claim.term, disk.to_owned());
            }
            Object::Batch(batch) => {
                let is_next = batch.slot == ReplicaSlot { term: self.term, index: self.next };
                if is_again || self.is_sealed || !is_next {
                    return self.wrong(format!("a batch beside the chain: {name}"));
                }
                let commits = commits_in(stored);
                let end = self.history().last().map_or(0, |last| last.sequence);
                let before = self.places.last().and_then(|places| places.last()).map_or(0, |(_, time)| *time);
                if batch.after != end || commits.iter().any(|commit| self.ever.contains(&commit.number)) {
                    return self.wrong(format!("a batch that does not go on from the end: {batch:?} {end}"));
                }
                let time = at(batch.time);
                if time < before {
                    return self.wrong("time fell".into());
                }
                self.places.last_mut().unwrap().extend(commits.iter().map(|_| (batch.slot, time)));
                self.ever.extend(commits.iter().map(|commit| commit.number));
                self.batches.insert(stored.hash.0);
                self.history().extend(commits);
                self.next += 1;
            }
            Object::GcList(list) if !is_again => {
                // L9: every one before has decided, and this one is above all that they did.
                let (next, decided, undecided) = self.floors();
                if list.number != next || !undecided.is_empty() || list.floor <= decided {
                    return self.wrong(format!("a collection below one before it: {list:?} {decided:?} {undecided:?}"));
                }
                self.collections.extend(list.floor.map(|floor| (floor, None)));
            }
            Object::GcGo(go) if !is_again => {
                let number = usize::try_from(go.number).unwrap();
                match self.collections.get_mut(number) {
                    Some((announced, decided @ None)) if go.floor <= Some(*announced) => *decided = Some(go.floor),
                    _ => self.wrong(format!("a decision that was not announced: {go:?}")),
                }
            }
            Object::Seal(seal) => {
                let is_end = seal.slot == ReplicaSlot { term: self.term, index: self.next };
                self.is_sealed |= is_end && !is_again;
            }
            Object::Open(open) => {
                let end = Some(ReplicaSlot { term: self.term, index: self.next });
                let is_path = self.is_sealed && open.term > self.term && (open.parent == end || self.term == Term(0));
                if is_again || !is_path {
                    return self.wrong(format!(
                        "the chain is not a path: {open:?}, but the end is {end:?} {}",
                        self.is_sealed
                    ));
                }
                let at = self.history().partition_point(|commit| commit.sequence <= open.sequence);
                let length = self.history().len();
                if at != length && !open.restore {
                    return self.wrong(format!("an opening at {at} leaves a history of {length}"));
                }
                let state = self.history()[..at].to_vec();
                if open.states != hash_of(digest(&state))
                    || state.last().map_or(0, |last| last.sequence) != open.sequence
                {
                    return self.wrong(format!("an opening on another state: {open:?}"));
                }
                let disk = self.claimants.get(&open.term).cloned();
                if open.moves() {
                    self.owner = disk;
                } else if self.owner.is_some() && self.owner != disk {
                    return self.wrong(format!("{disk:?} goes on, but {:?} has the history", self.owner));
                }
                if at < length {
                    let places = self.places.last().unwrap()[..at].to_vec();
                    self.versions.push(state);
                    self.places.push(places);
                    *self.ended.last_mut().unwrap() = now;
                    self.ended.push(FOREVER);
                }
                (self.term, self.next, self.is_sealed) = (open.term, 1, false);
            }
            _ => {}
        }
    }

    /// A batch that counts: it was read, or acknowledged.
    pub(super) fn within(&mut self, hash: ObjectHash, what: &str) {
        if !self.batches.contains(&hash.0) {
            self.wrong(format!("{what}, but not in the history"));
        }
    }

    /// A process whose term has a lease answers a commit.
    pub(super) fn answered(&mut self, term: Term) {
        if self.term > term {
            self.wrong(format!("term {} answers a commit, and term {} is open", term.0, self.term.0));
        }
    }

    /// A state that a machine has.
    pub(super) fn local(&mut self, state: &[SimCommit]) {
        if !self.versions.iter().any(|version| version.starts_with(state)) {
            self.wrong(format!("a state that never was: {state:?}"));
        }
    }

    /// A restore gave this state. One of the histories since it began must have it.
    pub(super) fn restored(&mut self, state: &[SimCommit], moment: Option<Until>, begun: (usize, usize)) {
        let fits = (begun.0..self.versions.len()).any(|number| {
            let (version, places) = (&self.versions[number], &self.places[number]);
            let length = match moment {
                None => return version.starts_with(state) && (number > begun.0 || state.len() >= begun.1),
                Some(Until::Time(moment)) => places.partition_point(|(_, time)| *time <= at(moment)),
                Some(Until::Sequence(last)) => version.partition_point(|commit| commit.sequence <= last),
            };
            version[..length] == *state
        });
        if !fits {
            let history = self.history().clone();
            self.wrong(format!("restored to {moment:?}: {state:?}, but the history is {history:?}"));
        }
    }

    /// The numbers that became history.
    pub(super) fn was_history(&self, number: u64) -> bool {
        self.ever.contains(&number)
    }
}

/// After a deletion: what holds, and each moment of the window on every chain that young, must be left.
pub(in crate::replica::terms) fn deleted(world: &mut World, name: ObjectName) {
    let slot = match name {
        ObjectName::Log(slot) => slot,
        ObjectName::Manifest(base) | ObjectName::Part(base, _) => base.slot,
        _ => return,
    };
    let is_log = matches!(name, ObjectName::Log(_));
    let needs = |pin: &ReplicaSlot| if is_log { slot >= *pin } else { slot == *pin };
    if let Some(machine) = world.truth.pins.iter().find(|(_, pin)| needs(pin)).map(|(machine, _)| *machine) {
        return world.truth.wrong(format!("a restore of {machine} needs {name}, deleted"));
    }
    let edge = world.now.saturating_sub(world.window);
    let bases = world.whole_bases();
    let truth = &world.truth;
    let is_lost = truth.versions.iter().zip(&truth.places).zip(&truth.ended).any(|((version, places), ended)| {
        let first = places.partition_point(|(_, time)| *time <= edge);
        let is_way = |base: &Vec<SimCommit>| {
            base.len() <= first
                && version.starts_with(base)
                && places[base.len()..].iter().all(|(place, _)| world.objects.contains_key(&ObjectName::Log(*place)))
        };
        *ended > edge && !bases.iter().any(is_way)
    });
    if is_lost {
        world.truth.wrong(format!("without {name} the moments since {edge} cannot be restored"));
    }
}
