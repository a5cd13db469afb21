//! Names the element of a row for people: `documents/registry/service/bots/BOT-222`.

use std::collections::HashMap;

use serde_json::Value;

use super::rows::{self, Shape};
use crate::engine::records::{KeyRange, Records, scan};
use crate::engine::schema::CollectionId;
use crate::error::Result;
use crate::json;

/// Names rows of a view or a transaction. Use one for many rows, because it reads the indices of
/// array elements once for each array.
pub(crate) struct RowNames<'r, R> {
    records: &'r R,
    /// The order keys of the elements of each array so far, by the array's key.
    elements: HashMap<Vec<u8>, Vec<u64>>,
}

impl<'r, R: Records> RowNames<'r, R> {
    /// Names rows that exist in `records`. For a removed row, pass the earlier of two views.
    pub(crate) fn new(records: &'r R) -> Self {
        Self { records, elements: HashMap::new() }
    }

    /// The path of a row of `documents`: kind, source, then names of members and indices of elements, in which `~` and
    /// `/` are written as in a JSON pointer.
    ///
    /// # Errors
    ///
    /// `Damaged` when the row or one of its ancestors is missing or wrong.
    pub(crate) fn name(&mut self, key: &[u8]) -> Result<String> {
        let (id, path) = rows::split_key(key)?;
        let mut name = format!("documents/{id}");
        let mut parent: Option<(&[u8], Shape)> = None;
        for key in rows::ancestry(key, path) {
            let payload = self.records.get(CollectionId::DOCUMENTS, key)?.ok_or_else(|| rows::misfit(&id))?;
            match parent {
                None => {}
                Some((_, Shape::Object)) => {
                    let (member, _) =
                        json::split_member(&payload).map_err(|error| rows::misfit(&id).with_source(error))?;
                    name = name + "/" + &json::escape_pointer(&member);
                }
                Some((array, Shape::Array)) => name = format!("{name}/{}", self.index(array, rows::order_of(key))?),
                Some((_, Shape::Whole)) => return Err(rows::misfit(&id)),
            }
            parent = Some((key, Shape::of(&payload)));
        }
        Ok(name)
    }

    /// The index of an element in its array.
    fn index(&mut self, array: &[u8], order: u64) -> Result<usize> {
        if !self.elements.contains_key(array) {
            let mut orders = Vec::new();
            for row in scan(self.records, CollectionId::DOCUMENTS, KeyRange::prefix(array)) {
                let (key, _) = row?;
                if key.len() == array.len() + rows::ORDER {
                    orders.push(rows::order_of(&key));
                }
            }
            self.elements.insert(array.to_vec(), orders);
        }
        let orders = self.elements.get(array).map(Vec::as_slice).unwrap_or_default();
        Ok(orders.partition_point(|other| *other < order))
    }
}

/// The document of a row, and whether the row is an element of it; none for bytes that are no such key.
pub(crate) fn document_in_words(key: &[u8]) -> Option<String> {
    let (id, path) = rows::split_key(key).ok()?;
    Some(if path.is_empty() { id.to_string() } else { format!("{id} (an element of it)") })
}

/// The value in a row of `documents`; none for a container whose elements have rows of their own.
///
/// # Errors
///
/// `Damaged` when it is not the payload of such a row.
pub(crate) fn row_value(key: &[u8], payload: &[u8]) -> Result<Option<Value>> {
    if Shape::of(payload) != Shape::Whole {
        return Ok(None);
    }
    let (id, path) = rows::split_key(key)?;
    let text = match path {
        [] => rows::split_own_row(payload).map_or(&b""[..], |(_, text)| text),
        _ => json::split_member(payload).map_or(payload, |(_, text)| text),
    };
    json::parse_inside(text, 0).map(Some).map_err(|error| rows::misfit(&id).with_source(error))
}
