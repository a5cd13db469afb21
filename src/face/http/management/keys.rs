//! `/api/keys`: who may call the service.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use serde_json::json;

use crate::duration;
use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;
use crate::face::http::route::{Gives, Needs, OK, Route, Takes};
use crate::face::http::shapes::KEY;
use crate::face::wire::field::FieldType::{Flag, List, Of, Text, Word};
use crate::face::wire::field::{Field, optional, required};
use crate::face::wire::fields::Fields;
use crate::{Key, KeyName, KeySecret, NewKey, Result, Role, WriteTx};

/// The secret of a key, which no later answer has.
const SECRET: Field = required("key", Text, "the key itself: hk_NAME_SECRET. It is shown only now");

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/keys",
        needs: Needs::Admin,
        about: "List the keys, without their secrets",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("keys", List(&Of(&KEY)), "the keys")]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/api/keys",
        needs: Needs::Admin,
        about: "Add a key; the answer alone has its secret",
        query: &[],
        takes: Takes::Fields(&[
            required("name", Text, "its name, which is part of the secret"),
            required("role", Word(|| Role::ALL.map(Role::as_str).to_vec()), "the rights of its holder"),
            optional("bot", Text, "the only bot that a key of the role bot acts as; the name of the key unless set"),
            optional("expires", Text, "time for which it is valid, such as 90d; without an end unless set"),
        ]),
        gives: Gives::Fields(&[SECRET]),
        statuses: OK,
        refuses: &[409],
        handler: || post(add),
    },
    Route {
        method: Method::POST,
        path: "/api/keys/{name}/rotate",
        needs: Needs::Admin,
        about: "Give a key a new secret; the one before stays valid for a while",
        query: &[],
        takes: Takes::Fields(&[optional(
            "keep_old",
            Text,
            "time for which the previous key stays valid; 1d unless set",
        )]),
        gives: Gives::Fields(&[SECRET]),
        statuses: OK,
        refuses: &[404],
        handler: || post(rotate),
    },
    Route {
        method: Method::DELETE,
        path: "/api/keys/{name}",
        needs: Needs::Admin,
        about: "Revoke a key; no restore brings it back",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("revoked", Flag, "true")]),
        statuses: OK,
        refuses: &[404],
        handler: || delete(revoke),
    },
    Route {
        method: Method::POST,
        path: "/api/keys/{name}/remove",
        needs: Needs::Admin,
        about: "Remove a revoked key from the list",
        query: &[],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("removed", Flag, "true")]),
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(remove),
    },
];

async fn list(app: App) -> Answer {
    let keys = app.read(|store| store.view()?.keys().list()).await?;
    Ok(Json(json!({"keys": keys})).into_response())
}

async fn add(app: App, Object(fields): Object) -> Answer {
    let new = new_key(fields)?;
    let secret = change(&app, move |tx| tx.keys().add(new)).await?;
    Ok(shown(&secret))
}

fn new_key(mut fields: Fields) -> Result<NewKey> {
    let (name, role) = (fields.required_text("name")?, fields.required_text("role")?);
    let (bot, expires) = (fields.parsed("bot")?, fields.text("expires")?);
    fields.end()?;
    let expires_in = expires.map(|text| duration::parse(&text)).transpose()?;
    Ok(NewKey { bot, expires_in, ..NewKey::new(name.parse()?, role.parse()?) })
}

async fn rotate(app: App, Name(name): Name, Object(mut fields): Object) -> Answer {
    let name: KeyName = name.parse()?;
    let keep_old = fields.text("keep_old")?.map(|text| duration::parse(&text)).transpose()?.unwrap_or(Key::KEEP_OLD);
    fields.end()?;
    let secret = change(&app, move |tx| tx.keys().rotate(&name, keep_old)).await?;
    Ok(shown(&secret))
}

async fn revoke(app: App, Name(name): Name) -> Answer {
    let name: KeyName = name.parse()?;
    change(&app, move |tx| tx.keys().revoke(&name)).await?;
    Ok(Json(json!({"revoked": true})).into_response())
}

async fn remove(app: App, Name(name): Name) -> Answer {
    let name: KeyName = name.parse()?;
    change(&app, move |tx| tx.keys().remove(&name)).await?;
    Ok(Json(json!({"removed": true})).into_response())
}

/// Changes keys; the next request is held against them.
async fn change<R: Send + 'static>(
    app: &App,
    work: impl FnOnce(&mut WriteTx<'_>) -> Result<R> + Send + 'static,
) -> Answer<R> {
    app.change_by(move |instance, store| {
        let done = store.write(work)?;
        instance.keyring().reload(instance.store());
        Ok(done)
    })
    .await
}

fn shown(secret: &KeySecret) -> axum::response::Response {
    Json(json!({"key": secret.as_str()})).into_response()
}
