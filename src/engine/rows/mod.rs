//! The one way in which rows are read and written, whatever is above: get, pages in both directions, the first of a
//! range, counts; put and delete.
//!
//! Behind it is a transaction of redb, the *base*, and over that the rows of the log which redb does not have yet.
//! Views, write transactions, walks and checks know [`ReadRows`] and [`WriteRows`] only.
//!
//! * `range`: which keys, and in which direction
//! * `stored`: the rows of a transaction
//! * `page`: collecting rows, and batches of them where they lie; `merging`: rows of a base and of the log over it
//! * `row_ref`: a row where it lies
//! * `paging`: going on from one page to the next

mod merging;
mod page;
mod paging;
mod range;
mod row_ref;
mod stored;

pub(crate) use self::paging::{BatchSize, FIRST_PAGE, PAGE_BYTES, ROWS_PER_READ, is_full, next_page, paged, part_of};
pub(crate) use self::range::{KeyRange, Row, foreign_cursor};
pub(crate) use self::stored::{IntoRedb, ReadRows, WriteRows};
