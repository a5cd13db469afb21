//! Schedules: tasks that come back by the calendar.
//!
//! * [`name`]: names; [`schedule`]: a schedule as callers describe it, as it is stored, and as people see it; `sent`:
//!   as the command line sends it to a service; [`timing`]: when it is due
//! * [`cron`]: the five fields of a crontab; [`calendar`]: the moments at which they are due
//! * [`position`]: up to where the due times of a schedule are handled; [`fire`]: due times become tasks
//! * `verbs`: the verbs on them
//!
//! A schedule is a record of the collection `schedules`, which has a number like the collections of users, and JSON
//! records like theirs. So points, differences, restores, archives and earlier versions of the program treat it as they
//! treat these. Its position is not versioned.

pub(crate) mod calendar;
pub(crate) mod cron;
pub(crate) mod fire;
pub(crate) mod name;
mod position;
pub(crate) mod schedule;
#[cfg(feature = "cli")]
mod sent;
pub(crate) mod timing;
mod verbs;

#[cfg(test)]
mod calendar_test;
#[cfg(all(test, feature = "cli"))]
mod sent_test;

pub use self::verbs::Schedules;
