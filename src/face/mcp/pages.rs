//! Answers that stay short: pages of few items with short values.

use serde_json::{Value, json};

use crate::face::mcp::call::{Call, view_at};
use crate::face::mcp::tool::Outcome;
use crate::face::wire::field::{Field, FieldType, optional};
use crate::face::wire::fields::Fields;
use crate::face::wire::shorten::shorten_fields;
use crate::{Error, Page, Result, Selector, View};

/// The number of items of a page unless the call says otherwise, and at most.
const ITEMS: usize = 20;
const MOST_ITEMS: usize = 100;
/// The length of a page as JSON. A page of one item may be longer, by its other fields.
const PAGE_BYTES: usize = 32 << 10;
/// The length of a value in a list, and on its own.
pub(super) const IN_LIST: usize = 500;
pub(super) const ON_ITS_OWN: usize = 64 << 10;

/// The arguments of every list.
pub(super) const LIMIT: Field = optional("limit", FieldType::Number, "maximum number; 20 unless set, at most 100");
pub(super) const CURSOR: Field = optional("cursor", FieldType::Text, "next of the previous page, to go on behind it");
/// The argument of every read of versioned state.
pub(super) const AT: Field = optional(
    "at",
    FieldType::Text,
    "read as of this restore point: an id, latest, latest~3, a time, or '10m ago'; now unless set",
);

/// The part of a list that a call asks for.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    pub(super) at: Selector,
}

/// Items, and the cursor of the next page.
pub(super) type Items = (Vec<Value>, Option<String>);

impl Part {
    pub(super) fn of(fields: &mut Fields) -> Result<Self> {
        let limit = fields.number("limit")?.map_or(ITEMS, |limit| usize::try_from(limit).unwrap_or(MOST_ITEMS));
        if limit == 0 {
            return Err(Error::invalid("a page has at least one item: limit=0"));
        }
        let at = fields.parsed("at")?.unwrap_or(Selector::Now);
        Ok(Self { limit: limit.min(MOST_ITEMS), cursor: fields.text("cursor")?, at })
    }

    /// The cursor, of a list in which it is a number.
    pub(super) fn number(&self) -> Result<Option<u64>> {
        let wrong = |cursor: &String| {
            Error::invalid(format!("a cursor must come from the previous page: cursor={}", cursor.escape_debug()))
        };
        self.cursor.as_ref().map(|cursor| cursor.parse().map_err(|_| wrong(cursor))).transpose()
    }

    /// The page of numbered items, whose cursor is a number.
    pub(super) fn numbered(&self, newest_first: bool, limit: usize) -> Result<Page> {
        Ok(match (newest_first, self.number()?) {
            (true, None) => Page::newest(limit),
            (true, Some(cursor)) => Page::newest(limit).before(cursor),
            (false, None) => Page::oldest(limit),
            (false, Some(cursor)) => Page::oldest(limit).after(cursor),
        })
    }
}

/// A page of a list as of the point that the call names. `read` gives at most a number of items; it is asked for
/// fewer until the answer is short.
pub(super) async fn list(
    call: &Call,
    name: &'static str,
    part: Part,
    short: &'static [&'static str],
    read: impl Fn(&View, &Part, usize) -> Result<Items> + Send + 'static,
) -> Outcome {
    call.look_through(move |store| {
        let view = view_at(store, &part.at)?;
        fitting(part.limit, |limit| {
            let (mut items, next) = read(&view, &part, limit)?;
            items.iter_mut().for_each(|item| shorten_fields(item, short, IN_LIST));
            let mut answer = json!({ name: items, "next": next });
            if let Some(lost) = view.lost_of(collection_of(name))? {
                answer["partial"] = true.into();
                answer["lost"] = lost.into();
            }
            Ok(answer)
        })
    })
    .await
}

/// The collection that a list is of.
fn collection_of(list: &'static str) -> &'static str {
    match list {
        "bots" => "registry",
        "messages" => "chat",
        "tasks" => "queue",
        own => own,
    }
}

/// An answer of as many items as fit.
pub(super) fn fitting(mut limit: usize, make: impl Fn(usize) -> Result<Value>) -> Result<Value> {
    loop {
        let answer = make(limit)?;
        if limit <= 1 || answer.to_string().len() <= PAGE_BYTES {
            return Ok(answer);
        }
        limit /= 2;
    }
}

/// A value as JSON.
pub(super) fn value(item: impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(item).map_err(|source| Error::invalid("an item cannot be shown as JSON").with_source(source))
}
