//! What becomes a row: the value is printed once, and each row is a stretch of that text.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

use super::rows::{VERSION, fingerprint};
use crate::error::{Error, Result};

/// A longer text is split.
const LONG: usize = 4 << 10;
/// Elements shorter than this on average are not worth rows of their own ...
const SMALL: usize = 64;
/// ... until the container is longer than this.
const LONG_OF_SMALL: usize = 64 << 10;
/// Tables are looked for down to this level; the document is level 0.
const TABLE_DEPTH: usize = 2;
/// A container on the way to a table is a list of sections, so it has at most this many elements.
const SECTIONS: usize = 16;
/// Nothing is split below this level, so that keys stay short.
const SPLIT_DEPTH: usize = 8;

/// A document's text and its rows.
pub(super) struct Layout<'a> {
    text: Vec<u8>,
    pub(super) root: Node<'a>,
}

/// One row, and the rows below it.
pub(super) struct Node<'a> {
    /// Of a member.
    pub(super) name: Option<&'a str>,
    /// Where the row's payload is in the text.
    row: Range<usize>,
    /// Of the row and everything below it.
    pub(super) fingerprint: u64,
    /// Empty unless the row is a split container.
    pub(super) children: Vec<Node<'a>>,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Position {
    depth: usize,
    /// No container on the way has more than [`SECTIONS`] elements.
    among_sections: bool,
}

impl<'a> Layout<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self> {
        let mut printer = Printer { text: vec![VERSION] };
        let mut root = printer.print(0, None, value, Position { depth: 0, among_sections: true })?;
        printer.seal(&mut root);
        Ok(Self { text: printer.text, root })
    }

    /// The payload of a row.
    pub(super) fn payload(&self, node: &Node<'_>) -> &[u8] {
        self.text.get(node.row.clone()).unwrap_or_default()
    }
}

struct Printer {
    text: Vec<u8>,
}

impl Printer {
    /// Prints a value behind its name; its row begins at `start`.
    fn print<'a>(
        &mut self,
        start: usize,
        name: Option<&'a str>,
        value: &'a Value,
        position: Position,
    ) -> Result<Node<'a>> {
        if let Some(name) = name {
            self.write(name)?;
            self.text.push(b':');
        }
        let (end, children) = match value {
            _ if position.depth >= SPLIT_DEPTH => self.whole(value)?,
            Value::Array(elements) if !elements.is_empty() => {
                self.container(*b"[]", elements.iter().map(|element| (None, element)), position)?
            }
            Value::Object(members) if !members.is_empty() => {
                self.container(*b"{}", members.iter().map(|(name, member)| (Some(name.as_str()), member)), position)?
            }
            _ => self.whole(value)?,
        };
        Ok(Node { name, row: start..end, fingerprint: 0, children })
    }

    /// Prints a value that is not split.
    fn whole<'a>(&mut self, value: &Value) -> Result<(usize, Vec<Node<'a>>)> {
        self.write(value)?;
        Ok((self.text.len(), Vec::new()))
    }

    /// Prints a container; says where its own row ends, and which rows are below it.
    fn container<'a>(
        &mut self,
        [open, close]: [u8; 2],
        items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Value)> + Clone,
        position: Position,
    ) -> Result<(usize, Vec<Node<'a>>)> {
        let start = self.text.len();
        let count = items.len();
        let is_container = |(_, value): (_, &Value)| matches!(value, Value::Array(_) | Value::Object(_));
        let table = position.depth <= TABLE_DEPTH && position.among_sections && items.clone().all(is_container);
        let below =
            Position { depth: position.depth + 1, among_sections: position.among_sections && count <= SECTIONS };
        let mut children = Vec::with_capacity(count);
        self.text.push(open);
        for (name, value) in items {
            if !children.is_empty() {
                self.text.push(b',');
            }
            children.push(self.print(self.text.len(), name, value, below)?);
        }
        self.text.push(close);
        let is_split = |child: &Node<'_>| !child.children.is_empty();
        if position.depth == 0 || table || is_long(self.text.len() - start, count) || children.iter().any(is_split) {
            children.iter_mut().for_each(|child| self.seal(child));
            return Ok((start + 1, children));
        }
        Ok((self.text.len(), Vec::new()))
    }

    /// Takes the fingerprint of a node once it is sure to be a row.
    fn seal(&self, node: &mut Node<'_>) {
        let payload = self.text.get(node.row.clone()).unwrap_or_default();
        node.fingerprint = fingerprint(payload, node.children.iter().map(|child| child.fingerprint));
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        serde_json::to_writer(&mut self.text, value)
            .map_err(|source| Error::invalid("a document cannot be printed").with_source(source))
    }
}

fn is_long(length: usize, count: usize) -> bool {
    length > LONG_OF_SMALL || (length > LONG && length / count.max(1) >= SMALL)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every row's payload, the document's version left out.
    fn rows(value: &Value) -> Vec<String> {
        fn collect(layout: &Layout<'_>, node: &Node<'_>, rows: &mut Vec<String>) {
            rows.push(String::from_utf8(layout.payload(node).to_vec()).unwrap());
            node.children.iter().for_each(|child| collect(layout, child, rows));
        }
        let layout = Layout::of(value).unwrap();
        let mut rows = Vec::new();
        collect(&layout, &layout.root, &mut rows);
        assert_eq!(rows[0].remove(0), char::from(VERSION));
        rows
    }

    fn bot() -> Value {
        json!({"port": 8001, "metadata": {"adapter": {"type": "cli"}}})
    }

    #[test]
    fn a_bot_is_one_row_wherever_its_table_stands() {
        let row = r#""B":{"port":8001,"metadata":{"adapter":{"type":"cli"}}}"#;
        assert_eq!(rows(&json!({"bots": {"B": bot()}, "at": 1})), ["{", r#""bots":{"#, row, r#""at":1"#]);
        let full = json!({"registry": {"bots": {"B": bot()}, "at": 1}, "queue": {"tasks": [[1], {}]}, "n": [1]});
        let expected = [
            "{",
            r#""registry":{"#,
            r#""bots":{"#,
            row,
            r#""at":1"#,
            r#""queue":{"#,
            r#""tasks":["#,
            "[1]",
            "{}",
            r#""n":[1]"#,
        ];
        assert_eq!(rows(&full), expected);
        let many: Value = (0..17).map(|number| (number.to_string(), bot())).collect::<serde_json::Map<_, _>>().into();
        assert_eq!(rows(&many).len(), 18);
    }

    #[test]
    fn long_containers_are_split_and_short_ones_in_them_are_not() {
        let task = json!({"title": "x".repeat(100), "tags": ["a", "b"]});
        let deep = json!({"version": 1, "a": {"n": 0, "b": {"n": 0, "tasks": vec![&task; 40]}}});
        let all = rows(&deep);
        assert_eq!(all.len(), 1 + 1 + 2 + 2 + 1 + 40);
        assert_eq!(all.last().unwrap(), &task.to_string());
        let numbers = |count: u32| json!({"load": (0..count).collect::<Vec<_>>()});
        assert_eq!(rows(&numbers(9_000)).len(), 2);
        assert_eq!(rows(&numbers(90_000)).len(), 2 + 90_000);
    }

    #[test]
    fn what_is_empty_or_no_container_is_one_row() {
        for value in [json!({}), json!([]), json!(null), json!("{"), json!(1.5)] {
            assert_eq!(rows(&value), [value.to_string()]);
        }
    }

    #[test]
    fn nothing_is_split_below_the_eighth_level() {
        let deep = (0..100).fold(json!(["x".repeat(100_000)]), |value, _| json!([value]));
        assert_eq!(rows(&deep).len(), 9);
    }
}
