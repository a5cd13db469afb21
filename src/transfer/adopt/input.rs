//! Reads files of other programs, whole or line by line, and never more than a limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::files;

/// The longest line, bot or task. No bot wrote a longer text about itself.
pub(super) const PART_MAX: usize = 16 << 20;
/// The lines and the bytes that one transaction adopts.
const BATCH_LINES: usize = 10_000;
const BATCH_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the line break; nothing for a line that is too long.
    pub(super) bytes: Vec<u8>,
    /// Its length.
    pub(super) length: u64,
}

impl Line {
    /// Whether it is too long.
    pub(super) fn is_too_long(&self) -> bool {
        self.length > PART_MAX as u64
    }
}

/// The lines of a file, in batches.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
}

/// Reads a whole file. The error is a message.
pub(super) fn whole(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let (file, length) = open(path, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| cannot_be_read(&error))?;
    if bytes.len() as u64 > limit { Err(too_large(bytes.len() as u64, limit)) } else { Ok(bytes) }
}

/// Opens a file to read its lines.
pub(super) fn lines(path: &Path, limit: u64) -> Result<Lines<impl BufRead>, String> {
    let (file, _) = open(path, limit)?;
    Ok(Lines { input: BufReader::with_capacity(1 << 16, file), number: 0 })
}

fn open(path: &Path, limit: u64) -> Result<(File, u64), String> {
    let file = files::open(path).map_err(|error| files::is_other(&error).unwrap_or_else(|| cannot_be_read(&error)))?;
    let metadata = file.metadata().map_err(|error| cannot_be_read(&error))?;
    if metadata.len() > limit { Err(too_large(metadata.len(), limit)) } else { Ok((file, metadata.len())) }
}

fn too_large(bytes: u64, limit: u64) -> String {
    format!("the file is too large: bytes={bytes} limit={limit}")
}

pub(super) fn cannot_be_read(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}

impl<R: BufRead> Lines<R> {
    /// The next lines; none at the end. Empty lines are skipped.
    pub(super) fn batch(&mut self) -> io::Result<Vec<Line>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(line) = self.line()? else { break };
            bytes += line.bytes.len();
            if !line.bytes.iter().all(u8::is_ascii_whitespace) || line.is_too_long() {
                batch.push(line);
            }
        }
        Ok(batch)
    }

    fn line(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        self.input.by_ref().take(PART_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        let mut length = bytes.len() as u64;
        if length > PART_MAX as u64 && bytes.last() != Some(&b'\n') {
            length += self.pass_the_rest()?;
            return Ok(Some(Line { number, bytes: Vec::new(), length }));
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = if number == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        Ok(Some(Line { number, bytes: text.to_vec(), length: text.len() as u64 }))
    }

    /// Skips the rest of a line, without storing it. Returns its length.
    fn pass_the_rest(&mut self) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (passed, ended) = end.map_or((buffer.len(), buffer.is_empty()), |end| (end + 1, true));
            self.input.consume(passed);
            length += passed as u64;
            if ended {
                return Ok(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut lines = Lines { input: bytes, number: 0 };
        let batch = lines.batch().unwrap();
        assert_eq!(lines.batch().unwrap(), []);
        batch.into_iter().map(|line| (line.number, String::from_utf8(line.bytes).unwrap())).collect()
    }

    #[test]
    fn lines_are_numbered_as_in_editors_and_empty_ones_are_skipped() {
        let lines = all(b"\xef\xbb\xbfa\r\n\n \nb\n\xc3\xa9");
        assert_eq!(lines, [(1, "a".into()), (4, "b".into()), (5, "é".into())]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_measured_but_not_stored() {
        let text = [&vec![b'x'; PART_MAX + 100_000][..], b"\nshort\n"].concat();
        let mut lines = Lines { input: BufReader::with_capacity(1000, &text[..]), number: 0 };
        let [long, short] = lines.batch().unwrap().try_into().unwrap();
        assert_eq!((long.bytes.len(), long.length, long.is_too_long()), (0, text.len() as u64 - 6, true));
        assert_eq!((short.number, &short.bytes[..], short.is_too_long()), (2, &b"short"[..], false));
    }

    #[test]
    fn a_file_over_the_limit_and_a_non_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(whole(&path, 5).unwrap(), b"12345");
        assert_eq!(whole(&path, 4).unwrap_err(), "the file is too large: bytes=5 limit=4");
        assert_eq!(lines(&path, 4).err().unwrap(), "the file is too large: bytes=5 limit=4");
        assert_eq!(whole(folder.path(), 9).unwrap_err(), "it is a directory");
    }
}
