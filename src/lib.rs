//! Hivekeep: an embedded state store for fleets of bots.
#![forbid(unsafe_code)]

mod clock;
mod engine;
mod error;
pub mod json;
mod state;

pub use clock::{Clock, ManualClock, SystemClock, show_time};
pub use engine::digest::{Digest, Stats};
pub use engine::epoch::Epoch;
pub use engine::point::{Manifest, Origin, PointId, Restored, Scope};
pub use engine::store::{Options, Sharing, Store, VerifyOnOpen};
pub use engine::view::View;
pub use engine::write::WriteTx;
pub use error::{Error, ErrorKind, Result};
pub use state::documents::{DocumentId, Documents, Written};
