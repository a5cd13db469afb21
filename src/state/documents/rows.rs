//! The bytes of a document: keys, payloads, and the tree that they make. Encode beside decode.

use serde_json::{Map, Value};

use super::DocumentId;
use crate::engine::records::{KeyRange, Records, Row, scan};
use crate::engine::schema::CollectionId;
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, MAX_DEPTH};

/// The first byte of the document's own row: the version of all its rows.
pub(super) const VERSION: u8 = 1;
/// Behind kind and behind source. A zero byte within them is written as [`ZERO`].
const END: [u8; 2] = [0, 0];
const ZERO: [u8; 2] = [0, 0xff];
/// The bytes of an order key.
pub(super) const ORDER: usize = 8;

/// The key of a document's own row, and the prefix of all its rows: kind and source, each with its end. No such key is
/// the prefix of another, and they sort by kind, then source.
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

/// The document that a row is of, and the row's path in it.
///
/// # Errors
///
/// `Damaged` when the key is none of a document.
pub(super) fn split_key(key: &[u8]) -> Result<(DocumentId, &[u8])> {
    let parts = split_text(key).and_then(|(kind, rest)| split_text(rest).map(|(source, path)| (kind, source, path)));
    match parts {
        Some((kind, source, path)) if path.len() % ORDER == 0 => Ok((DocumentId { kind, source }, path)),
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

/// The keys of the rows on the way to a row, from the document's own to the row itself.
pub(super) fn ancestry<'a>(key: &'a [u8], path: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    (key.len() - path.len()..=key.len()).step_by(ORDER).map_while(|end| key.get(..end))
}

/// The order key at the end of a row's key.
pub(super) fn order_of(key: &[u8]) -> u64 {
    key.last_chunk::<ORDER>().map(|order| u64::from_be_bytes(*order)).unwrap_or_default()
}

/// A number that is equal for equal content, and rarely otherwise: enough for aligning, after which bytes are compared.
pub(super) fn fingerprint(payload: &[u8], below: impl Iterator<Item = u64>) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(payload);
    below.for_each(|fingerprint| hasher.update(&fingerprint.to_le_bytes()));
    u64::from(hasher.finalize()) << 32 | payload.len() as u64 & 0xffff_ffff
}

/// What a payload says of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The row has the whole element.
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

/// A row and the rows below it, in order.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its place among its siblings.
    pub(super) order: u64,
    pub(super) payload: Vec<u8>,
    pub(super) children: Vec<Stored>,
}

/// The rows of a document, or none when there is no such document.
///
/// # Errors
///
/// `Damaged` when they are no tree.
pub(super) fn read<R: Records>(records: &R, id: &DocumentId) -> Result<Option<Stored>> {
    let key = key(id);
    let mut rows = scan(records, CollectionId::DOCUMENTS, KeyRange::prefix(&key)).peekable();
    let Some((first, payload)) = rows.next().transpose()? else { return Ok(None) };
    if first != key {
        return Err(misfit(id));
    }
    check_version(id, &payload)?;
    let root = Stored { order: 0, payload, children: children_of(&key, 0, &mut rows)? };
    let all_taken = rows.next().transpose()?.is_none();
    if all_taken && root.is_sound() { Ok(Some(root)) } else { Err(misfit(id)) }
}

/// Rows of an unknown version are not touched.
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

/// Takes the rows one level below `parent`, each with the rows below it; leaves what belongs to none.
fn children_of<I>(parent: &[u8], depth: usize, rows: &mut std::iter::Peekable<I>) -> Result<Vec<Stored>>
where
    I: Iterator<Item = Result<Row>>,
{
    let mut children = Vec::new();
    let is_child = |key: &[u8]| depth < MAX_DEPTH && key.len() == parent.len() + ORDER && key.starts_with(parent);
    while let Some(row) = rows.next_if(|row| row.as_ref().map_or(true, |(key, _)| is_child(key))) {
        let (key, payload) = row?;
        let below = children_of(&key, depth + 1, rows)?;
        children.push(Stored { order: order_of(&key), payload, children: below });
    }
    Ok(children)
}

/// The error for rows that are each sound but make no document.
pub(super) fn misfit(id: &DocumentId) -> Error {
    Error::damaged(format!(
        "the records of a document do not fit together; restore it, or remove it and put it again: document={id}"
    ))
}

impl Stored {
    pub(super) fn shape(&self) -> Shape {
        Shape::of(&self.payload)
    }

    /// Of the row and everything below it.
    pub(super) fn fingerprint(&self) -> u64 {
        fingerprint(&self.payload, self.children.iter().map(Self::fingerprint))
    }

    /// The name of a member.
    pub(super) fn name(&self) -> Result<String> {
        json::split_member(&self.payload).map(|(name, _)| name)
    }

    /// Whether there are rows below exactly where there should be, here and everywhere below.
    fn is_sound(&self) -> bool {
        (self.shape() == Shape::Whole) == self.children.is_empty() && self.children.iter().all(Self::is_sound)
    }

    /// The value of a document, from its own row.
    pub(super) fn into_document(self) -> Result<Value> {
        value(self.payload.get(1..).unwrap_or_default(), self.children, 0)
    }
}

/// The value of an element, `depth` levels in, from its text and the rows below it.
fn value(text: &[u8], children: Vec<Stored>, depth: usize) -> Result<Value> {
    match text {
        b"[" => children.into_iter().map(|child| value(&child.payload, child.children, depth + 1)).collect(),
        b"{" => {
            let mut members = Map::with_capacity(children.len());
            for child in children {
                let (name, text) = json::split_member(&child.payload)?;
                if members.insert(name, value(text, child.children, depth + 1)?).is_some() {
                    return Err(Error::damaged("two members of a document have the same name"));
                }
            }
            Ok(Value::Object(members))
        }
        _ => json::parse_inside(text, depth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
