//! Going back: a plan, which can be shown, and then one transaction, which can be undone.
//!
//! * `plan`: options, plan and report of a restore; `scope`: the point and the part of the state that it concerns
//! * `apply`: the transaction; `safety`: its safety point; `revert`: the records that it writes; `touched`: how many they are
//! * `undo`: taking the last restore back
//! * `finished`: work that was finished after the point
//! * `earlier`: an older point that would help where the requested one does not

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
