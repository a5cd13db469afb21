//! Archives from time to time, without anybody who asks.
//!
//! * [`automatic`]: makes them; [`folder`]: their place; [`last`]: the record of them in the store
//! * [`retention`]: decides which are kept

pub(super) mod automatic;
mod folder;
pub(super) mod last;
pub(super) mod retention;
