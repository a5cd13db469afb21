//! Hivekeep: an embedded state store for fleets of bots.
#![forbid(unsafe_code)]

mod clock;
pub mod engine;
mod error;
pub mod recovery;

pub use clock::{Clock, ManualClock, SystemClock, show_time};
pub use engine::digest::{Digest, Stats};
pub use engine::epoch::Epoch;
pub use error::{Error, ErrorKind, Result};
pub use recovery::resolve::{Named, PointName, Resolved, resolve};
pub use recovery::retention::{Candidate, Class, Policy, Reason, TagRule, Thinning, Verdict};
pub use recovery::selector::Selector;
