//! Reassembles documents that lost rows from the remaining ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::id::DocumentId;
use super::put;
use super::rows::{self, ORDER, Shape};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::json::{self, MAX_DEPTH};

/// The name of a member whose name is lost.
const NAMELESS: &str = "recovered";

/// Repairs everything that [`check_documents`](super::check_documents) would report, after rows were lost or went back
/// to earlier versions. Returns a message for each document that it changed.
///
/// Every remaining element is kept. A container whose row is lost is rebuilt from its elements, and an element that
/// lost its name is called `recovered`. If a row contains a whole element although there are rows below it, those rows
/// are used, and the message says so.
///
/// # Errors
///
/// `NewerFormat` when a newer version wrote a document.
pub(crate) fn mend_documents(tx: &mut WriteTx<'_>) -> Result<Vec<String>> {
    mend_documents_within(tx, &|_| true)
}

/// The same for documents, and for rows that belong to none, whose keys satisfy `within`.
///
/// # Errors
///
/// As [`mend_documents`].
pub(crate) fn mend_documents_within(tx: &mut WriteTx<'_>, within: &dyn Fn(&[u8]) -> bool) -> Result<Vec<String>> {
    let within = |key: &[u8]| within(&CollectionId::DOCUMENTS.row_key(key));
    let mut strays = Vec::new();
    tx.each(CollectionId::DOCUMENTS, KeyRange::all(), &mut |key, _| {
        strays.extend((rows::split_key(key).is_err() && within(key)).then(|| key.to_vec()));
        Ok(())
    })?;
    let mut notes = Vec::new();
    for key in strays {
        tx.remove(CollectionId::DOCUMENTS, &key)?;
        notes.push(format!("a row belonged to no document, and was removed: key={}", key.escape_ascii()));
    }
    let mut documents = tx.documents().list().collect::<Result<Vec<_>>>()?;
    documents.retain(|id| within(&rows::key(id)));
    for id in documents {
        match tx.documents().get(id.kind(), id.source()) {
            Err(error) if error.kind() == ErrorKind::Damaged => notes.push(mend(tx, &id)?),
            read => drop(read?),
        }
    }
    Ok(notes)
}

fn mend(tx: &mut WriteTx<'_>, id: &DocumentId) -> Result<String> {
    let own = rows::key(id);
    let (mut root, mut left) = (Left::default(), 0);
    tx.each(CollectionId::DOCUMENTS, KeyRange::prefix(&own), &mut |key, payload| {
        left += u64::from(key.len() > own.len());
        root.keep(key.get(own.len()..).unwrap_or_default(), payload);
        Ok(())
    })?;
    let (says, text) = match root.payload.as_deref().and_then(rows::split_own_row) {
        Some((says, text)) => (says.to_string(), text.to_vec()),
        None => ("unknown".into(), Vec::new()),
    };
    let (value, replaced) = (root.value(&text, 0), root.replaced(&text));
    put::remove(tx, id)?;
    if let Some(value) = value {
        tx.documents().put(id.kind(), id.source(), &value)?;
    }
    let mut note = format!(
        "a document was put together from what is left of it; a point may have it whole: \
         document={id} rows={left} of={says}"
    );
    if replaced > 0 {
        note.push_str(&format!(" earlier_values_dropped={replaced}"));
    }
    Ok(note)
}

/// A row, unless it is missing, and the rows below it by their order keys.
#[derive(Default)]
struct Left {
    payload: Option<Vec<u8>>,
    below: BTreeMap<u64, Left>,
}

impl Left {
    /// Adds a row below this one.
    fn keep(&mut self, path: &[u8], payload: &[u8]) {
        let (orders, _) = path.as_chunks::<ORDER>();
        if orders.len() <= MAX_DEPTH {
            let place = orders.iter().fold(self, |at, order| at.below.entry(u64::from_be_bytes(*order)).or_default());
            place.payload = Some(payload.to_vec());
        }
    }

    /// The element with that text at `depth`; none when nothing of it can be read.
    fn value(&self, text: &[u8], depth: usize) -> Option<Value> {
        match text {
            b"{" if self.below.is_empty() => json::parse_inside(b"{}", depth).ok(),
            b"[" if self.below.is_empty() => json::parse_inside(b"[]", depth).ok(),
            b"{" => Some(self.object(depth)),
            b"[" => Some(self.array(depth)),
            _ if self.below.is_empty() => json::parse_inside(text, depth).ok(),
            // No element of an array begins with a name and a colon, so one name proves an object.
            _ if self.below.values().any(|child| child.name().is_some()) => Some(self.object(depth)),
            _ => Some(self.array(depth)),
        }
    }

    fn object(&self, depth: usize) -> Value {
        let mut names = Names::new(self.below.values().filter_map(Left::name).collect());
        let members = self.below.values().filter_map(|child| {
            let value = child.value(child.text(), depth + 1)?;
            Some((names.next(child.name()), value))
        });
        Value::Object(members.collect())
    }

    fn array(&self, depth: usize) -> Value {
        self.below.values().filter_map(|child| child.value(child.text(), depth + 1)).collect()
    }

    fn name(&self) -> Option<String> {
        json::split_member(self.payload.as_deref()?).ok().map(|(name, _)| name)
    }

    /// The text of the row after its name.
    fn text(&self) -> &[u8] {
        let payload = self.payload.as_deref().unwrap_or_default();
        json::split_member(payload).map_or(payload, |(_, text)| text)
    }

    /// The number of elements that are not kept, here and below, because their row contains the whole
    /// element and there are rows below it.
    fn replaced(&self, text: &[u8]) -> u64 {
        let whole = !self.below.is_empty() && Shape::of(text) == Shape::Whole && json::check_inside(text, 0).is_ok();
        self.below.values().map(|child| child.replaced(child.text())).sum::<u64>() + u64::from(whole)
    }
}

/// The names of an object's members, each given once.
struct Names {
    /// The names that members still have.
    own: HashSet<String>,
    given: HashSet<String>,
    /// The last number that was appended to a name, so that the next one is found at once.
    numbers: HashMap<String, u64>,
}

impl Names {
    fn new(own: HashSet<String>) -> Self {
        Self { own, given: HashSet::new(), numbers: HashMap::new() }
    }

    /// The member's name if it is free, otherwise the name with a number.
    fn next(&mut self, own: Option<String>) -> String {
        if let Some(own) = &own
            && self.given.insert(own.clone())
        {
            return own.clone();
        }
        let name = own.unwrap_or_else(|| NAMELESS.into());
        let number = self.numbers.entry(name.clone()).or_default();
        loop {
            *number += 1;
            let numbered = if *number == 1 { name.clone() } else { format!("{name} {number}") };
            if !self.own.contains(&numbered) && self.given.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}
