//! Errors of clap about what was typed, in words that help.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The same error with a tip that works. clap takes a value that begins with a hyphen, such as that of `--newest -1`,
/// for an option, and its tip `-- -1` would make an argument of it.
pub(super) fn explained(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some((option, value)) = value_with_hyphen(arguments)
    {
        let tip = format!("to pass '{value}' to {option}, write {option}='{value}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// The first option that a negative number or length of time follows.
fn value_with_hyphen(arguments: &[OsString]) -> Option<(&str, &str)> {
    let texts: Vec<_> = arguments.iter().map_while(|text| text.to_str()).take_while(|text| *text != "--").collect();
    let is_pair = |pair: &&[&str]| {
        let value = pair[1].strip_prefix('-').unwrap_or_default();
        pair[0].starts_with("--") && !pair[0].contains('=') && value.starts_with(|first: char| first.is_ascii_digit())
    };
    texts.windows(2).find(is_pair).map(|pair| (pair[0], pair[1]))
}
