//! The endpoints of the replaced service: same paths, same fields, same meaning.
//!
//! * [`backup`], [`restore`], [`point`], [`history`], [`status`], [`shutdown`]: one each, or what belongs together
//! * [`shape`]: how backups and points look where they are shown: [`history`], [`status`], the details of a point
//! * `endpoints`: the table of them
//!
//! Those that make a point ask `rates`, then `app` for a change, and `service::instance`, which checks the free space.

mod backup;
mod endpoints;
mod history;
mod point;
mod restore;
mod shape;
mod shutdown;
mod status;

pub(super) use self::endpoints::{ROUTES, has};
