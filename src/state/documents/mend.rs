//! Documents of which rows were lost, put together from those that are left.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::rows::{self, ORDER};
use super::{DocumentId, put};
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::CollectionId;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::json::{self, MAX_DEPTH};

/// The name of a member whose own is lost.
const NAMELESS: &str = "recovered";

/// Puts right what [`check_documents`](super::check_documents) would report, after rows were lost or went back to earlier
/// versions; says what became of each document that it changed.
///
/// Every element that is left is kept: a container whose row is lost is made of what lies in it, and what has lost its name
/// is called `recovered`.
///
/// # Errors
///
/// `NewerFormat` when a newer version wrote a document.
pub(crate) fn mend_documents(tx: &mut WriteTx<'_>) -> Result<Vec<String>> {
    let mut strays = Vec::new();
    tx.each(CollectionId::DOCUMENTS, KeyRange::all(), &mut |key, _| {
        strays.extend(rows::split_key(key).is_err().then(|| key.to_vec()));
        Ok(())
    })?;
    let mut notes = Vec::new();
    for key in strays {
        tx.remove(CollectionId::DOCUMENTS, &key)?;
        notes.push(format!("a row of documents was of none, and is gone: key={}", key.escape_ascii()));
    }
    for id in tx.documents().list().collect::<Result<Vec<_>>>()? {
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
    let value = root.value(&text, 0);
    put::remove(tx, id)?;
    if let Some(value) = value {
        tx.documents().put(id.kind(), id.source(), &value)?;
    }
    Ok(format!(
        "a document was put together from what is left of it; a point may have it whole: \
         document={id} rows={left} of={says}"
    ))
}

/// A row, if it is there, and those below it by their order keys.
#[derive(Default)]
struct Left {
    payload: Option<Vec<u8>>,
    below: BTreeMap<u64, Left>,
}

impl Left {
    /// Puts a row in its place below this one.
    fn keep(&mut self, path: &[u8], payload: &[u8]) {
        let (orders, _) = path.as_chunks::<ORDER>();
        if orders.len() <= MAX_DEPTH {
            let place = orders.iter().fold(self, |at, order| at.below.entry(u64::from_be_bytes(*order)).or_default());
            place.payload = Some(payload.to_vec());
        }
    }

    /// The element, whose text is `text`, `depth` levels in; none when nothing of it can be read.
    fn value(&self, text: &[u8], depth: usize) -> Option<Value> {
        match text {
            b"{" if self.below.is_empty() => json::parse_inside(b"{}", depth).ok(),
            b"[" if self.below.is_empty() => json::parse_inside(b"[]", depth).ok(),
            b"{" => Some(self.object(depth)),
            b"[" => Some(self.array(depth)),
            _ if self.below.is_empty() => json::parse_inside(text, depth).ok(),
            _ if self.below.values().all(|child| child.name().is_some()) => Some(self.object(depth)),
            _ => Some(self.array(depth)),
        }
    }

    fn object(&self, depth: usize) -> Value {
        let mut members = Map::new();
        for child in self.below.values() {
            let mut name = child.name().unwrap_or_else(|| NAMELESS.into());
            while members.contains_key(&name) {
                name.push('+');
            }
            members.extend(child.value(child.text(), depth + 1).map(|value| (name, value)));
        }
        Value::Object(members)
    }

    fn array(&self, depth: usize) -> Value {
        self.below.values().filter_map(|child| child.value(child.text(), depth + 1)).collect()
    }

    fn name(&self) -> Option<String> {
        json::split_member(self.payload.as_deref()?).ok().map(|(name, _)| name)
    }

    /// What stands in the row behind a name.
    fn text(&self) -> &[u8] {
        let payload = self.payload.as_deref().unwrap_or_default();
        json::split_member(payload).map_or(payload, |(_, text)| text)
    }
}
