//! A line in the readable form of a large collection of JSON values: `{"key":"...","value":...}`. It contains the value
//! byte for byte as stored, so the line is the exact form of the record too, and no second form is written.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use super::record::{refuse_long_key, too_long};
use crate::engine::write::transaction::MAX_KEY;
use crate::error::{Error, Result};

const KEY: &[u8] = br#"{"key":"#;
const VALUE: &[u8] = br#","value":"#;
const END: &[u8] = b"}\n";
/// The bytes of a line beside its value: each byte of a key may be escaped.
const BESIDE_VALUE: u64 = (KEY.len() + VALUE.len() + END.len() + 6 * MAX_KEY + 2) as u64;

/// Appends a record.
///
/// # Errors
///
/// `Damaged` when the value contains a line break, which no stored value does.
pub(in crate::transfer::archive) fn write(out: &mut Vec<u8>, key: &str, text: &[u8]) -> Result<()> {
    if text.contains(&b'\n') {
        return Err(Error::damaged(format!("a stored value contains a line break: key={}", key.escape_debug())));
    }
    out.extend_from_slice(KEY);
    serde_json::to_writer(&mut *out, key)
        .map_err(|source| Error::damaged("a key cannot be shown as JSON").with_source(source))?;
    out.extend_from_slice(VALUE);
    out.extend_from_slice(text);
    out.extend_from_slice(END);
    Ok(())
}

/// Reads the next line into a buffer. Returns whether there was one. The memory grows only with bytes that exist, up to
/// a value of `limit`.
///
/// # Errors
///
/// `Invalid` with the length when its value is longer, or the error of the reader.
pub(in crate::transfer::archive) fn read(from: &mut impl BufRead, limit: u64, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let most = limit.saturating_add(BESIDE_VALUE);
    let read = from.by_ref().take(most).read_until(b'\n', line)? as u64;
    if read == most && !line.ends_with(b"\n") {
        let whole = read.saturating_add(from.skip_until(b'\n')? as u64);
        let beside = value_begins(line)?.saturating_add(END.len()) as u64;
        let value = whole.saturating_sub(beside);
        // Without its value, no record's line is this long.
        return Err(if value > limit { too_long(value, limit) } else { none_of_a_record() });
    }
    Ok(read > 0)
}

/// The place where the value of a line begins. The end of the line may be missing.
///
/// # Errors
///
/// `Damaged` when this is not a line.
fn value_begins(line: &[u8]) -> Result<usize> {
    let inner = line.strip_prefix(KEY).filter(|inner| inner.starts_with(b"\""));
    // A quotation mark within a key is escaped, so the text between key and value occurs in no key.
    let between = |inner: &[u8]| inner.windows(VALUE.len() + 1).position(|at| at.strip_prefix(b"\"") == Some(VALUE));
    let begins = inner.and_then(|inner| Some(KEY.len() + between(inner)? + 1 + VALUE.len()));
    begins.ok_or_else(none_of_a_record)
}

fn none_of_a_record() -> Error {
    Error::damaged("a line is not a record, or is truncated")
}

/// Splits a line into key and value.
///
/// # Errors
///
/// `Damaged` when this is not a line.
pub(in crate::transfer::archive) fn parse(line: &[u8]) -> Result<(Cow<'_, str>, &[u8])> {
    let inner = line.strip_suffix(END).ok_or_else(none_of_a_record)?;
    let (before, value) = inner.split_at_checked(value_begins(inner)?).ok_or_else(none_of_a_record)?;
    let key = before.get(KEY.len()..before.len() - VALUE.len()).unwrap_or_default();
    let Shown(key) = serde_json::from_slice(key)
        .map_err(|source| Error::damaged(format!("the key of a line cannot be read: {source}")).with_source(source))?;
    refuse_long_key(key.len())?;
    Ok((key, value))
}

/// A key, borrowed unless it contains escapes.
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
    fn a_line_is_json_and_returns_the_bytes_of_its_value() {
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
    fn a_text_that_is_not_a_line_is_refused() {
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
    fn a_key_is_not_longer_than_a_stored_one_can_be() {
        assert!(parse(&line(&"k".repeat(MAX_KEY), "1")).is_ok());
        let error = parse(&line(&"k".repeat(MAX_KEY + 1), "1")).unwrap_err();
        assert!(error.to_string().contains("a key is too long"), "{error}");
    }

    #[test]
    fn a_line_that_is_too_long_is_measured_but_not_stored() {
        let long = line("k\"", &"7".repeat(200_000));
        let two = [&long[..], &line("l", "1")].concat();
        let mut buffer = Vec::new();
        assert!(read(&mut &two[..], 200_000, &mut buffer).unwrap());
        for two in [&two[..], &long] {
            let error = read(&mut &two[..], 100, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().ends_with(": bytes=200000 limit=100"), "{error}");
        }
        let mut buffer = Vec::new();
        assert!(read(&mut &long[..], 100, &mut buffer).is_err());
        assert!(buffer.len() < 100_000);
    }

    #[test]
    fn a_long_line_that_is_not_a_record_is_damage_and_not_a_long_value() {
        let [none, long_key] = ["7".repeat(200_000).into_bytes(), line(&"k".repeat(200_000), "1")];
        for line in [none, long_key] {
            let error = read(&mut &line[..], 100, &mut Vec::new()).unwrap_err();
            assert_eq!(error.to_string(), "a line is not a record, or is truncated");
            assert_eq!(error.kind(), ErrorKind::Damaged);
        }
    }
}
