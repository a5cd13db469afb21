//! Restores: a plan, which can be shown, and then one transaction, which can be undone.
//!
//! `Store::restore` is in `apply`. It plans, and then writes in a transaction of its own:
//!
//! * `options`, `plan`: options, plan and report. `planning` makes the plan: `scope` finds the point and the
//!   part of the state; `points::lost` knows what the point has lost; `diff` gives what differs, without that;
//!   `touched` and `finished` count it; `expect` names the state. `check::verify` runs before the transaction, if the
//!   options ask for it
//! * `apply`: the transaction. It calls, in this order: `expect`; `undo`, if it is one; `restored_together` and
//!   `points::lost`; `safety`, which seals the safety point; `writes`, which puts back earlier frames by the pre-images
//!   since the point and compares the digests of whole collections; `documents::mend`, for a point that a repair made
//!   partial; `finished` and `queue::ending::leases`, which voids claims, but not in an undo; the end of a bulk change;
//!   `schedules`; `writes` again, which refuses second tasks with one idempotency key; `safety` again, which notes what
//!   its point undoes; `history::seal`, which turns the epoch; and `events::event`. A restore that changes nothing is
//!   aborted. The event of such a one, and of one that failed, is written by `events::failures` in a transaction of its
//!   own
//! * `undo`: plans the undo by `planning`; `apply` asks here whether it would overwrite later work
//! * `expect`: refuses a plan if the caller expects a state and that state has changed
//! * `finished`: tasks that finished after the point
//! * `earlier`: an older point that would help if the requested one does not

mod apply;
pub(crate) mod earlier;
pub(crate) mod expect;
pub(crate) mod finished;
pub(crate) mod options;
pub(crate) mod plan;
mod planning;
pub(crate) mod safety;
pub(crate) mod scope;
pub(crate) mod touched;
pub(crate) mod undo;
pub(crate) mod writes;

#[cfg(test)]
mod finished_model_test;
#[cfg(test)]
mod finished_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod partial_test;
#[cfg(test)]
mod unchanged_test;
