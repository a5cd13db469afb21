//! `POST /api/queue/claim`: a bot takes tasks, and may wait for one.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::time::timeout_at;

use crate::face::http::app::App;
use crate::face::http::body::Object;
use crate::face::http::fields::Fields;
use crate::face::http::peer::Peer;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::state::queue::as_claimed;
use crate::face::parcel::Parcel;
use crate::{BotId, Claim, ClaimOptions, Error, ErrorKind, Result, Store};

/// Nobody waits longer: what stands between client and service would cut the connection.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Who cannot wait, since as many as may wait do so already, asks again after so many seconds.
const ASK_AGAIN: &str = "5";
/// Nobody takes more at once.
const MOST: u64 = 1_000;

/// What a bot asks for.
struct Wanted {
    bot: BotId,
    options: ClaimOptions,
    wait: Duration,
}

/// What it gets.
#[derive(Serialize)]
struct Claims<'c> {
    claims: &'c [Claim],
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn claim(State(app): State<App>, client: Option<Extension<Peer>>, Object(fields): Object) -> Answer {
    let client = client.map(|Extension(peer)| peer);
    let wanted = Wanted::read(fields, &app)?;
    let until = Instant::now() + wanted.wait;
    let taken = take(&app, &wanted, Store::claim).await?;
    if !taken.claims().is_empty() || wanted.wait.is_zero() {
        return answer(&app, &wanted, client, taken).await;
    }
    let mut place = app.connections().to_wait().ok_or_else(too_many_wait)?;
    let mut has_ended = false;
    let _waiting = app.read(Store::waiting).await?;
    loop {
        let seen = app.commits();
        let taken = take(&app, &wanted, Store::claim_if_any).await?;
        if !taken.claims().is_empty() || until <= Instant::now() {
            return answer(&app, &wanted, client, taken).await;
        }
        tokio::select! {
            _told_or_not = timeout_at(until.into(), app.more_commits_than(seen)) => {}
            () = app.stops() => return Ok(stops()),
            // The answer reaches nobody.
            () = broken(client.as_ref()) => return Ok(stops()),
            // It may be gone, and must not keep the place of one that is there.
            () = ended(client.as_ref()), if !has_ended => match app.connections().to_wait_ended() {
                Some(other) => {
                    drop(std::mem::replace(&mut place, other));
                    has_ended = true;
                }
                None => return answer(&app, &wanted, client, taken).await,
            },
        }
    }
}

/// Brings the claims to the client, or why there are none. What does not arrive goes back.
async fn answer(app: &App, wanted: &Wanted, client: Option<Peer>, taken: Parcel) -> Answer {
    if taken.claims().is_empty() {
        let (bot, options) = (wanted.bot.clone(), wanted.options.clone());
        let why = app.read(move |store| store.view()?.queue().why_nothing(&bot, &options)).await?;
        return Ok(Json(Claims { claims: &[], reason: Some(why.to_string()) }).into_response());
    }
    if let Some(peer) = client {
        let text = serde_json::to_vec(&Claims { claims: taken.claims(), reason: None });
        let text = text.map_err(|source| Error::invalid("the claims cannot be written as JSON").with_source(source))?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], peer.bring(taken, text)).into_response());
    }
    Ok(Json(Claims { claims: &taken.delivered(), reason: None }).into_response())
}

async fn broken(client: Option<&Peer>) {
    match client {
        Some(peer) => peer.broken().await,
        None => std::future::pending().await,
    }
}

async fn ended(client: Option<&Peer>) {
    match client {
        Some(peer) => peer.ended().await,
        None => std::future::pending().await,
    }
}

/// Takes what there is. Waiting costs no turn at the store. When nobody is there to take it, it goes back.
async fn take(
    app: &App,
    wanted: &Wanted,
    claim: fn(&Store, &BotId, &ClaimOptions) -> Result<Vec<Claim>>,
) -> Result<Parcel, Problem> {
    let (bot, options) = (wanted.bot.clone(), wanted.options.clone());
    app.read(move |store| {
        let claims = claim(store, &bot, &options)?;
        if !claims.is_empty() {
            store.take_mark_back()?;
        }
        Ok(Parcel::new(store, claims))
    })
    .await
}

impl Wanted {
    fn read(mut fields: Fields, app: &App) -> Result<Self> {
        let mut options = as_claimed(app);
        let bot = fields.required("bot")?;
        if let Some(lease) = fields.millis("lease_ms")? {
            options.lease = lease;
        }
        if let Some(max) = fields.number("max")? {
            options.max = usize::try_from(max.min(MOST)).unwrap_or_default();
        }
        if let Some(most) = fields.number("max_concurrent")? {
            options.max_concurrent = Some(u32::try_from(most).unwrap_or(u32::MAX));
        }
        let wait = fields.millis("wait_ms")?.unwrap_or_default().min(LONGEST_WAIT);
        fields.end()?;
        Ok(Self { bot, options, wait })
    }
}

fn too_many_wait() -> Problem {
    let detail = format!(
        "there is nothing to claim now, and as many claims wait already as may; ask again after a while, or without \
         wait_ms: retry_after_s={ASK_AGAIN}"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, ASK_AGAIN)
}

fn stops() -> Response {
    let detail = "the service stops; ask again once it is back";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Reopen.as_str(), detail).into_response()
}
