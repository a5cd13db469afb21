//! A state that the protocol moves along the log without keeping it: what a verification knows of it.

use std::collections::BTreeMap;

use crate::engine::feed::States;
use crate::error::Result;
use crate::replica::objects::commits::ShippedCommit;
use crate::replica::objects::layout::ObjectHash;
use crate::replica::objects::name::ReplicaSlot;
use crate::replica::terms::remote::{Fit, Local, ReplicaPosition};

/// A state of which only its position and digest are kept.
pub(crate) struct VerifiedState {
    at: ReplicaPosition,
    states: States,
    /// The positions that it passed and somebody wants to compare, by their slots.
    pub(crate) passed: BTreeMap<ReplicaSlot, Option<ReplicaPosition>>,
    pub(crate) objects: u64,
    pub(crate) commits: u64,
}

impl VerifiedState {
    /// A state at a position. Notes what it is at some slots when it passes them.
    pub(crate) fn new(at: ReplicaPosition, states: States, slots: impl IntoIterator<Item = ReplicaSlot>) -> Self {
        let passed = slots.into_iter().map(|slot| (slot, None)).collect();
        Self { at, states, passed, objects: 0, commits: 0 }
    }

    /// Where it is now.
    pub(crate) fn at(&self) -> ReplicaPosition {
        self.at
    }
}

impl Local for VerifiedState {
    fn position(&self) -> Option<ReplicaPosition> {
        Some(self.at)
    }

    fn newest(&self) -> Result<(u64, ObjectHash)> {
        Ok((self.at.sequence, self.at.states))
    }

    fn set_position(&mut self, position: ReplicaPosition) -> Result<()> {
        self.at = position;
        self.objects += 1;
        if let Some(passed) = self.passed.get_mut(&position.slot) {
            *passed = Some(position);
        }
        Ok(())
    }

    fn apply(&mut self, commits: &[ShippedCommit], position: ReplicaPosition) -> Result<(Fit, ObjectHash)> {
        commits.iter().try_for_each(|commit| self.states.apply(&commit.rows))?;
        let states = ObjectHash(self.states.digest());
        self.commits += commits.len() as u64;
        self.set_position(ReplicaPosition { states, ..position })?;
        Ok((Fit::Fits, states))
    }

    fn keep_aside(&mut self) -> Result<Fit> {
        Ok(Fit::Fits)
    }
}
