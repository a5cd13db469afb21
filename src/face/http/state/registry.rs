//! `/api/registry`: the bots of the fleet, and when they were last heard of.

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use crate::face::http::app::App;
use crate::face::http::body::Object;
use crate::face::http::fields::Fields;
use crate::face::http::problem::Answer;
use crate::face::http::query::{Listed, Name, Query};
use crate::face::http::route::Kind::{Flag, List, Number, Object as JsonObject, Of, Text, Time};
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, NEXT, OK, Route, TIMESTAMP, Takes, optional, required};
use crate::face::http::shapes::{BOT, TEXTS};
use crate::face::http::state::reading::read;
use crate::{Bot, BotId, Error, Result, show_time};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/registry",
        about: "List the bots by id",
        query: &[LIMIT, CURSOR, AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("bots", List(&Of(&BOT)), "the bots"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/api/registry/{bot}",
        about: "Show a bot",
        query: &[AT],
        takes: Takes::Nothing,
        gives: Gives::Of(&BOT),
        statuses: OK,
        refuses: &[],
        handler: || get(one),
    },
    Route {
        method: Method::PUT,
        path: "/api/registry/{bot}",
        about: "Register a bot in place of what was registered under its id",
        query: &[],
        takes: Takes::Fields(&[
            optional("kind", Text, "what it is, such as claude-code"),
            optional("status", Text, "how it says that it is"),
            optional("endpoint", Text, "where it is reached"),
            optional("port", Number, "the port that it listens on"),
            optional("pid", Number, "its process"),
            optional("repo", Text, "the repository that it works on"),
            optional("specializations", TEXTS, "what it can do"),
            optional("max_concurrent", Number, "how many tasks it may hold; three unless set"),
            optional("registered_at", Time, "when; as before, or else now, unless set"),
            optional("last_heartbeat", Time, "when it was last heard of, if nobody knows yet"),
            optional("attributes", JsonObject, "anything else"),
        ]),
        gives: Gives::Of(&BOT),
        statuses: OK,
        refuses: &[],
        handler: || axum::routing::put(put),
    },
    Route {
        method: Method::DELETE,
        path: "/api/registry/{bot}",
        about: "Remove a bot",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("removed", Flag, "true")]),
        statuses: OK,
        refuses: &[404],
        handler: || axum::routing::delete(remove),
    },
    Route {
        method: Method::POST,
        path: "/api/registry/{bot}/heartbeat",
        about: "Note that a bot was heard of; kept within a second",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[TIMESTAMP]),
        statuses: OK,
        refuses: &[404],
        handler: || post(heartbeat),
    },
];

async fn list(State(app): State<App>, query: Query) -> Answer {
    let asked = query.clone();
    read(
        &app,
        &query,
        move |view| Ok(Listed::from(view.registry().page(asked.cursor(), asked.limit()?)?).named("bots")),
    )
    .await
}

async fn one(State(app): State<App>, Name(bot): Name, query: Query) -> Answer {
    let bot: BotId = bot.parse()?;
    read(&app, &query, move |view| {
        let found = view.registry().get(&bot)?.map(|bot| json!(bot));
        found.ok_or_else(|| view.lost_or("registry", bot.as_str(), unknown(&bot)))
    })
    .await
}

async fn put(State(app): State<App>, Name(id): Name, Object(fields): Object) -> Answer {
    let id: BotId = id.parse()?;
    let kept = app
        .change(move |store| {
            let bot = bot(&id, fields)?;
            store.write(|tx| tx.registry().put(&bot))?;
            // Not as the transaction saw it, but with a heartbeat that has not been written yet.
            store.view()?.registry().get(&id)
        })
        .await?;
    Ok(Json(kept).into_response())
}

async fn remove(State(app): State<App>, Name(id): Name) -> Answer {
    let id: BotId = id.parse()?;
    app.change(move |store| if store.write(|tx| tx.registry().remove(&id))? { Ok(()) } else { Err(unknown(&id)) })
        .await?;
    Ok(Json(json!({"removed": true})).into_response())
}

/// A heartbeat says that a bot lives, not that the state has changed: it does not take back that a client has marked a
/// clean shutdown.
async fn heartbeat(State(app): State<App>, Name(id): Name) -> Answer {
    let id: BotId = id.parse()?;
    let at = app.read(move |store| store.heartbeat(&id)).await?;
    Ok(Json(json!({"timestamp": show_time(at)})).into_response())
}

/// A bot of which only some fields are given; the others are not set.
fn bot(id: &BotId, given: Fields) -> Result<Bot> {
    let wrong = |source: serde_json::Error| Error::invalid(format!("this is no bot: {source}")).with_source(source);
    let whole = serde_json::to_value(Bot::new(id.clone())).map_err(wrong)?;
    let Value::Object(mut whole) = whole else { return Err(unknown(id)) };
    let given: Map<_, _> = given.rest().into_iter().filter(|(_, value)| !value.is_null()).collect();
    if let Some(name) = given.keys().find(|name| !whole.contains_key(*name)) {
        let known = whole.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(format!(
            "a bot has no such field; put what is your own into attributes, there are {known}: field={}",
            name.escape_debug()
        )));
    }
    whole.extend(given);
    let bot: Bot = serde_json::from_value(Value::Object(whole)).map_err(wrong)?;
    if bot.id != *id {
        return Err(Error::invalid(format!("the bot calls itself by another id: path={id} id={}", bot.id)));
    }
    Ok(bot)
}

fn unknown(id: &BotId) -> Error {
    Error::not_found(format!("no such bot is registered: bot={id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_member_and_another_id_are_refused() {
        let id: BotId = "BOT-1".parse().unwrap();
        let read = |given| bot(&id, Fields::of(Some(given)).unwrap());
        assert_eq!(
            read(json!({"port": 8001, "repo": null})).unwrap(),
            Bot { port: Some(8001), ..Bot::new(id.clone()) }
        );
        assert!(read(json!({"prot": 1})).unwrap_err().to_string().ends_with("field=prot"));
        assert!(read(json!({"port": "x"})).unwrap_err().to_string().starts_with("this is no bot: "));
        let other = read(json!({"id": "B"})).unwrap_err().to_string();
        assert_eq!(other, "the bot calls itself by another id: path=BOT-1 id=B");
    }
}
