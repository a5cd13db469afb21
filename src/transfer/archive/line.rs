//! A line of a large collection's readable form whose values are JSON: `{"key":"...","value":...}`. The value stands there
//! byte for byte as the store has it, so the line is the exact form of the record too, and no second one is written.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use super::record::{refuse_long_key, too_long};
use crate::engine::write::MAX_KEY;
use crate::error::{Error, Result};

const KEY: &[u8] = br#"{"key":"#;
const VALUE: &[u8] = br#","value":"#;
const END: &[u8] = b"}\n";
/// What a line has beside its value: each byte of a key may be escaped.
const BESIDE_VALUE: u64 = (KEY.len() + VALUE.len() + END.len() + 6 * MAX_KEY + 2) as u64;

/// Appends a record.
///
/// # Errors
///
/// `Damaged` when the value has a line break in it, which no stored one has.
pub(super) fn write(out: &mut Vec<u8>, key: &str, text: &[u8]) -> Result<()> {
    if text.contains(&b'\n') {
        return Err(Error::damaged(format!("a stored value has a line break in it: key={}", key.escape_debug())));
    }
    out.extend_from_slice(KEY);
    serde_json::to_writer(&mut *out, key)
        .map_err(|source| Error::damaged("a key cannot be shown as JSON").with_source(source))?;
    out.extend_from_slice(VALUE);
    out.extend_from_slice(text);
    out.extend_from_slice(END);
    Ok(())
}

/// Reads the next line into a buffer; says whether there was one. Memory grows only with bytes that are there, up to a
/// value of `limit`.
///
/// # Errors
///
/// `Invalid` when it is longer, or what reading gave.
pub(super) fn read(from: &mut impl BufRead, limit: u64, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let most = limit.saturating_add(BESIDE_VALUE);
    let read = from.take(most).read_until(b'\n', line)? as u64;
    if read == most && !line.ends_with(END) {
        return Err(too_long(read.saturating_sub(BESIDE_VALUE), limit));
    }
    Ok(read > 0)
}

/// Takes a line apart, into key and value.
///
/// # Errors
///
/// `Damaged` when it is none.
pub(super) fn parse(line: &[u8]) -> Result<(Cow<'_, str>, &[u8])> {
    // A quotation mark within a key is escaped, so what stands between key and value stands in no key.
    let between = |inner: &[u8]| inner.windows(VALUE.len() + 1).position(|at| at.strip_prefix(b"\"") == Some(VALUE));
    let inner = line.strip_prefix(KEY).and_then(|rest| rest.strip_suffix(END)).filter(|inner| inner.starts_with(b"\""));
    let parts = inner.and_then(|inner| inner.split_at_checked(between(inner)? + 1));
    let (key, value) = parts.ok_or_else(|| Error::damaged("a line is none of a record, or is cut off"))?;
    let Shown(key) = serde_json::from_slice(key)
        .map_err(|source| Error::damaged(format!("the key of a line cannot be read: {source}")).with_source(source))?;
    refuse_long_key(key.len())?;
    Ok((key, value.get(VALUE.len()..).unwrap_or_default()))
}

/// A key, which is borrowed unless something in it is escaped.
#[derive(serde::Deserialize)]
struct Shown<'l>(#[serde(borrow)] Cow<'l, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn line(key: &str, text: &str) -> Vec<u8> {
        let mut line = Vec::new();
        write(&mut line, key, text.as_bytes()).unwrap();
        line
    }

    #[test]
    fn a_line_is_json_and_gives_back_the_bytes_of_its_value() {
        assert_eq!(line("k", "[1.50]"), b"{\"key\":\"k\",\"value\":[1.50]}\n");
        let keys = ["k", "", "a\"b", "\\", "\\\"", "\",\"value\":", "\\\",\\\"value\\\":", "new\nline", "ü\u{1f41d}\0"];
        for key in keys {
            for text in ["1e400", "\"\"", r#"{"key":"k","value":"\n"}"#, r#""\",\"value\":""#, " { } "] {
                let line = line(key, text);
                assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap()["key"], key);
                let mut read_back = Vec::new();
                assert!(read(&mut &line[..], text.len() as u64, &mut read_back).unwrap());
                let (key_back, text_back) = parse(&read_back).unwrap();
                assert_eq!((&*key_back, text_back), (key, text.as_bytes()));
            }
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert_eq!(write(&mut Vec::new(), "k", b"[1,\n2]").unwrap_err().kind(), ErrorKind::Damaged);
        let whole = line("key", "[true]");
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]).unwrap_err().kind(), ErrorKind::Damaged, "{length}");
        }
        for text in
            ["{\"key\":7,\"value\":1}\n", "{\"key\":\"\\x\",\"value\":1}\n", "{\"key\": \"k\",\"value\":1}\n", "{}\n"]
        {
            assert_eq!(parse(text.as_bytes()).unwrap_err().kind(), ErrorKind::Damaged, "{text}");
        }
    }

    #[test]
    fn a_key_is_no_longer_than_a_stored_one_can_be() {
        assert!(parse(&line(&"k".repeat(MAX_KEY), "1")).is_ok());
        let error = parse(&line(&"k".repeat(MAX_KEY + 1), "1")).unwrap_err();
        assert!(error.to_string().contains("a key is too long"), "{error}");
    }

    #[test]
    fn a_line_that_is_too_long_is_not_read_to_its_end() {
        let long = line("k", &"7".repeat(200_000));
        let mut buffer = Vec::new();
        assert!(read(&mut &long[..], 200_000, &mut buffer).unwrap());
        let error = read(&mut &long[..], 100, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(buffer.len() < 100_000);
    }
}
