//! A writer that keeps each log entry on one line and escapes it: see [`crate::text`].

use std::io::{self, Write};

use crate::text::OneLine;

/// Writes each log entry as exactly one line, whatever strings it contains.
pub(in crate::face::cli) struct LogLine<W>(pub(in crate::face::cli) W);

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
    use super::*;

    #[test]
    fn an_entry_of_the_log_is_one_line() {
        let mut out = Vec::new();
        LogLine(&mut out).write_all("WARN error=a\nINFO \u{1b}[31mforged\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "WARN error=a\\nINFO \\u{1b}[31mforged\n");
    }
}
