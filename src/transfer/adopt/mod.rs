//! Adoption of the files of the replaced service: registry, backlog, chat, logs, backups and restore points.
//!
//! * [`find`] finds the files by name ([`source`] lists the kinds); [`input`] reads them, within limits
//! * [`work`] has the transactions of one file; [`marks`] know earlier adoptions, [`report`] describes this one,
//!   [`options`] are the caller's choices
//! * [`rehearse`] is the dry run
//! * [`registry`], [`backlog`], [`lines`] and [`backups`] read the contents; [`members`] and [`times`] help them
//! * `adoption`: the whole of it
//!
//! A part that cannot be adopted is reported by name, its text is kept if possible, and the rest is adopted anyway.

mod adoption;
mod backlog;
mod backups;
mod find;
mod input;
mod lines;
mod marks;
mod members;
mod options;
mod registry;
mod rehearse;
pub(crate) mod report;
mod source;
mod times;
mod work;

pub use self::options::AdoptOptions;
pub use self::source::AdoptSource;
