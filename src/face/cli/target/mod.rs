//! The store of a verb: a file here, or one that a service keeps. A verb parses and renders; the methods here have both
//! ways to what it asks for.
//!
//! * [`location`]: which of the two `--store` names
//! * [`records`], [`queue`], [`bulk`], [`schedules`], [`points`], [`restore`], [`keys`],
//!   [`whole`]: the methods, by topic;
//!   [`seen`]: those of a point
//! * `either`: the store of a verb, of either kind

mod bulk;
mod either;
mod keys;
mod location;
mod points;
mod queue;
mod records;
mod restore;
mod schedules;
mod seen;
mod whole;

pub(in crate::face::cli) use self::either::{Items, Target};
pub(in crate::face::cli) use self::location::StoreLocation;
pub(in crate::face::cli) use self::points::SizedPoint;
pub(in crate::face::cli) use self::queue::{Claimed, TaskChange};
pub(in crate::face::cli) use self::restore::{Planned, RestoreAsked};
pub(in crate::face::cli) use self::seen::Seen;
