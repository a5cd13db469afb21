//! Restores: a plan, which can be shown, and then one transaction, which can be undone.
//!
//! * `plan`: options, plan and report of a restore; `scope`: the requested point and the part of the state to restore
//! * `apply`: the transaction; `safety`: its safety point; `revert`: the writes; `touched`: the counts of changed records
//! * `undo`: undoes the last restore
//! * `finished`: tasks that finished after the point
//! * `earlier`: an older point that would help if the requested one does not

mod apply;
pub(crate) mod earlier;
pub(crate) mod finished;
pub(crate) mod plan;
pub(crate) mod revert;
pub(crate) mod safety;
pub(crate) mod scope;
pub(crate) mod touched;
pub(crate) mod undo;

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
