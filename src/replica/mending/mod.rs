//! Bytes that a damaged store has lost, from its replica.
//!
//! * `history`: every change of a store up to its place
//! * `repair`: what is lost comes from there; `heal`: so do single rows of a living store

pub(crate) mod heal;
pub(crate) mod history;
pub(crate) mod repair;

#[cfg(test)]
mod heal_test;
#[cfg(test)]
pub(super) mod repair_test;
