//! The bytes of a document: keys, payloads, and their tree.

use std::ops::Range;

use serde_json::{Map, Value};

use super::id::DocumentId;
use super::layout::{Layout, Node};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, MAX_DEPTH};
use crate::limits::SOURCE_BYTES as MAX_NAME;

/// The first byte of the document's own row: the version of all its rows.
pub(super) const VERSION: u8 = 1;
/// The length of the number of rows below the document's own, which follows the version in little-endian. A row that
/// page damage has made unreachable reads as absent; then this number differs.
const COUNT: usize = 8;
/// The end of kind and source. A zero byte within them is written as [`ZERO`].
const END: [u8; 2] = [0, 0];
const ZERO: [u8; 2] = [0, 0xff];
/// The length of an order key.
pub(super) const ORDER: usize = 8;

impl DocumentId {
    /// The prefix of the keys of its rows. It is unique to the document.
    pub(crate) fn to_key(&self) -> Vec<u8> {
        key(self)
    }

    /// The document that a row belongs to.
    #[cfg(feature = "replica")]
    pub(crate) fn of_row(key: &[u8]) -> Result<Self> {
        split_key(key).map(|(id, _)| id)
    }
}

/// The key of a document's own row, which is the prefix of all its rows: kind and source, each with its end. No such
/// key is a prefix of another one. They sort by kind, then source.
pub(super) fn key(id: &DocumentId) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.kind.len() + id.source.len() + 2 * END.len());
    for text in [&id.kind, &id.source] {
        for byte in text.bytes() {
            if byte == 0 { key.extend(ZERO) } else { key.push(byte) }
        }
        key.extend(END);
    }
    key
}

/// The document of a row, and the row's path in it.
///
/// # Errors
///
/// `Damaged` when it is not the key of a document.
pub(super) fn split_key(key: &[u8]) -> Result<(DocumentId, &[u8])> {
    let parts = split_text(key).and_then(|(kind, rest)| split_text(rest).map(|(source, path)| (kind, source, path)));
    match parts {
        Some((kind, source, path))
            if path.len() % ORDER == 0 && [&kind, &source].into_iter().all(|text| text.len() <= MAX_NAME) =>
        {
            Ok((DocumentId { kind, source }, path))
        }
        _ => Err(Error::damaged(format!("a row of documents has no such key: key={}", key.escape_ascii()))),
    }
}

fn split_text(key: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::new();
    let mut rest = key;
    loop {
        let (first, behind) = rest.split_first()?;
        if *first != 0 {
            text.push(*first);
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(&ZERO) {
            text.push(0);
            rest = behind;
        } else {
            return Some((String::from_utf8(text).ok()?, rest.strip_prefix(&END)?));
        }
    }
}

/// The keys of a row's ancestors, from the document's own row to the row itself.
pub(super) fn ancestry<'a>(key: &'a [u8], path: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    (key.len() - path.len()..=key.len()).step_by(ORDER).map_while(|end| key.get(..end))
}

/// The order key at the end of a row's key.
pub(super) fn order_of(key: &[u8]) -> u64 {
    key.last_chunk::<ORDER>().map(|order| u64::from_be_bytes(*order)).unwrap_or_default()
}

/// The kind of a row, by its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The row contains the whole element.
    Whole,
    /// The elements of the array are the rows below.
    Array,
    /// The members of the object are the rows below.
    Object,
}

impl Shape {
    /// No JSON text ends in an opening bracket.
    pub(super) fn of(payload: &[u8]) -> Self {
        match payload.last() {
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            _ => Self::Whole,
        }
    }
}

/// The payload of a document's own row.
pub(super) fn own_row(count: u64, text: &[u8]) -> Vec<u8> {
    [&[VERSION][..], &count.to_le_bytes(), text].concat()
}

/// The number of rows below a document's own row, and its text; none when it is not such a row.
pub(super) fn split_own_row(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (count, text) = payload.strip_prefix(&[VERSION])?.split_first_chunk::<COUNT>()?;
    Some((u64::from_le_bytes(*count), text))
}

/// The stored rows of a document: their texts, and their tree.
#[derive(Debug)]
pub(super) struct Stored<'l> {
    /// A text that already contains most of them, such as the text of a new document. The texts that it lacks follow it
    /// in `text`, as if the two were one.
    known: &'l [u8],
    text: Vec<u8>,
    pub(super) root: Node,
    /// The stated number of rows below the document's own, which is also the actual one.
    pub(super) count: u64,
}

/// Reads the rows of a document, or none when there is no such document. Rows that a layout has in the same place are
/// not copied, because most rows do not change between two backups.
///
/// # Errors
///
/// `Damaged` when they are not a complete tree.
pub(super) fn read<'l, R: Records>(
    records: &R,
    id: &DocumentId,
    known: Option<&'l Layout>,
) -> Result<Option<Stored<'l>>> {
    let known = known.map(|layout| Known { text: &layout.text, rest: vec![layout.root.children.iter()] });
    let mut reading = Reading::new(id, known.unwrap_or_default());
    records.each(CollectionId::DOCUMENTS, KeyRange::prefix(&key(id)), &mut |key, payload| reading.row(key, payload))?;
    reading.finish()
}

/// The same for a document whose value takes at most this much memory: its text, and
/// [`json::SCALAR_BYTES`] for each value in it.
///
/// # Errors
///
/// `Invalid` when it takes more, and as [`read`].
#[cfg(feature = "http")]
pub(super) fn read_within<R: Records>(records: &R, id: &DocumentId, most: usize) -> Result<Option<Stored<'static>>> {
    let (mut reading, mut taken) = (Reading::new(id, Known::default()), 0_usize);
    records.each(CollectionId::DOCUMENTS, KeyRange::prefix(&key(id)), &mut |key, payload| {
        // Each value but a row follows one of these characters.
        let values = 1 + payload.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        taken = taken.saturating_add(payload.len()).saturating_add(values.saturating_mul(json::SCALAR_BYTES));
        if taken > most {
            let message = "the document is too long to be shown by a service; read it from the file of the store";
            return Err(Error::invalid(format!("{message}: document={id} max_bytes={most}")));
        }
        reading.row(key, payload)
    })?;
    reading.finish()
}

/// Refuses rows of an unknown version.
fn check_version(id: &DocumentId, payload: &[u8]) -> Result<()> {
    match payload.first() {
        Some(version) if *version > VERSION => Err(Error::new(
            ErrorKind::NewerFormat,
            format!("a newer version wrote a document; use that version: document={id} version={version}"),
        )),
        Some(&VERSION) => Ok(()),
        _ => Err(misfit(id)),
    }
}

/// The rows below a document's own in a known text, in the order in which they are stored.
#[derive(Default)]
struct Known<'l> {
    text: &'l [u8],
    rest: Vec<std::slice::Iter<'l, Node>>,
}

impl<'l> Known<'l> {
    /// The range of the next row.
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            match self.rest.last_mut()?.next() {
                Some(node) => {
                    self.rest.push(node.children.iter());
                    return Some(node.row.clone());
                }
                None => drop(self.rest.pop()),
            }
        }
    }
}

/// Builds the tree from the rows.
struct Reading<'a, 'l> {
    id: &'a DocumentId,
    key: Vec<u8>,
    known: Known<'l>,
    stored: Option<Stored<'l>>,
    /// The number of rows below the document's own so far.
    found: u64,
    /// The last row and its ancestors, without the document's own.
    path: Vec<Node>,
}

impl<'a, 'l> Reading<'a, 'l> {
    fn new(id: &'a DocumentId, known: Known<'l>) -> Self {
        Self { id, key: key(id), known, stored: None, found: 0, path: Vec::new() }
    }

    /// Adds the next row.
    fn row(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        let Some(stored) = &mut self.stored else {
            return self.own_row(key, payload);
        };
        let path = key.get(self.key.len()..).unwrap_or_default();
        let depth = path.len() / ORDER;
        let orders = path.as_chunks::<ORDER>();
        let parents = orders.0.iter().take(depth.saturating_sub(1)).map(|order| u64::from_be_bytes(*order));
        let fits = orders.1.is_empty() && (1..=MAX_DEPTH).contains(&depth) && depth <= self.path.len() + 1;
        if !fits || !parents.eq(self.path.iter().take(depth - 1).map(|node| node.order)) {
            return Err(misfit(self.id));
        }
        let known = self.known.next().filter(|row| self.known.text.get(row.clone()) == Some(payload));
        let row = known.unwrap_or_else(|| stored.keep(payload));
        self.up(depth - 1);
        self.path.push(Node { order: order_of(key), row, children: Vec::new() });
        self.found += 1;
        Ok(())
    }

    fn own_row(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        if key != self.key {
            return Err(misfit(self.id));
        }
        check_version(self.id, payload)?;
        let (count, text) = split_own_row(payload).ok_or_else(|| misfit(self.id))?;
        let root = Node { order: 0, row: 0..0, children: Vec::new() };
        let mut stored = Stored { known: self.known.text, text: Vec::new(), root, count };
        stored.root.row = stored.keep(text);
        self.stored = Some(stored);
        Ok(())
    }

    /// Adds the nodes of the path below `depth` to their parents, because they are complete.
    fn up(&mut self, depth: usize) {
        while self.path.len() > depth
            && let (Some(node), Some(stored)) = (self.path.pop(), &mut self.stored)
        {
            self.path.last_mut().unwrap_or(&mut stored.root).children.push(node);
        }
    }

    fn finish(mut self) -> Result<Option<Stored<'l>>> {
        self.up(0);
        match self.stored {
            Some(stored) if self.found != stored.count || !stored.is_sound(&stored.root) => Err(misfit(self.id)),
            stored => Ok(stored),
        }
    }
}

/// The error for rows that are sound but do not fit together.
pub(super) fn misfit(id: &DocumentId) -> Error {
    Error::damaged(format!(
        "the records of a document do not fit together; restore it, or remove it and put it again: document={id}"
    ))
}

/// The name at the start of a member's text, with its quotes. The same name is always written in the same way.
pub(super) fn written_name(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    text.get(..end.map_or(0, |end| end + 2)).unwrap_or_default()
}

impl Stored<'_> {
    /// The text of a row.
    pub(super) fn text(&self, node: &Node) -> &[u8] {
        let Range { start, end } = node.row;
        let known = self.known.len();
        let text = if start < known { self.known.get(start..end) } else { self.text.get(start - known..end - known) };
        text.unwrap_or_default()
    }

    /// Adds an unknown text.
    fn keep(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.known.len() + self.text.len();
        self.text.extend_from_slice(text);
        start..start + text.len()
    }

    /// Whether a row has rows below it exactly if it should, here and everywhere below.
    fn is_sound(&self, node: &Node) -> bool {
        (Shape::of(self.text(node)) == Shape::Whole) == node.children.is_empty()
            && node.children.iter().all(|child| self.is_sound(child))
    }

    /// The value of the document.
    pub(super) fn to_document(&self) -> Result<Value> {
        self.value(self.text(&self.root), &self.root, 0)
    }

    /// The value of an element at `depth`, from its text and the rows below it.
    fn value(&self, text: &[u8], node: &Node, depth: usize) -> Result<Value> {
        match text {
            b"[" => node.children.iter().map(|child| self.value(self.text(child), child, depth + 1)).collect(),
            b"{" => {
                let mut members = Map::with_capacity(node.children.len());
                for child in &node.children {
                    let (name, text) = json::split_member(self.text(child))?;
                    if members.insert(name, self.value(text, child, depth + 1)?).is_some() {
                        return Err(Error::damaged("two members of a document have the same name"));
                    }
                }
                Ok(Value::Object(members))
            }
            _ => json::parse_inside(text, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::documents::Prepared;
    use crate::testkit::checked_store::Fixture;

    fn id(kind: &str, source: &str) -> DocumentId {
        DocumentId::new(kind, source).unwrap()
    }

    #[test]
    fn the_key_of_a_document_is_fixed_and_reads_back() {
        assert_eq!(key(&id("queue", "bot")), b"queue\0\0bot\0\0");
        assert_eq!(key(&id("a\0", "")), b"a\0\xff\0\0\0\0");
        let row = [&key(&id("a\0b", "é"))[..], &7u64.to_be_bytes()].concat();
        let (read, path) = split_key(&row).unwrap();
        assert_eq!((read, path), (id("a\0b", "é"), &7u64.to_be_bytes()[..]));
        assert_eq!(ancestry(&row, path).map(<[u8]>::len).collect::<Vec<_>>(), [row.len() - 8, row.len()]);
        assert_eq!(order_of(&row), 7);
    }

    #[test]
    fn the_name_of_a_member_is_found_as_it_is_written() {
        for (text, name) in [
            (r#""a":1"#, r#""a""#),
            (r#""a\"b\\":"x""#, r#""a\"b\\""#),
            (r#""":[]"#, r#""""#),
            (r#""open"#, ""),
            ("", ""),
        ] {
            assert_eq!(written_name(text.as_bytes()), name.as_bytes(), "{text}");
        }
    }

    #[test]
    fn the_documents_own_row_reads_back_and_another_form_does_not() {
        let payload = own_row(3, b"{");
        assert_eq!(payload, b"\x01\x03\0\0\0\0\0\0\0{");
        assert_eq!(split_own_row(&payload), Some((3, &b"{"[..])));
        assert_eq!(split_own_row(&payload[..8]), None);
        assert_eq!(split_own_row(b""), None);
    }

    #[test]
    fn rows_that_are_known_are_not_copied_and_the_others_are_as_they_are_stored() {
        let fixture = Fixture::new();
        let document = |changed: usize, count: usize| {
            let task = |number| json!({"id": number, "title": "x".repeat(100), "done": number == changed});
            json!({"tasks": (0..count).map(task).collect::<Vec<_>>(), "version": 1})
        };
        let (was, id) = (document(7, 100), id("queue", "bot"));
        fixture.write(|tx| tx.documents().put("queue", "bot", &was));
        let (in_place, shorter) = (document(8, 100), document(7, 50));
        for (other, copied) in [(&was, 10), (&in_place, 500), (&shorter, 10_000), (&json!({}), 20_000)] {
            let other = Prepared::of_value(other).unwrap();
            let view = fixture.view();
            let stored = read(&view, &id, Some(other.layout())).unwrap().unwrap();
            assert!(stored.text.len() < copied, "{} bytes were copied", stored.text.len());
            assert_eq!(stored.to_document().unwrap(), was);
        }
    }

    #[test]
    fn no_key_is_the_prefix_of_another_and_they_sort_by_kind_then_source() {
        let texts = ["", "\0", "\0\0", "a", "a\0", "a\0\u{1}", "aa", "b", "\u{ff}"];
        let ids: Vec<_> = texts.iter().flat_map(|kind| texts.map(|source| id(kind, source))).collect();
        for (a, b) in ids.iter().zip(ids.iter().skip(1)) {
            assert!(key(a) < key(b) && !key(b).starts_with(&key(a)), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_key_of_another_form_is_damage() {
        for key in [&b""[..], b"a", b"a\0\0", b"a\0\0b\0", b"a\0\0b\0\0\x01", b"a\0\x01b\0\0\0\0", b"\xff\0\0\0\0"] {
            assert_eq!(split_key(key).unwrap_err().kind(), ErrorKind::Damaged, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_key_with_a_kind_or_source_that_no_document_may_have_is_damage() {
        let (longest, longer) = ("k".repeat(MAX_NAME), "k".repeat(MAX_NAME + 1));
        let key_of = |kind: &str, source: &str| key(&DocumentId { kind: kind.into(), source: source.into() });
        assert!(split_key(&key_of(&longest, &longest)).is_ok());
        for key in [key_of(&longer, "s"), key_of("k", &longer)] {
            assert_eq!(split_key(&key).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }
}
