//! The text of Python's `json.dumps(data, indent=2)`. The replaced service wrote its backups in this form and computed
//! their checksums from it. Any tool can reproduce it.

use std::convert::Infallible;
use std::io;

use serde_json::Value;

use super::pieces::MAX_DEPTH;
use super::plain::plain_ascii_len;

/// The value as Python's `json.dumps(data, indent=2)` prints it, but with numbers as they are written: two spaces for
/// each level, every character outside ASCII escaped, no line break at the end.
///
/// The value must not be nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH); [`parse`](super::parse) and
/// [`check`](super::check::check) ensure this.
///
/// # Examples
///
/// ```
/// let value = hivekeep::json::parse(r#"{"name":"é","load":1e400,"tags":[]}"#.as_bytes())?;
/// let text = "{\n  \"name\": \"\\u00e9\",\n  \"load\": 1e400,\n  \"tags\": []\n}";
/// assert_eq!(hivekeep::json::python_text(&value), text);
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub fn python_text(value: &Value) -> String {
    let mut text = String::new();
    let Ok(()) = print(value, 0, &mut |part: &str| -> Result<(), Infallible> {
        text.push_str(part);
        Ok(())
    });
    text
}

/// Writes [`python_text`] piece by piece, so that it can be hashed or sent without being in memory. The pieces are
/// small, so wrap a file in a [`io::BufWriter`].
///
/// # Errors
///
/// The errors of `to`.
///
/// # Examples
///
/// ```
/// let mut text = Vec::new();
/// hivekeep::json::write_python(&serde_json::json!([1, {}]), &mut text)?;
/// assert_eq!(text, b"[\n  1,\n  {}\n]");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_python(value: &Value, to: &mut impl io::Write) -> io::Result<()> {
    print(value, 0, &mut |part: &str| to.write_all(part.as_bytes()))
}

/// The length of the text that is passed on at a time.
const PIECE: usize = 32 << 10;

/// A line break with the deepest indentation.
const NEW_LINE: [u8; 1 + 2 * MAX_DEPTH] = {
    let mut line = [b' '; 1 + 2 * MAX_DEPTH];
    line[0] = b'\n';
    line
};

/// [`python_text`] in pieces, made from the compact text of the same value in one pass over its bytes.
#[derive(Debug, Default)]
pub(crate) struct PythonOfCompact {
    text: Vec<u8>,
    depth: usize,
}

impl PythonOfCompact {
    /// Continues with the next part of the compact text, which ends after a value.
    pub(crate) fn push(&mut self, compact: &[u8], mut out: impl FnMut(&[u8])) {
        let Self { text, depth } = self;
        let mut rest = compact;
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            match (byte, behind.first()) {
                (b'"', _) => rest = copy_string(behind, text),
                (b'{' | b'[', Some(b'}' | b']')) => text.push(*byte),
                (b'{' | b'[', _) => {
                    *depth += 1;
                    text.push(*byte);
                    text.extend_from_slice(line(*depth));
                }
                (b'}' | b']', _) if matches!(text.last(), Some(b'{' | b'[')) => text.push(*byte),
                (b'}' | b']', _) => {
                    *depth = depth.saturating_sub(1);
                    text.extend_from_slice(line(*depth));
                    text.push(*byte);
                }
                (b',', _) => {
                    text.push(b',');
                    text.extend_from_slice(line(*depth));
                }
                (b':', _) => text.extend_from_slice(b": "),
                _ => {
                    let length = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(rest.len());
                    let (scalar, behind) = rest.split_at(length);
                    text.push(*byte);
                    text.extend_from_slice(scalar);
                    rest = behind;
                }
            }
            if text.len() >= PIECE && !matches!(text.last(), Some(b'{' | b'[')) {
                out(text);
                text.clear();
            }
        }
    }

    /// The rest, at the end of the compact text.
    pub(crate) fn finish(&self) -> &[u8] {
        &self.text
    }
}

/// The line break before an element at `depth`.
fn line(depth: usize) -> &'static [u8] {
    NEW_LINE.get(..1 + 2 * depth).unwrap_or(&NEW_LINE)
}

/// Copies a string from after its opening quote. Returns the text after the closing quote.
fn copy_string<'a>(compact: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = compact;
    text.push(b'"');
    loop {
        let length = plain_ascii_len(rest);
        // Most strings are plain up to their end, and their closing quote is copied with them.
        let plain = length + usize::from(rest.get(length) == Some(&b'"'));
        let (plain, behind) = rest.split_at(plain);
        text.extend_from_slice(plain);
        if plain.len() > length {
            return behind;
        }
        match behind {
            [] => return behind,
            // Characters that both Python and compact text escape have the same escape.
            [b'\\', escaped, behind @ ..] => {
                text.extend_from_slice(&[b'\\', *escaped]);
                rest = behind;
            }
            behind => {
                let length = behind.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count();
                let (character, behind) = behind.split_at(1 + length);
                for character in std::str::from_utf8(character).unwrap_or_default().chars() {
                    let Ok(()) = print_escape::<Infallible>(character, &mut |part| {
                        text.extend_from_slice(part.as_bytes());
                        Ok(())
                    });
                }
                rest = behind;
            }
        }
    }
}

/// Prints a value at `depth`.
fn print<E>(value: &Value, depth: usize, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    match value {
        Value::Null => out("null"),
        Value::Bool(true) => out("true"),
        Value::Bool(false) => out("false"),
        Value::Number(number) => out(number.as_str()),
        Value::String(string) => print_string(string, out),
        Value::Array(elements) if elements.is_empty() => out("[]"),
        Value::Object(members) if members.is_empty() => out("{}"),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                begin_item(index, "[", depth, out)?;
                print(element, depth + 1, out)?;
            }
            end_items("]", depth, out)
        }
        Value::Object(members) => {
            for (index, (name, member)) in members.iter().enumerate() {
                begin_item(index, "{", depth, out)?;
                print_string(name, out)?;
                out(": ")?;
                print(member, depth + 1, out)?;
            }
            end_items("}", depth, out)
        }
    }
}

fn begin_item<E>(index: usize, open: &str, depth: usize, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    out(if index == 0 { open } else { "," })?;
    new_line(depth + 1, out)
}

fn end_items<E>(close: &str, depth: usize, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    new_line(depth, out)?;
    out(close)
}

fn new_line<E>(depth: usize, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    out("\n")?;
    (0..depth).try_for_each(|_| out("  "))
}

/// Prints a string in quotes. Text that Python does not escape is printed in whole runs.
fn print_string<E>(string: &str, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let plain = |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
    out("\"")?;
    let mut rest = string;
    while let Some(special) = rest.chars().find(|character| !plain(*character)) {
        let (run, behind) = rest.split_once(special).unwrap_or((rest, ""));
        out(run)?;
        print_escape(special, out)?;
        rest = behind;
    }
    out(rest)?;
    out("\"")
}

fn print_escape<E>(character: char, out: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    match character {
        '"' => out("\\\""),
        '\\' => out("\\\\"),
        '\n' => out("\\n"),
        '\r' => out("\\r"),
        '\t' => out("\\t"),
        '\u{8}' => out("\\b"),
        '\u{c}' => out("\\f"),
        _ => character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| out(&format!("\\u{unit:04x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of_compact(value: &Value) -> String {
        let (mut text, mut python) = (Vec::new(), PythonOfCompact::default());
        for part in value.to_string().split_inclusive('}') {
            python.push(part.as_bytes(), |piece| text.extend_from_slice(piece));
        }
        text.extend_from_slice(python.finish());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_text_of_a_long_value_is_the_same_from_its_compact_text() {
        let row = serde_json::json!({"a": [[], {}, "x".repeat(100), {"é\u{7f}": "\"\\[{"}], "n": -1.5e3});
        let value = Value::Array(vec![row; 1_000]);
        assert!(of_compact(&value) == python_text(&value));
    }

    #[test]
    fn the_text_is_pythons() {
        let value = parse(
            r#"{"é😀\u007f":[[],{},[1,-0,1E5,1.50]],"q":"\"\\\/\b\f\n\r\t\u0000\u001f ~\u0080\u2028\uffff",
                "t":[true,false,null],"":{"a":{"b":""}}}"#
                .as_bytes(),
        )
        .unwrap();
        let expected = r#"{
  "\u00e9\ud83d\ude00\u007f": [
    [],
    {},
    [
      1,
      -0,
      1E5,
      1.50
    ]
  ],
  "q": "\"\\/\b\f\n\r\t\u0000\u001f ~\u0080\u2028\uffff",
  "t": [
    true,
    false,
    null
  ],
  "": {
    "a": {
      "b": ""
    }
  }
}"#;
        assert_eq!(python_text(&value), expected);
        assert_eq!(of_compact(&value), expected);
        assert_eq!(parse(expected.as_bytes()).unwrap(), value);
    }

    #[test]
    fn a_value_without_members_is_one_line() {
        for text in ["[]", "{}", "\"\"", "7", "null"] {
            assert_eq!(python_text(&parse(text.as_bytes()).unwrap()), text);
            assert_eq!(of_compact(&parse(text.as_bytes()).unwrap()), text);
        }
    }

    #[test]
    fn writing_stops_at_the_first_error() {
        let mut room = [0; 4];
        let error = write_python(&serde_json::json!(["long enough"]), &mut &mut room[..]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
