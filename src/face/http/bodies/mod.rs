//! The content of requests and answers.
//!
//! * [`body`]: reads and parses a body, a long one on a blocking thread; [`document_body`]: the same for documents,
//!   which are prepared for the store while they are parsed; [`metered`]: a value that is counted while it is parsed
//! * [`query`]: path and query string; [`condition`]: `If-Match` and `If-None-Match`
//! * [`preview`]: shortened values in lists

pub(super) mod body;
pub(super) mod condition;
pub(super) mod document_body;
mod metered;
pub(super) mod preview;
pub(super) mod query;
