//! The live state over HTTP.
//!
//! * [`registry`], [`queue`], [`claim`], [`records`], [`points`], [`check`]: the routes, each with its table
//! * [`reading`]: reads now or as of a point, and pages of them

mod check;
mod claim;
mod points;
mod queue;
mod reading;
mod records;
mod registry;

pub(super) use self::check::{Jobs, ROUTES as CHECK};
pub(super) use self::points::ROUTES as POINTS;
pub(super) use self::queue::ROUTES as QUEUE;
pub(super) use self::records::ROUTES as RECORDS;
pub(super) use self::registry::ROUTES as REGISTRY;
