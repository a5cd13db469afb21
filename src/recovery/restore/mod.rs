//! Restores: a plan, which can be shown, and then one transaction, which can be undone.
//!
//! `Store::restore` is in `apply`. It plans, and then writes in a transaction of its own:
//!
//! * `options`, `plan`: options, plan and report. `planning` makes the plan: `scope` finds the point and the
//!   part of the state; `diff` gives what differs, without what the point has lost (`points::lost`);
//!   `touched` and `finished` count it
//! * `apply`: the transaction. It calls, in this order: `expect`; `safety`, which seals the safety point; `writes`,
//!   which puts back earlier frames by the pre-images since the point and compares the digests of whole collections;
//!   `documents::mend`; `queue::leases`, which voids claims; the end of a bulk change; `schedules`; `writes` again,
//!   which refuses second tasks with one idempotency key; and `events::event`. A restore that changes nothing is
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
