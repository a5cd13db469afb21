//! The strict reader. It recurses at most [`MAX_DEPTH`] levels and makes one pass over the bytes. It allocates in
//! proportion to the bytes that it has read.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::Value;

use super::fault::{BAD_NUMBER, Fault, NOT_A_NUMBER, TOO_DEEP};
use super::number::number_len;
use super::pieces::{Container, MAX_DEPTH, Pieces, Scalar, Whole};
use super::plain::plain_len;
use crate::error::Result;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const NO_NAME: &str = "a member's name in quotes is missing";
const NO_COLON: &str = "the colon behind a member's name is missing";
const TOO_MUCH: &str = "the text holds too many values";
const SAME_NAME: &str = "two members have the same name";

/// Up to this many names of an object are compared one by one; more are looked up in a set.
const FEW_NAMES: usize = 16;

/// Reads one JSON text. Object order and numbers stay as they are written; a leading byte order mark is skipped.
///
/// # Errors
///
/// `Invalid`, with a JSON pointer and a byte offset, when two members of an object have the same name, an escape is
/// half of a surrogate pair, a string contains a raw control character or bytes that are not UTF-8, a number is not
/// valid in JSON (`NaN`, `Infinity`, `01`, `1.`), the text is nested deeper than [`MAX_DEPTH`], ends too early,
/// continues after the value, or is invalid in any other way.
///
/// # Examples
///
/// ```
/// let text = r#"{"z":1e400,"a":-0,"m":12345678901234567890123}"#;
/// let value = hivekeep::json::parse(text.as_bytes())?;
/// assert_eq!(value.to_string(), text);
///
/// let error = hivekeep::json::parse(br#"{"bots": {"a": 1, "a": 2}}"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"two members have the same name: pointer="/bots/a" offset=18"#);
/// # Ok::<(), hivekeep::Error>(())
/// ```
pub fn parse(text: &[u8]) -> Result<Value> {
    let mut whole = Whole::default();
    parse_into(text, &mut whole)?;
    Ok(whole.into_value())
}

/// Reads one JSON text and passes it on in pieces. After an error the pieces are useless.
pub(crate) fn parse_into(text: &[u8], to: &mut impl Pieces) -> Result<()> {
    let at = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    Reader { at, ..Reader::new(text) }.whole(0, to).map_err(Fault::into_error)
}

/// Reads one JSON text inside `depth` containers, which count as levels.
pub(crate) fn parse_inside(text: &[u8], depth: usize) -> Result<Value> {
    let mut whole = Whole::default();
    parse_inside_into(text, depth, &mut whole)?;
    Ok(whole.into_value())
}

/// The same in pieces.
pub(super) fn parse_inside_into(text: &[u8], depth: usize, to: &mut impl Pieces) -> Result<()> {
    Reader::new(text).whole(depth, to).map_err(Fault::into_error)
}

/// The name of the member at the start of a text, and the text after the colon.
pub(crate) fn split_member(text: &[u8]) -> Result<(String, &[u8])> {
    let mut reader = Reader::new(text);
    let name = reader.name().map_err(Fault::into_error)?;
    Ok((name.into_owned(), reader.rest()))
}

/// The text, and the position of the reader.
struct Reader<'a> {
    text: &'a [u8],
    /// The valid UTF-8 at the start of the text.
    sound: &'a str,
    at: usize,
    /// The names so far of each incomplete object, the innermost last.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        let sound = match std::str::from_utf8(text) {
            Ok(sound) => sound,
            Err(error) => text.get(..error.valid_up_to()).and_then(|part| std::str::from_utf8(part).ok()).unwrap_or(""),
        };
        Self { text, sound, at: 0, names: Vec::new() }
    }

    fn whole(mut self, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
        self.value(depth, to)?;
        match self.token() {
            None => Ok(()),
            Some(_) => Err(self.fault("the text goes on behind the value")),
        }
    }

    /// Reads the next value, inside `depth` containers.
    fn value(&mut self, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
        if to.is_full() {
            return Err(self.fault(TOO_MUCH));
        }
        match self.token() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => return Err(self.fault(TOO_DEEP)),
            Some(b'{') => return self.object(depth, to),
            Some(b'[') => return self.array(depth, to),
            Some(b'"') => to.scalar(Scalar::Text(&self.string()?)),
            Some(b'-' | b'0'..=b'9') => to.scalar(Scalar::Number(self.number()?)),
            Some(_) => to.scalar(self.word()?),
            None => return Err(self.fault("the text ends where a value should be")),
        }
        Ok(())
    }

    fn object(&mut self, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
        to.open(Container::Object);
        self.at += 1;
        if self.token() == Some(b'}') {
            self.at += 1;
            to.close();
            return Ok(());
        }
        let first = self.names.len();
        let mut many = HashSet::new();
        loop {
            self.expect(b'"', NO_NAME)?;
            let start = self.at;
            let name = self.string()?;
            if self.is_taken(first, &name, &many) {
                return Err(Fault::at(SAME_NAME, start).inside(&name));
            }
            to.name(&name);
            self.names.push(name.clone());
            match (self.names.len() - first).cmp(&FEW_NAMES) {
                Ordering::Less => {}
                Ordering::Equal => many.extend(self.names.iter().skip(first).cloned()),
                Ordering::Greater => drop(many.insert(name.clone())),
            }
            self.member(depth, to).map_err(|fault| fault.inside(&name))?;
            if self.ends(b'}', "a comma or the end of the object is missing")? {
                self.names.truncate(first);
                to.close();
                return Ok(());
            }
        }
    }

    /// Whether a member of the object whose names begin at `first` has that name; once they are many, they are in
    /// `many`.
    fn is_taken(&self, first: usize, name: &str, many: &HashSet<Cow<'a, str>>) -> bool {
        if many.is_empty() { self.names.iter().skip(first).any(|other| other == name) } else { many.contains(name) }
    }

    /// Reads the colon and the value after the name of a member.
    fn member(&mut self, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
        self.expect(b':', NO_COLON)?;
        self.at += 1;
        self.value(depth + 1, to)
    }

    /// Reads the name of a member, and its colon.
    fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"', NO_NAME)?;
        let name = self.string()?;
        self.expect(b':', NO_COLON)?;
        self.at += 1;
        Ok(name)
    }

    fn array(&mut self, depth: usize, to: &mut impl Pieces) -> Result<(), Fault> {
        to.open(Container::Array);
        self.at += 1;
        if self.token() == Some(b']') {
            self.at += 1;
            to.close();
            return Ok(());
        }
        for index in 0.. {
            self.value(depth + 1, to).map_err(|fault| fault.inside(&index.to_string()))?;
            if self.ends(b']', "a comma or the end of the array is missing")? {
                break;
            }
        }
        to.close();
        Ok(())
    }

    /// Skips the `close` of a container, or the comma before its next item.
    fn ends(&mut self, close: u8, missing: &'static str) -> Result<bool, Fault> {
        let token =
            self.token().filter(|token| *token == close || *token == b',').ok_or_else(|| self.fault(missing))?;
        self.at += 1;
        Ok(token == close)
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        if self.rest().starts_with(b"-Infinity") {
            return Err(self.fault(NOT_A_NUMBER));
        }
        let len = number_len(self.rest()).ok_or_else(|| self.fault(BAD_NUMBER))?;
        let (number, behind) = self.rest().split_at(len);
        if matches!(behind.first(), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
            return Err(self.fault(BAD_NUMBER));
        }
        let number = std::str::from_utf8(number).map_err(|_| self.fault(BAD_NUMBER))?;
        self.at += len;
        Ok(number)
    }

    fn word(&mut self) -> Result<Scalar<'static>, Fault> {
        for (word, scalar) in [("null", Scalar::Null), ("true", Scalar::Flag(true)), ("false", Scalar::Flag(false))] {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(scalar);
            }
        }
        let number = ["NaN", "Infinity"].iter().any(|word| self.rest().starts_with(word.as_bytes()));
        Err(self.fault(if number { NOT_A_NUMBER } else { "a value is missing" }))
    }

    /// Reads the string whose opening quote comes next. It is borrowed if it contains no escape.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let mut string = Cow::Borrowed(self.plain()?);
        loop {
            match self.rest().first() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.to_mut().push(self.escape()?),
                Some(_) => return Err(self.fault("a control character in a string is not escaped")),
                None => return Err(self.fault("the text ends inside of a string")),
            }
            string.to_mut().push_str(self.plain()?);
        }
    }

    /// Reads a part of a string without escapes.
    fn plain(&mut self) -> Result<&'a str, Fault> {
        let end = self.at + plain_len(self.rest());
        let not_utf8 = || Fault::at("a string is not UTF-8", self.sound.len());
        let plain = self.sound.get(self.at..end).ok_or_else(not_utf8)?;
        self.at = end;
        Ok(plain)
    }

    /// Reads the next escape.
    fn escape(&mut self) -> Result<char, Fault> {
        let start = self.at;
        let character = match self.text.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault("a string has an unknown escape")),
        };
        self.at += 2;
        Ok(character)
    }

    /// Reads one `\uXXXX`, or the two of a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let lone = Fault::at("half of a surrogate pair is no character", self.at);
        let first = self.unit()?.ok_or_else(|| self.fault("a string has an unknown escape"))?;
        if let Some(character) = char::from_u32(u32::from(first)) {
            return Ok(character);
        }
        let second = if first < 0xdc00 { self.unit()? } else { None };
        let units = [Some(first), second].into_iter().flatten();
        match char::decode_utf16(units).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(lone),
        }
    }

    /// Skips one `\uXXXX`, if it comes next.
    fn unit(&mut self) -> Result<Option<u16>, Fault> {
        let Some(digits) = self.rest().strip_prefix(b"\\u") else { return Ok(None) };
        let wrong = || Fault::at("four hexadecimal digits are missing behind \\u", self.at);
        let digits = digits.first_chunk::<4>().ok_or_else(wrong)?;
        let mut unit = 0;
        for digit in digits {
            let digit =
                char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok()).ok_or_else(wrong)?;
            unit = unit << 4 | digit;
        }
        self.at += 6;
        Ok(Some(unit))
    }

    /// Fails unless `token` comes next.
    fn expect(&mut self, token: u8, missing: &'static str) -> Result<(), Fault> {
        if self.token() == Some(token) { Ok(()) } else { Err(self.fault(missing)) }
    }

    /// Reads the next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault::at(what, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: impl AsRef<[u8]>) -> String {
        parse(text.as_ref()).unwrap_err().to_string()
    }

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn order_and_numbers_stay_as_written() {
        for text in [
            "1e400",
            "1E400",
            "1e+400",
            "1E-2",
            "-0",
            "-0.0",
            "0e0",
            "1.50",
            "12345678901234567890123",
            r#"{"b":1.0,"a":{"d":[],"c":{}},"":null}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"[true,false,null,"\u0000\b\f\n\r\t\"\\/é😀"]"#,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn white_space_escapes_and_a_byte_order_mark_are_read() {
        let text = b"\xef\xbb\xbf \t\r\n{ \"a\" : [ 1 , \"\\u00e9\\uD83d\\uDe00\\/\" ] }\n";
        assert_eq!(parse(text).unwrap().to_string(), r#"{"a":[1,"é😀/"]}"#);
    }

    #[test]
    fn nesting_is_read_to_its_limit_and_refused_beyond() {
        assert_eq!(parse(nested(128).as_bytes()).unwrap().to_string(), nested(128));
        assert!(error(nested(129)).starts_with("nested deeper than 128 levels: pointer=\"/0/0"));
        assert!(error("[".repeat(10_000_000)).ends_with("offset=128"));
        assert!(error(r#"{"a":"#.repeat(1_000_000)).ends_with("offset=640"));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_place() {
        for (text, message) in [
            (r#"{"a":[{"b":1,"b":2}]}"#, r#"two members have the same name: pointer="/a/0/b" offset=13"#),
            (r#"{"a":1,"\u0061":2}"#, r#"two members have the same name: pointer="/a" offset=7"#),
            (r#"["\ud800"]"#, r#"half of a surrogate pair is no character: pointer="/0" offset=2"#),
            (r#"["\udc00\ud800"]"#, r#"half of a surrogate pair is no character: pointer="/0" offset=2"#),
            (r#"["\ud800\u0041"]"#, r#"half of a surrogate pair is no character: pointer="/0" offset=2"#),
            (r#"[0,NaN]"#, r#"NaN and Infinity are not JSON; use null or a string: pointer="/1" offset=3"#),
            ("Infinity", r#"NaN and Infinity are not JSON; use null or a string: pointer="" offset=0"#),
            ("[-Infinity]", r#"NaN and Infinity are not JSON; use null or a string: pointer="/0" offset=1"#),
            ("{} {}", r#"the text goes on behind the value: pointer="" offset=3"#),
            ("[\"a\nb\"]", r#"a control character in a string is not escaped: pointer="/0" offset=3"#),
            ("", r#"the text ends where a value should be: pointer="" offset=0"#),
            (r#"{"a":"#, r#"the text ends where a value should be: pointer="/a" offset=5"#),
            ("\"abc", r#"the text ends inside of a string: pointer="" offset=4"#),
            (r#"["\x"]"#, r#"a string has an unknown escape: pointer="/0" offset=2"#),
            (r#"["\u12g4"]"#, r#"four hexadecimal digits are missing behind \u: pointer="/0" offset=2"#),
            (r#"["\u+123"]"#, r#"four hexadecimal digits are missing behind \u: pointer="/0" offset=2"#),
            ("[1 2]", r#"a comma or the end of the array is missing: pointer="" offset=3"#),
            ("[1,]", r#"a value is missing: pointer="/1" offset=3"#),
            (r#"{"a":1,}"#, r#"a member's name in quotes is missing: pointer="" offset=7"#),
            (r#"{"a" 1}"#, r#"the colon behind a member's name is missing: pointer="/a" offset=5"#),
            (r#"{"a":1"#, r#"a comma or the end of the object is missing: pointer="" offset=6"#),
            ("nul", r#"a value is missing: pointer="" offset=0"#),
        ] {
            assert_eq!(error(text), message, "{text}");
        }
        assert_eq!(error(b"[\"ab\xffc\"]"), r#"a string is not UTF-8: pointer="/0" offset=4"#);
        assert_eq!(error(b"\xff"), r#"a value is missing: pointer="" offset=0"#);
    }

    #[test]
    fn numbers_that_are_not_json_are_refused() {
        for text in ["01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "-01", "0x10", "1.2.3", "1_000", "--1", "1e5.0"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
            assert!(parse(format!("[{text}]").as_bytes()).is_err(), "{text}");
        }
    }
}
