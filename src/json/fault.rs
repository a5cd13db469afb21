//! A fault of a JSON text or value, and its location. The location is collected while the error is returned, so
//! it costs nothing for sound JSON.

use crate::error::Error;

pub(super) const TOO_DEEP: &str = "nested deeper than 128 levels";
pub(super) const BAD_NUMBER: &str = "a number is not written as JSON has it";
pub(super) const NOT_A_NUMBER: &str = "NaN and Infinity are not JSON; use null or a string";

/// The longest pointer that a message shows, because a hostile name may be as long as the text.
const SHOWN: usize = 300;

/// A fault.
#[derive(Debug)]
pub(super) struct Fault {
    what: &'static str,
    offset: Option<usize>,
    /// Names and indices, the innermost first.
    path: Vec<String>,
}

impl Fault {
    /// In a value, at the location that [`Fault::inside`] adds.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, offset: None, path: Vec::new() }
    }

    /// In a text, at this byte.
    pub(super) fn at(what: &'static str, offset: usize) -> Self {
        Self { offset: Some(offset), ..Self::new(what) }
    }

    /// Adds the member or element of the container with the fault.
    pub(super) fn inside(mut self, segment: &str) -> Self {
        self.path.push(segment.chars().take(SHOWN).collect());
        self
    }

    /// The error for the caller, with the location as a JSON pointer (RFC 6901).
    pub(super) fn into_error(self) -> Error {
        let pointer = self.pointer();
        let shown: String = pointer.chars().take(SHOWN).collect();
        let more = if shown.len() < pointer.len() { ".." } else { "" };
        let offset = self.offset.map(|offset| format!(" offset={offset}")).unwrap_or_default();
        Error::invalid(format!("{}: pointer={shown:?}{more}{offset}", self.what))
    }

    fn pointer(&self) -> String {
        self.path.iter().rev().map(|segment| format!("/{}", escape_pointer(segment))).collect()
    }
}

/// Escapes a name for a JSON pointer.
pub(crate) fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_it_must_and_is_not_shown_without_end() {
        let error = Fault::at("wrong", 7).inside("~x/y").inside("3").into_error();
        assert_eq!(error.to_string(), r#"wrong: pointer="/3/~0x~1y" offset=7"#);
        let long = Fault::new("wrong").inside(&"x".repeat(1 << 20)).into_error().to_string();
        assert!(long.len() < 400 && long.ends_with("x\".."), "{long}");
    }
}
