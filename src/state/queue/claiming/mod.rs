//! Tasks on their way to a bot.
//!
//! * [`claim`], [`next`], [`wait`]: the operations of a bot; [`obstacle`]: the rule of a claim; [`order`]: its order
//!   with aging
//! * [`undelivered`]: claims that are given back unless they arrive; [`kept_claims`]: those of a session of an agent

pub(super) mod claim;
pub(super) mod kept_claims;
pub(super) mod next;
pub(super) mod obstacle;
pub(super) mod order;
pub(super) mod undelivered;
pub(super) mod wait;

#[cfg(test)]
mod order_test;
