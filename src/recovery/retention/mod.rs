//! The choice of points to keep: a pure function of points, policy and time, which returns each verdict with its
//! reasons.
//!
//! * `policy`: input and output
//! * [`judge`]: the order of the rules; [`case`]: a point on its way to a verdict
//! * [`number`]: the rules that count points. No burst of points can turn them against earlier ones
//! * [`stored`]: the policy of a store; [`apply`]: forgets the points by it
//! * `laws`: tests of every policy with random points

mod apply;
mod case;
mod judge;
#[cfg(test)]
mod laws;
mod number;
mod policy;
pub(crate) mod stored;

pub use self::policy::{Candidate, Class, Policy, Reason, TagRule, Thinning, Verdict};
