//! `/api/me` and `/api/session`: who asks, and what they may do; signing in and out of the page.

use axum::Json;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use crate::Role;
use crate::face::http::admission::caller::Caller;
use crate::face::http::admission::sessions::{self, Cookie};
use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::layers::identify::by_key;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, Takes};
use crate::face::http::shapes::ME;
use crate::face::wire::field::FieldType::{Flag, Text};
use crate::face::wire::field::required;

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/me",
        needs: Needs::Reader,
        about: "Show who asks, and what they may do",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Of(&ME),
        statuses: OK,
        refuses: &[],
        handler: || get(me),
    },
    Route {
        method: Method::POST,
        path: "/api/session",
        needs: Needs::Anyone,
        about: "Sign in with a key; the answer has a cookie, which is worth the key for twelve hours",
        query: &[],
        takes: Takes::Fields(&[required("key", Text, "the key, or the token of the service")]),
        gives: Gives::Of(&ME),
        statuses: OK,
        refuses: &[401],
        handler: || post(sign_in),
    },
    Route {
        method: Method::DELETE,
        path: "/api/session",
        needs: Needs::Reader,
        about: "Sign out: end the session of the cookie",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("signed_out", Flag, "true")]),
        statuses: OK,
        refuses: &[],
        handler: || delete(sign_out),
    },
];

async fn me(app: App) -> Answer {
    Ok(Json(shown(app.caller())).into_response())
}

/// The rights of the caller.
fn shown(caller: Option<&Caller>) -> Value {
    let role = caller.and_then(|caller| caller.role()).unwrap_or(Role::Reader);
    let may: serde_json::Map<_, _> =
        Role::ALL.map(|needed| (needed.as_str().to_owned(), (role >= needed).into())).into_iter().collect();
    let (key, bot) = (caller.and_then(|caller| caller.key()), caller.and_then(|caller| caller.bot()));
    json!({"key": key, "role": role, "bot": bot, "may": may})
}

async fn sign_in(app: App, headers: HeaderMap, Object(mut fields): Object) -> Answer {
    let key = fields.required_text("key")?;
    fields.end()?;
    let key = key.trim().as_bytes();
    let ring = app.key_ring(Some(key)).await;
    let unknown = Caller::unknown(None);
    let (caller, by) = by_key(&app, &ring, app.caller().unwrap_or(&unknown), key)?;
    let mut response = Json(shown(Some(&caller))).into_response();
    if let Some(by) = by {
        let session = app.sessions().begin(by, app.now());
        put_header(&mut response, sessions::given(&headers, &session, app.live().access.is_tls));
    }
    Ok(response)
}

async fn sign_out(app: App, headers: HeaderMap) -> Answer {
    if let Cookie::One(session) = sessions::cookie(&headers) {
        app.sessions().end(&session);
    }
    let mut response = Json(json!({"signed_out": true})).into_response();
    put_header(&mut response, sessions::taken_back(&headers, app.live().access.is_tls));
    Ok(response)
}

fn put_header(response: &mut Response, (name, value): (axum::http::HeaderName, axum::http::HeaderValue)) {
    response.headers_mut().insert(name, value);
}
