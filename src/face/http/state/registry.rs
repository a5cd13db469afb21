//! `/api/registry`: the bots of the fleet, and when they were last heard of.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;

use crate::face::http::app::App;
use crate::face::http::bodies::body::Whole;
use crate::face::http::bodies::query::{Listed, Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, LOST, NEXT, Needs, OK, PARTIAL, Route, TIMESTAMP, Takes};
use crate::face::http::shapes::BOT;
use crate::face::http::state::reading::{list as listed, read};
use crate::face::wire::field::FieldType::{Flag, List, Number, Object as JsonObject, Of, Text, Time};
use crate::face::wire::field::{TEXTS, optional, required};
use crate::{Bot, BotId, Error, show_time};

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/registry",
        needs: Needs::Reader,
        about: "List the bots by id",
        query: &[LIMIT, CURSOR, AT],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("bots", List(&Of(&BOT)), "the bots"), NEXT, PARTIAL, LOST]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::GET,
        path: "/api/registry/{bot}",
        needs: Needs::Reader,
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
        needs: Needs::Bot,
        about: "Register a bot, replacing any bot with its id; fields that the body leaves out are not set",
        query: &[],
        takes: Takes::Whole(&[
            optional("kind", Text, "the kind of bot, such as claude-code"),
            optional("status", Text, "the status that it reports"),
            optional("endpoint", Text, "the address at which it is reached"),
            optional("port", Number, "the port on which it listens"),
            optional("pid", Number, "process id"),
            optional("repo", Text, "the repository that it works on"),
            optional("specializations", TEXTS, "its capabilities"),
            optional("max_concurrent", Number, "number of tasks that it may hold; three unless set"),
            optional("registered_at", Time, "time of registration; the earlier one, or now, unless set"),
            optional("last_heartbeat", Time, "time of the last heartbeat; ignored if one is already known"),
            optional("attributes", JsonObject, "additional fields"),
        ]),
        gives: Gives::Of(&BOT),
        statuses: OK,
        refuses: &[],
        handler: || axum::routing::put(put),
    },
    Route {
        method: Method::DELETE,
        path: "/api/registry/{bot}",
        needs: Needs::Bot,
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
        needs: Needs::Bot,
        about: "Record a heartbeat; it is durable within a second",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[TIMESTAMP]),
        statuses: OK,
        refuses: &[404],
        handler: || post(heartbeat),
    },
];

async fn list(app: App, query: Query) -> Answer {
    let asked = query.clone();
    listed(&app, &query, "registry", move |view| {
        Ok(Listed::of(view.registry().page(asked.cursor(), asked.limit()?)?, "bots"))
    })
    .await
}

async fn one(app: App, Name(bot): Name, query: Query) -> Answer {
    let bot: BotId = bot.parse()?;
    read(&app, &query, move |view| {
        let found = view.registry().get(&bot)?.map(|bot| json!(bot));
        found.ok_or_else(|| view.lost_or("registry", bot.as_str(), unknown(&bot)))
    })
    .await
}

async fn put(app: App, Name(id): Name, Whole(fields): Whole) -> Answer {
    let id: BotId = id.parse()?;
    let kept = app
        .change(move |store| {
            let bot = Bot::from_fields(id.clone(), fields.rest())?;
            store.write(|tx| tx.registry().put(&bot))?;
            // Not as the transaction saw it, but with a heartbeat that has not been written yet.
            store.view()?.registry().get(&id)
        })
        .await?;
    Ok(Json(kept).into_response())
}

async fn remove(app: App, Name(id): Name) -> Answer {
    let id: BotId = id.parse()?;
    app.change(move |store| if store.write(|tx| tx.registry().remove(&id))? { Ok(()) } else { Err(unknown(&id)) })
        .await?;
    Ok(Json(json!({"removed": true})).into_response())
}

/// A heartbeat says that a bot lives, not that the state has changed: it does not take back that a client has marked a
/// clean shutdown.
async fn heartbeat(app: App, Name(id): Name) -> Answer {
    let id: BotId = id.parse()?;
    let at = app.read(move |store| store.heartbeat(&id)).await?;
    Ok(Json(json!({"timestamp": show_time(at)})).into_response())
}

fn unknown(id: &BotId) -> Error {
    Error::not_found(format!("no such bot is registered: bot={id}"))
}
