//! `/api/assignments`, `/api/chat`, `/api/audit`, `/api/config` and `/api/events`: the rest of the live state, and what
//! happened to it.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::face::http::app::App;
use crate::face::http::bodies::body::{Json as Given, Object};
use crate::face::http::bodies::condition::{Condition, version};
use crate::face::http::bodies::preview::{PREVIEW, Preview};
use crate::face::http::bodies::query::{Filling, Listed, Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, LOST, NEXT, Needs, OK, PARTIAL, Route, Takes};
use crate::face::http::shapes::{ASSIGNMENT, ENTRY, EVENT, MESSAGE};
use crate::face::http::state::reading::{list, read};
use crate::face::wire::field::FieldType::{Any, Flag, List, Number, Object as Map, Of, Text, Time};
use crate::face::wire::field::{Field, optional, required};
use crate::face::wire::fields::{Fields, missing};
use crate::{
    AuditFilter, BotId, ChatFilter, Entry, Error, Event, KeyedPage, Level, Message, NewEntry, NewMessage, Page, Result,
    Selector, WriteTx,
};

/// Maximum number of audit entries that are looked at for a part of a page.
const LOOKED: usize = 10_000;
/// The order of numbered items.
const OLDEST: Field = optional("oldest", Flag, "whether the oldest come first; the newest first unless set");
/// The answer to whatever is appended.
const SEQUENCE: Gives = Gives::Fields(&[required("sequence", Number, "its sequence number")]);

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/assignments",
        needs: Needs::Reader,
        about: "List the assignments of tasks to bots",
        query: &[optional("bot", Text, "only those of this bot"), LIMIT, CURSOR, AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[
            required("assignments", List(&Of(&ASSIGNMENT)), "the assignments"),
            NEXT,
            PARTIAL,
            LOST,
        ]),
        statuses: OK,
        refuses: &[],
        handler: || get(assignments),
    },
    Route {
        method: Method::GET,
        path: "/api/chat",
        needs: Needs::Reader,
        about: "List messages",
        query: &[
            optional("bot", Text, "only those of this bot"),
            optional("conversation", Text, "only those of this conversation"),
            OLDEST,
            LIMIT,
            CURSOR,
            AT,
            PREVIEW,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("messages", List(&Of(&MESSAGE)), "the messages"), NEXT, PARTIAL, LOST]),
        statuses: OK,
        refuses: &[],
        handler: || get(messages),
    },
    Route {
        method: Method::POST,
        path: "/api/chat",
        needs: Needs::Bot,
        about: "Append a message",
        query: &[],
        takes: Takes::Fields(&[
            required("conversation", Text, "name of the conversation"),
            required("role", Text, "role of the speaker: user, assistant, system or another word"),
            required("content", Text, "text of the message"),
            optional("bot_id", Text, "the bot that sent or receives it"),
            optional("timestamp", Time, "time; now unless set"),
            optional("attributes", Map, "additional fields"),
        ]),
        gives: SEQUENCE,
        statuses: OK,
        refuses: &[],
        handler: || post(say),
    },
    Route {
        method: Method::GET,
        path: "/api/audit",
        needs: Needs::Reader,
        about: "List the entries of the audit trail, which is the same at every point; with a filter a page may be short",
        query: &[
            optional("actor", Text, "only those of this actor"),
            optional("action", Text, "only those of this action"),
            optional("target", Text, "only those with this target"),
            optional("bot", Text, "only those of which this bot is the actor or the target"),
            optional("since", Text, "only those recorded since this time, or since '10m ago'"),
            OLDEST,
            LIMIT,
            CURSOR,
            AT,
            PREVIEW,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("entries", List(&Of(&ENTRY)), "the entries"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(entries),
    },
    Route {
        method: Method::POST,
        path: "/api/audit",
        needs: Needs::Bot,
        about: "Append an entry to the audit trail",
        query: &[],
        takes: Takes::Fields(&[
            required("action", Text, "action"),
            optional("actor", Text, "actor; the bot of the key unless set, and required without a key of a bot"),
            optional("target", Text, "target of the action"),
            optional("level", Text, "info (unless set), warning, error or critical"),
            optional("result", Text, "outcome"),
            optional("details", Any, "additional fields"),
            optional("timestamp", Time, "time; now unless set"),
        ]),
        gives: SEQUENCE,
        statuses: OK,
        refuses: &[],
        handler: || post(note),
    },
    Route {
        method: Method::GET,
        path: "/api/config",
        needs: Needs::Reader,
        about: "List the configuration by key",
        query: &[LIMIT, CURSOR, AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("config", Map, "values by key"), NEXT, PARTIAL, LOST]),
        statuses: OK,
        refuses: &[],
        handler: || get(config),
    },
    Route {
        method: Method::GET,
        path: "/api/config/{key}",
        needs: Needs::Reader,
        about: "Show the value of a key",
        query: &[AT],
        takes: Takes::Nothing,
        gives: Gives::Any("the value"),
        statuses: OK,
        refuses: &[],
        handler: || get(value),
    },
    Route {
        method: Method::PUT,
        path: "/api/config/{key}",
        needs: Needs::Operator,
        about: "Set the value of a key; with If-Match only if its ETag is still that one, with If-None-Match: * only if there is none",
        query: &[],
        takes: Takes::Any("the value"),
        gives: Gives::Any("the value"),
        statuses: OK,
        refuses: &[412],
        handler: || put(set),
    },
    Route {
        method: Method::DELETE,
        path: "/api/config/{key}",
        needs: Needs::Operator,
        about: "Remove a key; with the header If-Match only if its ETag is still that one",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("removed", Flag, "true")]),
        statuses: OK,
        refuses: &[404, 412],
        handler: || delete(unset),
    },
    Route {
        method: Method::GET,
        path: "/api/events",
        needs: Needs::Reader,
        about: "List the events of the store",
        query: &[OLDEST, LIMIT, CURSOR],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("events", List(&Of(&EVENT)), "the events"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(events),
    },
];

async fn assignments(app: App, query: Query) -> Answer {
    let asked = query.clone();
    list(&app, &query, "assignments", move |view| {
        let bot: Option<BotId> = asked.parsed("bot")?;
        let page = view.assignments().page(bot.as_ref(), asked.cursor(), asked.limit()?)?;
        Ok(Listed::of(page, "assignments"))
    })
    .await
}

async fn messages(app: App, query: Query) -> Answer {
    let (asked, preview) = (query.clone(), Preview::of(&query)?);
    list(&app, &query, "chat", move |view| {
        let conversation = asked.get("conversation").map(str::to_owned);
        let filter = ChatFilter { bot: asked.parsed("bot")?, conversation };
        let short = |message: Message| (message.sequence, preview.of_item(message, &["content", "attributes"]));
        let list = |page| Ok((view.chat().list(&filter, page)?.into_iter().map(short), None));
        numbered(&asked, "messages", list)
    })
    .await
}

async fn entries(app: App, query: Query) -> Answer {
    let (asked, preview) = (query.clone(), Preview::of(&query)?);
    let filter = AuditFilter {
        actor: query.get("actor").map(str::to_owned),
        action: query.get("action").map(str::to_owned),
        target: query.get("target").map(str::to_owned),
        bot: query.get("bot").map(str::to_owned),
        since: since(&query, app.instance().store().clock().now())?,
    };
    read(&app, &query, move |view| {
        let short = |entry: Entry| (entry.sequence, preview.of_item(entry, &["result", "details", "original"]));
        let list = |page| {
            let (found, stopped) = view.audit().find_within(&filter, page, LOOKED)?;
            Ok((found.into_iter().map(short), stopped))
        };
        numbered(&asked, "entries", list)
    })
    .await
}

/// The time from which on entries are listed.
fn since(query: &Query, now: Timestamp) -> Result<Option<Timestamp>> {
    let wrong =
        || Error::invalid("query parameter must be a time such as 2026-01-02T03:04:05Z, or '10m ago': name=since");
    let selector: Option<Selector> = query.get("since").map(|text| text.parse().map_err(|_| wrong())).transpose()?;
    selector.map(|selector| selector.time(now).ok_or_else(wrong)).transpose()
}

async fn events(app: App, query: Query) -> Answer {
    app.show(move |store| {
        let view = store.view()?;
        let with_number = |event: Event| {
            let mut shown = json!({"sequence": event.sequence});
            if let (Value::Object(shown), Value::Object(event)) = (&mut shown, json!(event)) {
                shown.extend(event);
            }
            (event.sequence, shown)
        };
        let list = |page| Ok((view.events().list(page)?.into_iter().map(with_number), None));
        numbered(&query, "events", list).map(|listed| Json(listed).into_response())
    })
    .await
}

/// A page of numbered items; the cursor is a number. A list may say at which number it stopped looking. Items are read
/// a few at a time, since they may be long.
fn numbered<T: Serialize, I: Iterator<Item = (u64, T)>>(
    query: &Query,
    name: &'static str,
    list: impl Fn(Page) -> Result<(I, Option<u64>)>,
) -> Result<Listed<Box<RawValue>>> {
    let (mut filling, cursor) = (Filling::new(query.limit()?), query.number("cursor")?);
    let oldest = query.flag("oldest")?;
    loop {
        let ask = filling.ask();
        let page = match (oldest, filling.last().or(cursor)) {
            (true, None) => Page::oldest(ask),
            (true, Some(cursor)) => Page::oldest(ask).after(cursor),
            (false, None) => Page::newest(ask),
            (false, Some(cursor)) => Page::newest(ask).before(cursor),
        };
        let mut read = 0;
        let (items, stopped) = list(page)?;
        for (number, item) in items {
            read += 1;
            if filling.add(number, &item)?.is_break() {
                return Ok(filling.named(name));
            }
        }
        if let Some(number) = stopped {
            filling.stop_at(number);
        }
        if read < ask {
            return Ok(filling.named(name));
        }
    }
}

async fn say(app: App, Object(fields): Object) -> Answer {
    let mut message = message(fields)?;
    message.bot = message.bot.or_else(|| app.own_bot());
    let sequence = app.change(move |store| store.write(|tx| tx.chat().append(message))).await?;
    Ok(Json(json!({"sequence": sequence})).into_response())
}

fn message(mut fields: Fields) -> Result<NewMessage> {
    let (conversation, role) = (fields.required_text("conversation")?, fields.required_text("role")?);
    let mut message = NewMessage::new(conversation, role, fields.required_text("content")?);
    message.bot = fields.parsed("bot_id")?;
    message.at = fields.time("timestamp")?;
    message.attributes = fields.object("attributes")?;
    fields.end()?;
    Ok(message)
}

async fn note(app: App, Object(fields): Object) -> Answer {
    let entry = entry(fields, app.own_bot())?;
    let sequence = app.change(move |store| store.write(|tx| tx.audit().append(entry))).await?;
    Ok(Json(json!({"sequence": sequence})).into_response())
}

fn entry(mut fields: Fields, own: Option<BotId>) -> Result<NewEntry> {
    let action = fields.required_text("action")?;
    let actor = fields.text("actor")?.or_else(|| own.map(|own| own.to_string()));
    let mut entry = NewEntry::new(action, actor.as_deref().unwrap_or_default());
    entry.target = fields.text("target")?;
    entry.level = fields.parsed::<Level>("level")?.unwrap_or_default();
    entry.result = fields.text("result")?;
    entry.at = fields.time("timestamp")?;
    if let Some(details) = fields.value("details") {
        entry.details = details;
    }
    fields.end()?;
    actor.ok_or_else(|| missing("actor"))?;
    Ok(entry)
}

async fn config(app: App, query: Query) -> Answer {
    let asked = query.clone();
    list(&app, &query, "config", move |view| {
        let KeyedPage { items, next } = view.config().page(asked.cursor(), asked.limit()?)?;
        let config: serde_json::Map<_, _> = items.into_iter().collect();
        Ok(json!({"config": config, "next": next}))
    })
    .await
}

async fn value(app: App, Name(key): Name, query: Query) -> Answer {
    let answer = read(&app, &query, move |view| {
        let value = view.config().get(&key)?;
        value.ok_or_else(|| view.lost_or("config", &key, no_key(&key)))
    });
    let mut response = answer.await?;
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    response = Response::from_parts(parts, Body::from(bytes.clone()));
    response.headers_mut().insert(header::ETAG, version(&bytes));
    Ok(response)
}

async fn set(app: App, Name(key): Name, condition: Condition, Given(value): Given) -> Answer {
    let refusal = condition.refusal();
    let written = app.change(move |store| {
        let put = |tx: &mut WriteTx<'_>| tx.config().put(&key, &value);
        let is_set = store.write(|tx| condition.change(tx, &key, put))?;
        Ok(is_set.map(|()| value.to_string()))
    });
    let text = written.await?.ok_or(refusal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::ETAG, version(text.as_bytes())),
    ];
    Ok((headers, text).into_response())
}

async fn unset(app: App, Name(key): Name, condition: Condition) -> Answer {
    let refusal = condition.refusal();
    let removed =
        app.change(move |store| match store.write(|tx| condition.change(tx, &key, |tx| tx.config().remove(&key)))? {
            Some(false) => Err(no_key(&key)),
            removed => Ok(removed),
        });
    let removed = removed.await?.ok_or(refusal)?;
    Ok(Json(json!({ "removed": removed })).into_response())
}

fn no_key(key: &str) -> Error {
    Error::not_found(format!("no such key: key={}", key.escape_debug()))
}
