//! A store that gets the commits of another one, and one that another one has overtaken.
//!
//! * `standby`: a store that nobody else writes to; `receive`: filling it, and applying commits to it; `counted`: the
//!   proof that the rows are those of the source; `leave`: the end of being one
//! * `known_place`: the commit and the time of a place in a replica
//! * `fence`: a store whose history another machine goes on with, so that no process writes to it; `overtaken`: its row

#[cfg(any(test, feature = "replica"))]
pub(super) mod counted;
mod fence;
#[cfg(feature = "transfer")]
pub(super) mod known_place;
#[cfg(any(test, feature = "replica"))]
pub(super) mod leave;
pub(super) mod overtaken;
#[cfg(any(test, feature = "replica"))]
pub(super) mod receive;
pub(super) mod standby;

#[cfg(test)]
pub(super) mod fence_test;
