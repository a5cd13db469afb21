//! Hivekeep: an embedded state store for fleets of bots.
#![forbid(unsafe_code)]

mod clock;
pub mod engine;
mod error;
pub mod json;

pub use clock::{Clock, ManualClock, SystemClock, show_time};
pub use engine::digest::{Digest, Stats};
pub use engine::epoch::Epoch;
pub use error::{Error, ErrorKind, Result};
