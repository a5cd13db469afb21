//! What is hidden in a text stays hidden in JSON too, and in the log: see [`crate::text`].

use std::io::{self, Write};

use crate::text::{OneLine, is_hidden, is_plain_ascii};

/// Writes JSON on, with an escape in the place of what a terminal would obey. JSON itself escapes C0 only; what is hidden
/// of the rest can stand in its strings alone, where the escape means the same.
pub(super) struct EscapedJson<W>(pub(super) W);

impl<W: Write> Write for EscapedJson<W> {
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

impl<W: Write> EscapedJson<W> {
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

/// Writes an entry of the log, which is one line whatever is told in it.
pub(super) struct LogLine<W>(pub(super) W);

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        writeln!(self.0, "{}", OneLine(line)).map(|()| entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

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
    fn an_entry_of_the_log_is_one_line() {
        let mut out = Vec::new();
        LogLine(&mut out).write_all("WARN error=a\nINFO \u{1b}[31mforged\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "WARN error=a\\nINFO \\u{1b}[31mforged\n");
    }
}
