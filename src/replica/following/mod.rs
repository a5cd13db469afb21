//! A copy that follows the log, and may take over.
//!
//! * `follower`: the copy; `lost`: the objects for which it waits in vain; `standby`: the same for blocking callers;
//!   `standby_run`: until it takes over
//! * `handover`: the first term of a copy; `take_over`: the end of a copy

pub(crate) mod follower;
mod handover;
mod lost;
pub(crate) mod standby;
pub(crate) mod standby_run;
pub(crate) mod take_over;

#[cfg(test)]
mod edge_test;
#[cfg(test)]
mod follower_test;
#[cfg(test)]
mod sixteen_test;
