//! The audit trail: who did what, append-only, chained by hash.
//!
//! * [`entry`]: the entries; [`verbs`]: how they are appended, listed and purged
//! * [`trail`]: the two ends of the chain, in which each entry has the hash of the one before it
//! * [`verify`]: verifies the chain; [`mend`]: brings it in order after a repair
//! * `follow`: a trail that leaves the store, or comes from elsewhere
//!
//! The trail is not versioned: a restore never takes it back.

mod entry;
#[cfg(feature = "transfer")]
pub(crate) mod follow;
mod mend;
mod trail;
mod verbs;
mod verify;

pub use self::entry::{Entry, Level, NewEntry};
pub(crate) use self::mend::mend_trail;
pub use self::trail::{EntryHash, Link, Trail};
pub use self::verbs::Audit;
pub use self::verify::{AuditFinding, AuditReport};
