//! Checks of values and texts, and the number of items in a document.

use serde_json::Value;

use super::fault::Fault;
use super::pieces::{Container, Pieces, Scalar};
#[cfg(feature = "transfer")]
use super::read::parse_into;
use super::{pieces, read};
use crate::error::Result;

/// Checks a value that a caller has parsed or built, so that it can be stored and read unchanged.
///
/// # Errors
///
/// `Invalid`, with a JSON pointer, when the value is nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH) or contains an
/// invalid number.
///
/// # Examples
///
/// ```
/// use hivekeep::json::{MAX_DEPTH, check};
/// use serde_json::Value;
///
/// let deepest = (0..MAX_DEPTH).fold(Value::Null, |value, _| Value::Array(vec![value]));
/// assert!(check(&deepest).is_ok());
/// assert!(check(&Value::Array(vec![deepest])).is_err());
/// ```
pub fn check(value: &Value) -> Result<()> {
    take_apart(value, &mut Nobody)
}

/// Checks a text as [`parse`] does, without building a value.
#[cfg(feature = "transfer")]
pub(crate) fn check_text(text: &[u8]) -> Result<()> {
    parse_into(text, &mut Nobody)
}

/// The same for a text inside `depth` containers, which count as levels.
pub(crate) fn check_inside(text: &[u8], depth: usize) -> Result<()> {
    read::parse_inside_into(text, depth, &mut Nobody)
}

/// Passes a value on in pieces, and checks it like [`check`]. After an error the pieces are useless.
pub(crate) fn take_apart(value: &Value, to: &mut impl Pieces) -> Result<()> {
    pieces::take_apart(value, 0, to).map_err(Fault::into_error)
}

/// Checks the members of an object.
pub(crate) fn check_members(members: &serde_json::Map<String, Value>) -> Result<()> {
    members
        .iter()
        .try_for_each(|(name, member)| pieces::take_apart(member, 1, &mut Nobody).map_err(|fault| fault.inside(name)))
        .map_err(Fault::into_error)
}

/// Ignores all pieces.
struct Nobody;

impl Pieces for Nobody {
    fn scalar(&mut self, _: Scalar<'_>) {}
    fn open(&mut self, _: Container) {}
    fn name(&mut self, _: &str) {}
    fn close(&mut self) {}
}

/// The number of items in a document, as histories of backups show it: the summed length of the members that are arrays
/// or objects. For an array it is its length, for any other value 0.
///
/// # Examples
///
/// ```
/// use serde_json::json;
///
/// assert_eq!(hivekeep::json::item_count(&json!({"tasks": [1, 2, 3], "bots": {"a": {}}, "version": "1.0"})), 4);
/// assert_eq!(hivekeep::json::item_count(&json!([1, 2])), 2);
/// ```
pub fn item_count(value: &Value) -> u64 {
    match value {
        Value::Object(members) => members.values().map(length).sum(),
        other => length(other),
    }
}

pub(super) fn length(value: &Value) -> u64 {
    match value {
        Value::Array(elements) => elements.len() as u64,
        Value::Object(members) => members.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Number, json};

    use super::*;
    use crate::json::read::parse;

    /// Texts made of the pieces of JSON, so that many are nearly right.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "[", "]", "{", "}", ",", ":", "\"", "\"a\"", "\"a\":", "\"b\":", "1", "0", "-", ".5", "e+3", "null",
            "true", " ", "\\", "\\u00e9", "\\ud83d", "\\ude00", "é", "\n",
        ]);
        let pieces = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes());
        prop_oneof![4 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..64)]
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_serde_json_reads_them_but_for_equal_names(text in nearly_json()) {
            let theirs = serde_json::from_slice::<Value>(&text);
            match parse(&text) {
                Ok(value) => prop_assert_eq!(value.to_string().replace("e+", "e"), theirs.unwrap().to_string().replace("e+", "e")),
                Err(error) => prop_assert!(theirs.is_err() || error.to_string().contains("same name"), "{}", error),
            }
        }
    }

    #[test]
    fn a_value_that_would_not_read_back_is_refused_by_its_place() {
        let bad = Value::Number(Number::from_string_unchecked("0x1".into()));
        let bad = Value::Array(vec![json!(0), bad]);
        let error = check(&Value::Object([("a/b".into(), bad)].into_iter().collect())).unwrap_err();
        assert_eq!(error.to_string(), r#"a number is not written as JSON has it: pointer="/a~1b/1""#);
    }

    #[test]
    fn a_value_is_checked_without_running_out_of_stack() {
        let value = (0..1_000).fold(json!(1), |value, _| Value::Array(vec![value]));
        let error = check(&value).unwrap_err();
        assert!(error.to_string().starts_with("nested deeper than 128 levels: pointer=\"/0/0/"), "{error}");
    }

    #[test]
    fn items_are_counted_one_level_below_the_top() {
        let bot = json!({"port": 1, "pid": 2, "repo": "r", "status": "s", "since": 3, "seen": 4, "metadata": {}});
        assert_eq!(item_count(&json!({"BOT-1": bot, "BOT-2": bot, "BOT-3": bot})), 21);
        assert_eq!(item_count(&json!({"tasks": vec![bot; 32]})), 32);
        assert_eq!(item_count(&json!("text")), 0);
    }
}
