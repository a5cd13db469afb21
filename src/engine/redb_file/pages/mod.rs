//! The pages of a redb file, read without redb, which may panic over damaged ones: its two commit slots, the trees of
//! its tables, and, where a tree leads nowhere, every page that looks like a leaf.
//!
//! The layout is that of redb 4.5, which is pinned. A branch has the checksum of each page below it; a page that
//! differs from its own in one bit only is mended, which 128 bits of checksum prove.
//!
//! * `layout`: the bytes of pages and of the header
//! * `newest`: whether the newest commit is the one that was written, looked at before redb opens the file
//! * `snapshot`: all rows of one commit, read by several workers for a check
//! * `rescue`: every row that is left in a damaged file, for a repair

mod layout;
mod newest;
mod rescue;
mod snapshot;

pub(crate) use self::layout::{PageLink, PagePlace, Span};
pub(crate) use self::rescue::{Pages, Visitor};
pub(crate) use self::snapshot::Snapshot;
