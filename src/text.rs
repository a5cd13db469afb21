//! How a text that somebody else wrote is shown to people. A stored description may have escape sequences, line breaks
//! and marks that turn the reading direction in it: shown as it is, it could forge a line, hide one, or write to the
//! clipboard. So everything that a terminal would obey, or that nobody would see, is shown as an escape.
//!
//! # Examples
//!
//! ```
//! use hivekeep::text;
//!
//! assert_eq!(text::printable("a\u{1b}[2J\nb"), r"a\u{1b}[2J\nb");
//! assert_eq!((text::counted(1, "bot"), text::show_bytes(1_590_000)), ("1 bot".into(), "1.5 MB".into()));
//! ```

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io;

/// Lets types that are parsed from a text be read from a JSON string, as `serde(try_from = "String")` does.
macro_rules! read_as_string {
    ($($type:ty),+ $(,)?) => {$(
        impl TryFrom<String> for $type {
            type Error = $crate::Error;

            fn try_from(text: String) -> $crate::Result<Self> {
                text.parse()
            }
        }
    )+};
}
pub(crate) use read_as_string;

/// Whether a character controls the display, or shows nothing: control characters (C0, DEL, C1), separators of
/// lines, marks of direction, and characters without width.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The fault of a new name; `None` when a person can tell it from every other name. Two names that look alike are
/// two bots, and `..` names no file.
pub(crate) fn unfit_for_a_name(name: &str) -> Option<&'static str> {
    if name == "." || name == ".." {
        return Some("must not be . or ..");
    }
    if is_plain_ascii(name.as_bytes()) {
        return None;
    }
    if name.contains(|c| is_hidden(c) || ('\u{fe00}'..='\u{fe0f}').contains(&c)) {
        return Some("must not have characters in it that cannot be seen");
    }
    (!unicode_normalization::is_nfc(name)).then_some("must be in the composed form of Unicode, NFC")
}

/// A text as one line for display. Hidden characters are shown as escapes such as `\n` or `\u{202e}`.
///
/// ```text
/// a\u{1b}[2Jb   is shown as   a\u{1b}[2Jb   with the escape spelled out
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_plain_ascii(text.as_bytes()) || !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(OneLine(text).to_string())
}

/// Whether bytes are visible ASCII, which most texts are, and which needs no look at characters.
pub fn is_plain_ascii(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// A text as one argument of a command: in quotes where a shell would read more into it.
///
/// # Examples
///
/// ```
/// use hivekeep::text::in_shell;
///
/// assert_eq!(in_shell("/mnt/other/hive"), "/mnt/other/hive");
/// assert_eq!(in_shell("s3://b/p?region=r"), "'s3://b/p?region=r'");
/// assert_eq!(in_shell("it's"), r"'it'\''s'");
/// ```
pub fn in_shell(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/.:_-+,@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// `1 bot`, `2 bots`.
pub fn counted(count: u64, noun: &str) -> String {
    counted_as(count, noun, &format!("{noun}s"))
}

/// `1 stays`, `2 stay`.
pub fn counted_as(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A number of bytes in the unit in which people read it.
pub fn show_bytes(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10)),
        None => format!("{bytes} B"),
    }
}

/// Shows something in one line, as [`printable`] does.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<T>(pub T);

impl<T: Display> Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, keeps_lines: false }, "{}", self.0)
    }
}

/// Shows text with line breaks of its own, in which foreign text is shown by [`OneLine`].
#[derive(Clone, Copy, Debug)]
pub struct Lines<T>(pub T);

impl<T: Display> Display for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping { to: f, keeps_lines: true }, "{}", self.0)
    }
}

/// Escapes the text that is written through it.
struct Escaping<'f, 'g> {
    to: &'f mut fmt::Formatter<'g>,
    keeps_lines: bool,
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c| is_hidden(c) && !(self.keeps_lines && c == '\n')) {
            let (shown, hidden) = rest.split_at(at);
            self.to.write_str(shown)?;
            let mut hidden = hidden.chars();
            hidden.next().into_iter().flat_map(char::escape_default).try_for_each(|c| self.to.write_char(c))?;
            rest = hidden.as_str();
        }
        self.to.write_str(rest)
    }
}

/// Writes JSON with escapes for characters that control a terminal. JSON itself escapes only C0. Other hidden
/// characters occur only in strings, where the escape has the same meaning.
#[derive(Debug)]
pub struct EscapedJson<W>(pub W);

impl<W: io::Write> io::Write for EscapedJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A piece of JSON is text, and is written whole.
        match std::str::from_utf8(bytes) {
            Ok(text) if !is_plain_ascii(bytes) => self.write_text(text),
            _ => self.0.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: io::Write> EscapedJson<W> {
    fn write_text(&mut self, mut rest: &str) -> io::Result<()> {
        while let Some(at) = rest.find(|c| is_hidden(c) && c != '\n') {
            let (shown, hidden) = rest.split_at(at);
            self.0.write_all(shown.as_bytes())?;
            let mut hidden = hidden.chars();
            for unit in hidden.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(self.0, "\\u{unit:04x}")?;
            }
            rest = hidden.as_str();
        }
        self.0.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One of each sort, and how it is shown.
    const HIDDEN: [(char, &str); 12] = [
        ('\n', r"\n"),
        ('\t', r"\t"),
        ('\0', r"\u{0}"),
        ('\u{1b}', r"\u{1b}"),
        ('\u{7f}', r"\u{7f}"),
        ('\u{9b}', r"\u{9b}"),
        ('\u{200b}', r"\u{200b}"),
        ('\u{202e}', r"\u{202e}"),
        ('\u{2028}', r"\u{2028}"),
        ('\u{2066}', r"\u{2066}"),
        ('\u{feff}', r"\u{feff}"),
        ('\u{e0041}', r"\u{e0041}"),
    ];

    #[test]
    fn characters_that_control_a_terminal_or_are_invisible_become_escapes() {
        for (hidden, escape) in HIDDEN {
            assert!(is_hidden(hidden), "{escape}");
            assert_eq!(printable(&format!("a{hidden}b{hidden}")), format!("a{escape}b{escape}"));
        }
    }

    #[test]
    fn what_can_be_seen_stays_as_it_is_without_a_copy() {
        for text in ["", "before the upgrade", "größe \u{1f41d} ⚠\u{fe0f}", "日本語", "~!\"\\"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_new_name_differs_visibly_from_every_other() {
        for name in ["a", "BOT 1", "größe/7", "日本語", "...", ".a", "\u{1f41d}"] {
            assert_eq!(unfit_for_a_name(name), None, "{name}");
        }
        for (hidden, escape) in HIDDEN {
            assert!(unfit_for_a_name(&format!("ü{hidden}")).is_some(), "{escape}");
        }
        for name in [".", "..", "e\u{301}", "a\u{fe0f}ü"] {
            assert!(unfit_for_a_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn lines_stay_where_a_text_has_its_own() {
        assert_eq!(Lines("a\nb\u{1b}\n").to_string(), "a\nb\\u{1b}\n");
        assert_eq!(OneLine(format_args!("{}{}", "a\n", 1)).to_string(), "a\\n1");
    }

    #[test]
    fn json_means_the_same_and_has_nothing_hidden_in_it() {
        let value = json!({"a\u{202e}": "\u{9b}31m\u{1b}[0m \u{7f}\u{e0041} größe\n", "n": [1.5, null]});
        for pretty in [false, true] {
            let mut out = Vec::new();
            match pretty {
                true => serde_json::to_writer_pretty(EscapedJson(&mut out), &value).unwrap(),
                false => serde_json::to_writer(EscapedJson(&mut out), &value).unwrap(),
            }
            let text = String::from_utf8(out).unwrap();
            assert!(!text.contains(|c| is_hidden(c) && c != '\n'), "{text}");
            assert!(text.contains("größe"), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_590_000, "1.5 MB"), (u64::MAX, "18446744073.7 GB")]
        {
            assert_eq!(show_bytes(bytes), text);
        }
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!((counted(1, "bot").as_str(), counted(0, "task").as_str()), ("1 bot", "0 tasks"));
        assert_eq!(
            (counted_as(1, "stays", "stay").as_str(), counted_as(2, "stays", "stay").as_str()),
            ("1 stays", "2 stay")
        );
    }
}
