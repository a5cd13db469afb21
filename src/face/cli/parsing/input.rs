//! Parses arguments that are more than a word: JSON, also from standard input, and `NAME=VALUE`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::files;
use crate::json;
use crate::{Error, Result};

/// The maximum length of a JSON file.
const LONGEST: u64 = 1 << 30;

/// A positive count.
pub(in crate::face::cli) fn at_least_one(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(0) => Err(Error::invalid("must be at least 1")),
        Ok(count) => Ok(count),
        Err(_) => Err(Error::invalid("must be a whole number of at least 1")),
    }
}

/// JSON from the argument, or from standard input if it is `-`.
pub(in crate::face::cli) fn json(text: &str) -> Result<Value> {
    if text != "-" {
        let hint = "a string needs quotes, such as '\"hello\"'";
        return json::parse(text.as_bytes()).map_err(|error| error.context(format_args!("invalid JSON; {hint}")));
    }
    json::parse(&not_empty(standard_input()?, "standard input")?)
}

/// Refuses an input without anything.
fn not_empty(bytes: Vec<u8>, input: &str) -> Result<Vec<u8>> {
    if bytes.trim_ascii().is_empty() {
        return Err(Error::invalid(format!("{input} is empty; write JSON to it")));
    }
    Ok(bytes)
}

/// A JSON object from the argument.
pub(in crate::face::cli) fn object(text: &str) -> Result<Map<String, Value>> {
    match json(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid(format!("must be a JSON object, such as '{{\"a\": 1}}': json={text}"))),
    }
}

/// JSON from a file, or from standard input if it is `-`.
pub(in crate::face::cli) fn json_file(path: &Path) -> Result<Value> {
    if is_standard_input(path) {
        return json("-");
    }
    let parsed = not_empty(files::read(path, LONGEST)?, "the file").and_then(|bytes| json::parse(&bytes));
    parsed.map_err(|error| error.context(path.display()))
}

/// JSON values from a file with one on each line, or from standard input if it is `-`. An error names the line.
pub(in crate::face::cli) fn json_lines(path: &Path, limit: u64) -> Result<Vec<Value>> {
    let bytes = match is_standard_input(path) {
        true => standard_input_up_to(limit)?,
        false => files::read(path, limit)?,
    };
    let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let value = |(index, line): (usize, &[u8])| {
        let (line, number) = (line.strip_suffix(b"\r").unwrap_or(line), index.saturating_add(1));
        if line.trim_ascii().is_empty() {
            return Err(Error::invalid(format!("line {number} is empty; leave it out")));
        }
        json::parse(line).map_err(|error| error.context(format_args!("line {number}: invalid JSON")))
    };
    lines.split(|byte| *byte == b'\n').enumerate().map(value).collect()
}

/// Text from a file, or from standard input if it is `-`: a passphrase, or keys.
#[cfg(feature = "age")]
pub(in crate::face::cli) fn text_file(path: &Path) -> Result<String> {
    if is_standard_input(path) {
        return String::from_utf8(standard_input()?)
            .map_err(|_| Error::invalid("standard input is not valid UTF-8; give text: file=-"));
    }
    files::read_text(path, files::SETTINGS_MAX)
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn standard_input_up_to(limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(format!("standard input is too long: limit_bytes={limit}")));
    }
    Ok(bytes)
}

fn standard_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses `NAME=VALUE`.
pub(in crate::face::cli) fn tag(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("a tag is NAME=VALUE: tag={}", text.escape_debug()))),
    }
}

/// The tags of an option that may be repeated.
///
/// # Errors
///
/// `Invalid` when two of them have one name.
pub(in crate::face::cli) fn tags(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut tags = BTreeMap::new();
    for (name, value) in given {
        if tags.contains_key(&name) {
            return Err(Error::invalid(format!("a tag has one value; leave one out: tag={}", name.escape_debug())));
        }
        tags.insert(name, value);
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::{tag, tags};

    #[test]
    fn two_values_of_a_tag_are_refused() {
        let given = |names: [&str; 2]| tags(names.map(|name| (name.to_owned(), "1".to_owned())).into());
        assert_eq!(given(["a", "b"]).unwrap().len(), 2);
        assert_eq!(given(["a", "a"]).unwrap_err().to_string(), "a tag has one value; leave one out: tag=a");
    }

    #[test]
    fn a_tag_is_split_at_its_first_equals_sign() {
        assert_eq!(tag("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(tag("=b").unwrap_err().to_string(), "a tag is NAME=VALUE: tag==b");
    }
}
