//! The output of verbs.
//!
//! * `output`: data on standard output, messages and errors on standard error; `exit`: the exit codes; `hint`: the next
//!   step in an error, as an option
//! * `table`, `columns`, `screen`: records on a terminal; `progress`: a bar for long operations
//! * `log_line`: a line of the log

pub(super) mod columns;
pub(super) mod exit;
pub(super) mod hint;
pub(super) mod log_line;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod screen;
pub(super) mod table;
