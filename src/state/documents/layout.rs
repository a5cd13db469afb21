//! Divides a value into rows. The value is printed once, and each row is a range of that text.

use std::ops::Range;

use crate::json::{Container, Pieces, Scalar, write_string};

/// A longer text is split.
const LONG: usize = 4 << 10;
/// Elements that are shorter on average get no rows of their own ...
const SMALL: usize = 64;
/// ... until the container is longer than this.
const LONG_OF_SMALL: usize = 64 << 10;
/// Tables are looked for down to this level; the document is level 0.
const TABLE_DEPTH: usize = 2;
/// A container on the way to a table is a list of sections, so it has at most this many elements.
const SECTIONS: usize = 16;
/// Nothing is split below this level, so that keys stay short.
const SPLIT_DEPTH: usize = 8;

/// A document's compact text and its rows.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) text: Vec<u8>,
    pub(super) root: Node,
    /// The [`json::item_count`](crate::json::item_count) of the value.
    pub(super) items: u64,
}

/// A row and the rows below it, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its order key, once it is stored.
    pub(super) order: u64,
    /// The range of its text in the text of the document.
    pub(super) row: Range<usize>,
    /// Empty unless the row is a container whose elements have rows of their own.
    pub(super) children: Vec<Node>,
}

/// Makes a layout of the pieces of a value.
#[derive(Debug, Default)]
pub(super) struct Printer {
    text: Vec<u8>,
    /// The incomplete containers, the outermost first.
    open: Vec<Open>,
    /// The start of the row of the member whose value comes next.
    named: Option<usize>,
    root: Option<Element>,
    items: u64,
    /// Empty lists for reuse.
    spare: Vec<Vec<Element>>,
}

/// An incomplete container.
#[derive(Debug)]
struct Open {
    container: Container,
    /// The start of its row, and of its bracket.
    start: usize,
    bracket: usize,
    count: usize,
    /// Whether any element of it is not a container.
    scalars: bool,
    /// The elements so far.
    elements: Vec<Element>,
}

/// A piece that may become a row.
#[derive(Debug)]
struct Element {
    start: usize,
    /// The end of its text, and the end of its row when it is split.
    end: usize,
    row_end: usize,
    /// Whether it would be split even if it were not a table.
    long: bool,
    /// Empty unless it is split.
    elements: Vec<Element>,
}

impl Layout {
    /// The text of a row. The text of the document's own row comes after its count.
    pub(super) fn text(&self, node: &Node) -> &[u8] {
        self.text.get(node.row.clone()).unwrap_or_default()
    }
}

impl Printer {
    /// A printer for a text of about that length.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// The text printed so far.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// A second printer, for the elements from number `before` on of the container that has just begun.
    pub(super) fn fork(&self, before: usize) -> Self {
        let mut open: Vec<_> = self.open.iter().map(Open::without_elements).collect();
        if let Some(last) = open.last_mut() {
            last.count = before;
        }
        Self { open, ..Self::default() }
    }

    /// Appends the elements of a [`fork`](Self::fork). Returns its text.
    pub(super) fn join(&mut self, mut later: Self) -> Vec<u8> {
        let by = self.text.len();
        if let (Some(open), Some(mut more)) = (self.open.last_mut(), later.open.pop()) {
            more.elements.iter_mut().for_each(|element| element.shift(by));
            open.elements.append(&mut more.elements);
            open.count = more.count;
            open.scalars |= more.scalars;
        }
        self.items += later.items;
        self.text.extend_from_slice(&later.text);
        later.text
    }

    /// The layout, once the value is complete.
    pub(super) fn into_layout(self) -> Layout {
        let whole = Element::scalar(0, self.text.len());
        let root = node(self.root.unwrap_or(whole));
        Layout { text: self.text, root, items: self.items }
    }

    /// Begins a value. Returns the start of its row.
    fn begin(&mut self) -> usize {
        if let Some(start) = self.named.take() {
            return start;
        }
        self.separate();
        self.text.len()
    }

    /// Writes a comma between elements.
    fn separate(&mut self) {
        if self.open.last().is_some_and(|open| open.count > 0) {
            self.text.push(b',');
        }
    }

    /// Ends a value.
    fn end(&mut self, element: Element, scalar: bool) {
        let depth = self.open.len();
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(element);
            return;
        };
        parent.count += 1;
        parent.scalars |= scalar;
        if depth <= SPLIT_DEPTH {
            parent.elements.push(element);
        }
    }

    /// Whether a complete container is a table: it contains only containers, and is near the top.
    ///
    /// If a container around it gets too many elements later, [`Element::is_no_table`] reverts this.
    fn is_table(&self, open: &Open) -> bool {
        let among_sections = self.open.iter().all(|around| around.count < SECTIONS);
        self.open.len() <= TABLE_DEPTH && !open.scalars && among_sections
    }
}

impl Pieces for Printer {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        let start = self.begin();
        match scalar {
            Scalar::Null => self.text.extend_from_slice(b"null"),
            Scalar::Flag(true) => self.text.extend_from_slice(b"true"),
            Scalar::Flag(false) => self.text.extend_from_slice(b"false"),
            Scalar::Number(number) => self.text.extend_from_slice(number.as_bytes()),
            Scalar::Text(text) => write_string(&mut self.text, text),
        }
        self.end(Element::scalar(start, self.text.len()), true);
    }

    fn open(&mut self, container: Container) {
        let start = self.begin();
        let bracket = self.text.len();
        self.text.push(container.brackets()[0]);
        let elements = self.spare.pop().unwrap_or_default();
        self.open.push(Open { container, start, bracket, count: 0, scalars: false, elements });
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.named = Some(self.text.len());
        write_string(&mut self.text, name);
        self.text.push(b':');
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.pop() else { return };
        let depth = self.open.len();
        self.text.push(open.container.brackets()[1]);
        let outer = self.open.first().map(|outer| outer.container);
        if depth == 0 && open.container == Container::Array || depth == 1 && outer == Some(Container::Object) {
            self.items += open.count as u64;
        }
        if depth < TABLE_DEPTH && open.count > SECTIONS {
            open.elements.iter_mut().take(SECTIONS).for_each(|element| element.is_no_table(depth + 1));
        }
        let long = depth == 0 || is_long(self.text.len() - open.bracket, open.count);
        let split = long || self.is_table(&open) || open.elements.iter().any(Element::is_split);
        let mut element = Element { long, ..Element::scalar(open.start, self.text.len()) };
        if split && open.count > 0 && depth < SPLIT_DEPTH {
            element.row_end = open.bracket + 1;
            element.elements = open.elements;
        } else {
            open.elements.clear();
            self.spare.push(open.elements);
        }
        self.end(element, false);
    }
}

impl Open {
    fn without_elements(&self) -> Self {
        Self { elements: Vec::new(), ..*self }
    }
}

impl Element {
    /// An element without elements.
    fn scalar(start: usize, end: usize) -> Self {
        Self { start, end, row_end: end, long: false, elements: Vec::new() }
    }

    /// Moves its range in the text, and the ranges below.
    fn shift(&mut self, by: usize) {
        (self.start, self.end, self.row_end) = (self.start + by, self.end + by, self.row_end + by);
        self.elements.iter_mut().for_each(|element| element.shift(by));
    }

    fn is_split(&self) -> bool {
        !self.elements.is_empty()
    }

    /// Reverts the splits of tables, here and below.
    fn is_no_table(&mut self, depth: usize) {
        if depth < TABLE_DEPTH {
            self.elements.iter_mut().for_each(|element| element.is_no_table(depth + 1));
        }
        if !self.long && !self.elements.iter().any(Self::is_split) {
            self.row_end = self.end;
            self.elements.clear();
        }
    }
}

fn is_long(length: usize, count: usize) -> bool {
    length > LONG_OF_SMALL || (length > LONG && length / count.max(1) >= SMALL)
}

/// An element as it will be stored, and the elements below it.
fn node(element: Element) -> Node {
    let children = element.elements.into_iter().map(node).collect();
    Node { order: 0, row: element.start..element.row_end, children }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json;

    fn layout(value: &Value) -> Layout {
        let mut printer = Printer::default();
        json::take_apart(value, &mut printer).unwrap();
        printer.into_layout()
    }

    /// Every row's text.
    fn rows(value: &Value) -> Vec<String> {
        fn collect(layout: &Layout, node: &Node, rows: &mut Vec<String>) {
            rows.push(String::from_utf8(layout.text[node.row.clone()].to_vec()).unwrap());
            node.children.iter().for_each(|child| collect(layout, child, rows));
        }
        let layout = layout(value);
        assert_eq!(String::from_utf8(layout.text.clone()).unwrap(), value.to_string());
        assert_eq!(layout.items, json::item_count(value));
        let mut rows = Vec::new();
        collect(&layout, &layout.root, &mut rows);
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
    fn a_table_among_many_is_none_wherever_it_stands() {
        let table = json!({"x": {"a": 1}, "y": {"b": 2}});
        let among = |count: usize, place: usize| {
            let member =
                |at: usize| (at.to_string(), if at == place { json!({ "t": table }) } else { json!({"n": at}) });
            rows(&(0..count).map(member).collect::<serde_json::Map<_, _>>().into()).len()
        };
        for place in [0, 7, 15] {
            assert_eq!((among(16, place), among(17, place)), (1 + 16 + 1 + 2, 1 + 17));
        }
        let long = json!({"t": {"x": {"a": "x".repeat(9_000)}, "y": {"b": 2}}});
        let members = |at: usize| (at.to_string(), if at == 3 { long.clone() } else { json!({"n": at}) });
        let many = (0..17).map(members).collect::<serde_json::Map<_, _>>();
        assert_eq!(rows(&many.into()).len(), 1 + 17 + 1 + 2 + 1);
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
    fn an_empty_container_and_a_scalar_are_one_row() {
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
