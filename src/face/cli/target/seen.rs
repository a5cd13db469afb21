//! The state of a store, now or as of a point.

use std::time::Duration;

use serde_json::Value;

use crate::face::cli::target::either::{Items, Target, listed, refuse};
use crate::face::remote::{Ask, Client, Told};
use crate::{
    Assignment, AuditFilter, Bot, BotId, ChatFilter, ClaimOptions, DocumentId, Entry, Error, Message, Page, Point,
    Result, Selector, Task, TaskFilter, TaskId, Version, View, duration, show_time,
};

/// The number of tasks that are read at a time.
const TASKS_PER_READ: usize = 256;
/// The longest page of a service.
const LONGEST_PAGE: usize = 1_000;

/// The state that a verb reads.
#[expect(clippy::large_enum_variant, reason = "a run of the program has one")]
pub(in crate::face::cli) enum Seen<'t> {
    Here(View),
    There {
        client: &'t Client,
        /// The text that names the point; none for now.
        at: Option<String>,
    },
}

impl Target {
    /// The state as of a point. `tell` is called with the point that a time means.
    pub(in crate::face::cli) fn see(&self, at: &Selector, tell: impl FnOnce(&crate::Resolved)) -> Result<Seen<'_>> {
        match self {
            Self::Here(store) => {
                let now = store.view()?;
                if *at == Selector::Now {
                    return Ok(Seen::Here(now));
                }
                let resolved = now.resolve(at)?;
                tell(&resolved);
                store.view_at(resolved.epoch()).map(Seen::Here)
            }
            Self::There(client) => {
                let at = match at {
                    Selector::Now => None,
                    // A backup has an id too, and is no point.
                    Selector::Id(_) | Selector::Epoch(_) => Some(at.to_string()),
                    // All pages are to be of one point.
                    _ => {
                        let point = self.point(at)?;
                        tell(&self.resolved(at, &point));
                        Some(Selector::from(&point).to_string())
                    }
                };
                Ok(Seen::There { client, at })
            }
        }
    }
}

impl Seen<'_> {
    /// Shows the bots, by id.
    pub(in crate::face::cli) fn bots<R>(&self, show: impl FnOnce(Items<'_, Bot>) -> Result<R>) -> Result<R> {
        match self {
            Self::Here(view) => show(Box::new(view.registry().list())),
            Self::There { client, at } => {
                show(listed(client, Ask::get(&["api", "registry"]).with("at", at.as_ref()), "bots"))
            }
        }
    }

    /// A bot.
    pub(in crate::face::cli) fn bot(&self, id: &BotId) -> Result<Option<Bot>> {
        match self {
            Self::Here(view) => view.registry().get(id),
            Self::There { client, at } => one(client, &["api", "registry", id.as_str()], at.as_ref()),
        }
    }

    /// Shows all tasks, by id.
    pub(in crate::face::cli) fn all_tasks<R>(&self, show: impl FnOnce(Items<'_, Task>) -> Result<R>) -> Result<R> {
        match self {
            Self::Here(view) => show(Box::new(view.queue().list())),
            Self::There { .. } => show(self.tasks(TaskFilter::default(), None)?),
        }
    }

    /// The tasks that fit, read page by page; with aging, all ready tasks in the order of claims.
    pub(in crate::face::cli) fn tasks(&self, filter: TaskFilter, aging: Option<Duration>) -> Result<Items<'_, Task>> {
        match self {
            Self::Here(view) => Ok(Box::new(tasks_here(view, filter, aging))),
            Self::There { client, at } => {
                refuse(aging.is_some(), "--aging", "a service has the aging of its --priority-aging")?;
                let ask = Ask::get(&["api", "queue"])
                    .with("state", filter.state)
                    .with("bot", filter.bot)
                    .with("can", filter.capability)
                    .with("priority", filter.priority)
                    .with("id", filter.id_prefix)
                    .with("older_than", filter.older_than.map(duration::exact))
                    .with("at", at.as_ref());
                Ok(listed(client, ask, "tasks"))
            }
        }
    }

    /// A task.
    pub(in crate::face::cli) fn task(&self, id: &TaskId) -> Result<Option<Task>> {
        match self {
            Self::Here(view) => view.queue().get(id),
            Self::There { client, at } => one(client, &["api", "queue", id.as_str()], at.as_ref()),
        }
    }

    /// Shows the assignments, by bot and task; all, or those of one bot.
    pub(in crate::face::cli) fn assignments<R>(
        &self,
        bot: Option<&BotId>,
        show: impl FnOnce(Items<'_, Assignment>) -> Result<R>,
    ) -> Result<R> {
        match (self, bot) {
            (Self::Here(view), Some(bot)) => show(Box::new(view.assignments().of(bot))),
            (Self::Here(view), None) => show(Box::new(view.assignments().list())),
            (Self::There { client, at }, bot) => {
                let ask = Ask::get(&["api", "assignments"]).with("bot", bot).with("at", at.as_ref());
                show(listed(client, ask, "assignments"))
            }
        }
    }

    /// A page of the messages that fit.
    pub(in crate::face::cli) fn messages(&self, filter: &ChatFilter, page: Page) -> Result<Vec<Message>> {
        match self {
            Self::Here(view) => view.chat().list(filter, page),
            Self::There { client, at } => {
                let ask = Ask::get(&["api", "chat"])
                    .with("bot", filter.bot.as_ref())
                    .with("conversation", filter.conversation.as_ref())
                    .with("at", at.as_ref());
                numbered(client, ask, "messages", page)
            }
        }
    }

    /// A page of the audit entries that fit.
    pub(in crate::face::cli) fn entries(&self, filter: &AuditFilter, page: Page) -> Result<Vec<Entry>> {
        match self {
            Self::Here(view) => view.audit().find(filter, page),
            Self::There { client, .. } => {
                let ask = Ask::get(&["api", "audit"])
                    .with("actor", filter.actor.as_ref())
                    .with("action", filter.action.as_ref())
                    .with("target", filter.target.as_ref())
                    .with("bot", filter.bot.as_ref())
                    .with("since", filter.since.map(show_time));
                numbered(client, ask, "entries", page)
            }
        }
    }

    /// Shows the documents, by kind and source.
    pub(in crate::face::cli) fn documents<R>(
        &self,
        show: impl FnOnce(Items<'_, (String, Value)>) -> Result<R>,
    ) -> Result<R> {
        match self {
            Self::Here(view) => show(Box::new(view.documents().list().map(|id| document(view, &id?)))),
            Self::There { .. } => show(self.records("documents")?),
        }
    }

    /// A document.
    pub(in crate::face::cli) fn document(&self, id: &DocumentId) -> Result<Option<Value>> {
        match self {
            Self::Here(view) => view.documents().get(id.kind(), id.source()),
            Self::There { .. } => self.record("documents", &id.to_string()),
        }
    }

    /// The records of any other collection, by key.
    pub(in crate::face::cli) fn records(&self, collection: &str) -> Result<Items<'_, (String, Value)>> {
        match self {
            Self::Here(view) => Ok(view.records(collection)?),
            Self::There { client, at } => {
                let ask = Ask::get(&["api", "collections", collection]).with("at", at.as_ref());
                let mut records = client.list(ask, "records").peekable();
                // Nothing is shown of a collection that is not there.
                if let Some(Err(error)) = records.next_if(Result::is_err) {
                    return Err(error);
                }
                Ok(Box::new(records.map(|record| {
                    let mut record = record?;
                    let key = record["key"].as_str().map(str::to_owned);
                    let key = key.ok_or_else(|| client.not_understood("a record lacks the field key"))?;
                    Ok((key, record["value"].take()))
                })))
            }
        }
    }

    /// A record of any collection.
    pub(in crate::face::cli) fn record(&self, collection: &str, key: &str) -> Result<Option<Value>> {
        match self {
            Self::Here(view) => view.record(collection, key),
            Self::There { client, at } => {
                let ask = Ask::get(&["api", "collections", collection, key]).with("at", at.as_ref());
                Ok(Some(client.ask(&ask)?["value"].take()))
            }
        }
    }

    /// The keys of records of a collection that a repair lost at the point; none if nothing of it is lost.
    pub(in crate::face::cli) fn lost_of(&self, collection: &str) -> Result<Option<Vec<String>>> {
        match self {
            Self::Here(view) => view.lost_of(collection),
            Self::There { at: None, .. } => Ok(None),
            Self::There { client, at: Some(at) } => {
                let mut point: Point = client.told(client.ask(&Ask::get(&["api", "points", at]))?)?;
                let lost = point.lost.remove(collection).map(|loss| loss.keys);
                Ok(lost.or_else(|| (point.partial && point.lost.is_empty()).then(Vec::new)))
            }
        }
    }

    /// The reason that a record is not there.
    pub(in crate::face::cli) fn lost_or(&self, collection: &str, key: &str, missing: Error) -> Error {
        match self {
            Self::Here(view) => view.lost_or(collection, key, missing),
            Self::There { .. } => missing,
        }
    }

    /// The versions of a record, newest first.
    pub(in crate::face::cli) fn versions(&self, collection: &str, key: &str, limit: usize) -> Result<Vec<Version>> {
        match self {
            Self::Here(view) => view.versions(collection, key, limit),
            Self::There { client, .. } => {
                let ask = Ask::get(&["api", "versions", collection, key]).with("limit", Some(limit));
                let mut answer = client.ask(&ask)?;
                let Value::Array(versions) = answer["versions"].take() else {
                    return Err(client.not_understood("the response lacks the field versions"));
                };
                versions.into_iter().map(|version| client.told(version)).collect()
            }
        }
    }
}

/// A record with a route of its own.
fn one<T: Told>(client: &Client, parts: &[&str], at: Option<&String>) -> Result<Option<T>> {
    client.told(client.ask(&Ask::get(parts).with("at", at))?).map(Some)
}

fn document(view: &View, id: &DocumentId) -> Result<(String, Value)> {
    let value = view.documents().get(id.kind(), id.source())?;
    let missing = || Error::damaged(format!("a listed document is missing; run hivekeep check: id={id}"));
    Ok((id.to_string(), value.ok_or_else(missing)?))
}

/// Tasks of a file, read page by page.
fn tasks_here(view: &View, filter: TaskFilter, aging: Option<Duration>) -> impl Iterator<Item = Result<Task>> {
    let options = ClaimOptions { aging, ..ClaimOptions::default() };
    let mut cursor = Some(None);
    let pages = std::iter::from_fn(move || {
        let from: Option<String> = cursor.take()?;
        let page = match aging {
            Some(_) => view.queue().ready_page(&options, from.as_deref(), TASKS_PER_READ),
            None => view.queue().filtered_page(&filter, from.as_deref(), TASKS_PER_READ),
        };
        cursor = page.as_ref().ok().and_then(|page| page.next.clone()).map(Some);
        Some(page)
    });
    pages.flat_map(|page| match page {
        Ok(page) => page.tasks.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}

/// A page of what is numbered. It may be short, as that of a file may be, and is empty behind the last.
pub(super) fn numbered<T: Told>(client: &Client, ask: Ask, name: &'static str, page: Page) -> Result<Vec<T>> {
    let (oldest_first, from, to) = page.bounds();
    let ask = ask.flag("oldest", oldest_first);
    let ask = ask.with("limit", Some(page.limit().clamp(1, LONGEST_PAGE)));
    let (mut cursor, mut empty) = (from.map(|from| from.to_string()), 0);
    let items = loop {
        let mut answer = client.ask(&ask.clone().with("cursor", cursor.as_ref()))?;
        let Value::Array(items) = answer[name].take() else {
            return Err(client.not_understood(&format!("the response lacks the field {name}")));
        };
        // A service looks at so many entries for each answer; behind them there may be others that fit.
        match answer["next"].as_str() {
            Some(next) if items.is_empty() && cursor.as_deref() != Some(next) => {
                client.go_on(&mut empty)?;
                cursor = Some(next.to_owned());
            }
            _ => break items,
        }
    };
    let is_within = |item: &Value| {
        let number = item["sequence"].as_u64().unwrap_or_default();
        let before = |one: u64, other: u64| if oldest_first { one < other } else { one > other };
        // Each page goes on behind the one before, so that a list ends.
        from.is_none_or(|from| before(from, number)) && to.is_none_or(|to| before(number, to))
    };
    items.into_iter().filter(is_within).map(|item| client.told(item)).collect()
}
