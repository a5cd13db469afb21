//! Errors of clap about what was typed, in words that help.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The same error with a tip that works. clap takes a value that begins with a hyphen, such as that of `--newest -1`,
/// for an option, and its tip `-- -1` would make an argument of it.
pub(in crate::face::cli) fn explained(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg)
        && let Some((option, value)) = value_with_hyphen(arguments, wrong)
    {
        let tip = format!("to pass '{value}' to {option}, write {option}='{value}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// The first option that a negative number or length of time follows which begins with what clap took for an option.
fn value_with_hyphen<'a>(arguments: &'a [OsString], wrong: &str) -> Option<(&'a str, &'a str)> {
    let texts: Vec<_> = arguments.iter().map_while(|text| text.to_str()).take_while(|text| *text != "--").collect();
    let is_pair = |pair: &&[&str]| {
        let value = pair[1].strip_prefix('-').unwrap_or_default();
        let is_number = pair[1].starts_with(wrong) && value.starts_with(|first: char| first.is_ascii_digit());
        pair[0].starts_with("--") && !pair[0].contains('=') && is_number
    };
    texts.windows(2).find(is_pair).map(|pair| (pair[0], pair[1]))
}
