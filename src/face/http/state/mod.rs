//! The live state over HTTP.
//!
//! * [`registry`], [`queue`], [`records`], [`points`], [`pulse`], [`collections`], [`health`], [`versions`], [`check`],
//!   [`bulk`], [`schedules`], [`whole`]: the routes, each with its table; [`batch`] and [`claim`]: handlers of batches
//!   and of claims, in the table of [`queue`]
//! * [`reading`]: reads now or as of a point, and pages of them

mod batch;
mod bulk;
mod check;
mod claim;
mod collections;
mod health;
mod points;
mod pulse;
mod queue;
mod reading;
mod records;
mod registry;
mod schedules;
mod versions;
mod whole;

pub(super) use self::bulk::ROUTES as BULK;
pub(super) use self::check::ROUTES as CHECK;
pub(super) use self::collections::ROUTES as COLLECTIONS;
pub(super) use self::health::ROUTES as HEALTH;
pub(super) use self::points::ROUTES as POINTS;
pub(super) use self::pulse::ROUTES as PULSE;
pub(super) use self::queue::ROUTES as QUEUE;
pub(super) use self::records::ROUTES as RECORDS;
pub(super) use self::registry::ROUTES as REGISTRY;
pub(super) use self::schedules::ROUTES as SCHEDULES;
pub(super) use self::versions::ROUTES as VERSIONS;
pub(super) use self::whole::ROUTES as WHOLE;
