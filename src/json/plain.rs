//! Text that needs no escape in a JSON string. It is searched eight bytes at a time, because most text is of this kind.

use std::io::Write as _;

/// Repeats a byte eight times.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The number of bytes at the start that need no escape: up to a quote, a backslash or a control character.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    run_len(bytes, |word| below(word, 0x20), |byte| byte < 0x20)
}

/// The same if all characters outside ASCII are escaped, as in Python's text.
pub(super) fn plain_ascii_len(bytes: &[u8]) -> usize {
    let special = |word| below(word, 0x20) | (word & HIGH) | below(word ^ (ONES * 0x7f), 1);
    run_len(bytes, special, |byte| !(0x20..0x7f).contains(&byte))
}

/// Writes a string in quotes, as `serde_json` does.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(plain_len(rest));
        out.extend_from_slice(plain);
        let Some((special, behind)) = behind.split_first() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x8 => out.extend_from_slice(b"\\b"),
            0xc => out.extend_from_slice(b"\\f"),
            // Writing to memory cannot fail.
            _ => drop(write!(out, "\\u{special:04x}")),
        }
        rest = behind;
    }
    out.push(b'"');
}

/// The number of bytes before the first quote, backslash or other special byte.
fn run_len(bytes: &[u8], special_in: impl Fn(u64) -> u64, special: impl Fn(u8) -> bool) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = special_in(word) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| special(*byte) || matches!(byte, b'"' | b'\\');
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each byte that is less than `limit`, which is at most 128. It is exact up to the first such byte.
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_ends_where_one_looks_byte_by_byte(bytes in prop::collection::vec(any::<u8>(), 0..40), fill in 0usize..30) {
            let bytes = [vec![b'x'; fill], bytes].concat();
            let ends = |special: fn(u8) -> bool| bytes.iter().position(|byte| special(*byte)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), ends(|byte| byte < 0x20 || byte == b'"' || byte == b'\\'));
            let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
            prop_assert_eq!(plain_ascii_len(&bytes), bytes.iter().position(|byte| !plain(*byte)).unwrap_or(bytes.len()));
        }

        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn every_escape_is_written_as_serde_json_writes_it() {
        let all: String = (0..0x100).filter_map(char::from_u32).collect();
        let mut out = Vec::new();
        write_string(&mut out, &all);
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&all).unwrap());
    }
}
