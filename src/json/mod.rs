//! JSON as it was written. The order of fields and the text of every number are kept. JSON that cannot be kept so is
//! refused.
//!
//! `serde_json` alone is not enough. It reads `1e400` as `1e+400`, keeps the last of two equal names, reads an object
//! with a certain name as a number, and stops at 127 levels. So all JSON is read by [`parse`], or checked by [`check`]
//! if a caller has already parsed it. The engine's codec checks stored types, documents are checked while they are
//! prepared, and config and collections in their `put`. JSON is written by `serde_json`, which keeps numbers as they
//! are, or by [`python_text`], from which the checksums of documents are computed.
//!
//! * `read`: the strict reader; `number`: the syntax of numbers; `fault`: an error and its place
//! * `pieces`: what the reader passes on, in the order of the text; `bounded`: a value that is
//!   built within a limit of memory
//! * `python`: the text that Python would print; `plain`: strings that need no escape
//! * `check`: checks of values and texts, and the number of items in a document

#[cfg(feature = "http")]
mod bounded;
mod check;
mod fault;
mod number;
mod pieces;
mod plain;
mod python;
mod read;

#[cfg(feature = "transfer")]
pub(crate) use self::check::check_text;
pub use self::check::{check, item_count};
pub(crate) use self::check::{check_inside, check_members, take_apart};
#[cfg(feature = "http")]
pub(crate) use bounded::{CONTAINER_BYTES, NAME_BYTES, SCALAR_BYTES, parse_within};
pub(crate) use fault::escape_pointer;
pub use pieces::MAX_DEPTH;
#[cfg(feature = "http")]
pub(crate) use pieces::Whole;
pub(crate) use pieces::{Container, Pieces, Scalar};
pub(crate) use plain::write_string;
pub(crate) use python::PythonOfCompact;
pub use python::{python_text, write_python};
pub use read::parse;
pub(crate) use read::{parse_inside, parse_into, split_member};
