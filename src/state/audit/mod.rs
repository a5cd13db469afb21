//! The audit trail: who did what, append-only, chained by hash.
//!
//! * [`entry`]: the entries; [`verbs`]: appends, lists and purges them
//! * [`filter`]: which entries are listed; `refusal`: entries of requests that were refused
//! * [`trail`]: the two ends of the chain, in which each entry has the hash of the one before it
//! * [`verify`]: verifies the chain; [`mend`]: repairs it after rows were lost
//! * `acting`: the entries that the store makes of the changes of an actor
//! * `follow`: a trail that is exported or imported
//!
//! The trail is not versioned, so a restore never changes it.

mod acting;
mod entry;
mod filter;
#[cfg(feature = "transfer")]
pub(crate) mod follow;
mod mend;
#[cfg(feature = "http")]
mod refusal;
mod trail;
mod verbs;
mod verify;

pub use self::entry::{AskedBy, Entry, Level, NewEntry};
pub use self::filter::AuditFilter;
pub(crate) use self::mend::mend_trail;
#[cfg(feature = "http")]
pub(crate) use self::refusal::Refusal;
pub use self::trail::{EntryHash, Link, Trail};
pub use self::verbs::Audit;
pub use self::verify::{AuditFinding, AuditReport};
