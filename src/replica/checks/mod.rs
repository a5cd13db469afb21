//! Whether a replica can give back all that it should.
//!
//! * `verify`: reads back all that a restore would need; `confirm`: a second look before anything counts as wrong
//! * `drill`: restores a moment, compares it, and removes it again
//! * `inspect`: one inspection; `watch`: inspections and drills beside shipping
//! * `status`: the content in numbers

mod confirm;
pub(crate) mod drill;
pub(super) mod inspect;
pub(crate) mod status;
pub(crate) mod verify;
pub(super) mod watch;

#[cfg(test)]
mod drill_test;
#[cfg(test)]
mod watch_test;
