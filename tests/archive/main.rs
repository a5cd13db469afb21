//! Archives: what is in one, what becomes of it, and what is refused.
//!
//! * `content`: what GNU tar and `sha256sum` see, and that the same point gives the same bytes
//! * `round`: any state, out of the file and back
//! * `damage`: a gallery of damaged, foreign and hostile archives
//! * `kill`: processes killed on the way
//! * `sealed`: encrypted archives
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

#[path = "../children/mod.rs"]
mod children;
mod content;
mod damage;
mod hive;
mod kill;
#[path = "../knobs/mod.rs"]
mod knobs;
mod round;
#[cfg(feature = "age")]
mod sealed;

/// Does nothing unless another test of this file started it.
#[test]
fn a_child_does_what_it_is_told() {
    children::told().iter().for_each(kill::run);
}
