//! The audit trail: who did what, append-only, chained by hash.
//!
//! * [`entry`]: the entries; [`verbs`]: appends, lists and purges them
//! * [`trail`]: the two ends of the chain, in which each entry has the hash of the one before it
//! * [`verify`]: verifies the chain; [`mend`]: repairs it after rows were lost
//! * `follow`: a trail that is exported or imported
//!
//! The trail is not versioned, so a restore never changes it.

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
