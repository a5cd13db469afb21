//! `/api/me`: who asks, and what they may do.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use crate::Role;
use crate::face::http::app::App;
use crate::face::http::problem::Answer;
use crate::face::http::route::Kind::{Flag, Map, Text, Word};
use crate::face::http::route::{Gives, Needs, OK, Route, Takes, nullable, required};

/// The routes.
pub(super) const ROUTES: &[Route] = &[Route {
    method: Method::GET,
    path: "/api/me",
    needs: Needs::Reader,
    about: "Show who asks, and what they may do",
    query: &[],
    takes: Takes::Nothing,
    gives: Gives::Fields(&[
        nullable("key", Text, "the name of the key; null where the service asks for none"),
        required("role", Word(|| Role::ALL.map(Role::as_str).to_vec()), "the role"),
        nullable("bot", Text, "the only bot that it acts as"),
        required("may", Map(&Flag), "for each role, whether the requests that need it are allowed"),
    ]),
    statuses: OK,
    refuses: &[],
    handler: || get(me),
}];

async fn me(app: App) -> Answer {
    let caller = app.caller();
    let role = caller.and_then(|caller| caller.role()).unwrap_or(Role::Reader);
    let may: serde_json::Map<_, _> =
        Role::ALL.map(|needed| (needed.as_str().to_owned(), (role >= needed).into())).into_iter().collect();
    let (key, bot) = (caller.and_then(|caller| caller.key()), caller.and_then(|caller| caller.bot()));
    Ok(Json(json!({"key": key, "role": role, "bot": bot, "may": may})).into_response())
}
