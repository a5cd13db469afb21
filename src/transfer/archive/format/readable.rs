//! The readable form of a collection: for a small one the JSON that `get KIND --json` prints, for a large one a line
//! for each record. Heartbeats do not belong to a point, so no bot has one here.

use serde::Serialize;
use serde_json::{Map, Value};

use super::layout::Stem;
use super::line;
use crate::engine::codec;
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::json;
use crate::state::assignments::Assignment;
use crate::state::chat::Message;
use crate::state::documents::{DocumentId, document_of};
use crate::state::queue::Task;
use crate::state::registry::Bot;

/// The readable form of one collection in progress.
pub(in crate::transfer::archive) struct Readable {
    collection: CollectionId,
    /// The whole of a small collection.
    whole: Option<Value>,
    /// The lines of the present part of a large collection.
    lines: Vec<u8>,
    parts: u32,
    /// The document of the last row. A document is written once.
    document: Option<DocumentId>,
}

impl Readable {
    pub(in crate::transfer::archive) fn new(collection: CollectionId, whole: bool) -> Self {
        let empty = if collection == CollectionId::CHAT { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        Self { collection, whole: whole.then_some(empty), lines: Vec::new(), parts: 0, document: None }
    }

    /// Adds a record, in the order of keys.
    ///
    /// # Errors
    ///
    /// `Damaged` when it cannot be one of its collection.
    pub(in crate::transfer::archive) fn push(&mut self, view: &View, key: &[u8], payload: &[u8]) -> Result<()> {
        match self.collection {
            CollectionId::REGISTRY => {
                let bot: Bot = codec::decode(payload)?;
                self.keyed(bot.id.as_str(), &bot)
            }
            CollectionId::QUEUE => {
                let task = Task::from_record(key, payload)?;
                self.keyed(task.id.as_str(), &task)
            }
            CollectionId::ASSIGNMENTS => self.assignment(&codec::decode(payload)?),
            CollectionId::CHAT => self.message(&codec::decode(payload)?),
            CollectionId::DOCUMENTS => self.document(view, key),
            _ => self.value(key, payload),
        }
    }

    /// The length of the present part.
    pub(in crate::transfer::archive) fn part_len(&self) -> usize {
        self.lines.len()
    }

    /// The present part, with its name.
    pub(in crate::transfer::archive) fn take_part(&mut self, stem: &Stem) -> Option<(String, Vec<u8>)> {
        if self.lines.is_empty() {
            return None;
        }
        self.parts += 1;
        Some((stem.lines(self.parts), std::mem::take(&mut self.lines)))
    }

    /// The one file of a small collection, with its name.
    pub(in crate::transfer::archive) fn take_whole(&mut self, stem: &Stem) -> Result<Option<(String, Vec<u8>)>> {
        let Some(whole) = self.whole.take() else { return Ok(None) };
        let mut text = serde_json::to_vec_pretty(&whole).map_err(cannot_be_shown)?;
        text.push(b'\n');
        Ok(Some((stem.whole(), text)))
    }

    /// Writes a record that contains its key.
    fn keyed(&mut self, key: &str, record: &impl Serialize) -> Result<()> {
        match &mut self.whole {
            Some(whole) => insert(whole, key, to_value(record)?),
            None => self.line(record)?,
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<()> {
        match &mut self.whole {
            Some(Value::Array(messages)) => messages.push(to_value(message)?),
            Some(_) => {}
            None => self.line(message)?,
        }
        Ok(())
    }

    /// Writes a list of tasks for each bot, in a small collection.
    fn assignment(&mut self, assignment: &Assignment) -> Result<()> {
        let Some(whole) = &mut self.whole else { return self.line(assignment) };
        let task = to_value(&assignment.task)?;
        match whole.get_mut(assignment.bot.as_str()) {
            Some(Value::Array(tasks)) => tasks.push(task),
            _ => insert(whole, assignment.bot.as_str(), Value::Array(vec![task])),
        }
        Ok(())
    }

    /// Writes a record that is JSON.
    fn value(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        let key = str::from_utf8(key).map_err(|source| {
            Error::damaged(format!("a key is not text: key={}", key.escape_ascii())).with_source(source)
        })?;
        if let Some(whole) = &mut self.whole {
            insert(whole, key, json::parse(payload)?);
            return Ok(());
        }
        line::write(&mut self.lines, key, payload)
    }

    /// Writes a whole document, at the first of its rows.
    fn document(&mut self, view: &View, key: &[u8]) -> Result<()> {
        let id = document_of(key)?;
        if self.document.as_ref() == Some(&id) {
            return Ok(());
        }
        let missing = || Error::damaged(format!("a document is incomplete; check the store: id={id}"));
        let document = view.documents().get(id.kind(), id.source())?;
        let document = document.ok_or_else(|| missing().with_hint(Hint::CheckStore))?;
        match &mut self.whole {
            Some(whole) => insert(whole, &id.to_string(), document),
            None => line::write(&mut self.lines, &id.to_string(), document.to_string().as_bytes())?,
        }
        self.document = Some(id);
        Ok(())
    }

    fn line(&mut self, record: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.lines, record).map_err(cannot_be_shown)?;
        self.lines.push(b'\n');
        Ok(())
    }
}

fn insert(whole: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = whole {
        members.insert(key.to_owned(), value);
    }
}

fn to_value(record: &impl Serialize) -> Result<Value> {
    serde_json::to_value(record).map_err(cannot_be_shown)
}

fn cannot_be_shown(source: serde_json::Error) -> Error {
    Error::damaged("a record cannot be shown as JSON").with_source(source)
}
