//! Arguments that are more than a word.
//!
//! * `input`: files and standard input; `value`: types of options; `message_filter`: the filters of `get` for chat and
//!   audit
//! * `mistyped`: errors about arguments; `environment`: variables that nothing reads

#[cfg(feature = "http")]
pub(super) mod environment;
pub(super) mod input;
pub(super) mod message_filter;
pub(super) mod mistyped;
pub(super) mod value;
