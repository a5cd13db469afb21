//! `POST /api/queue/claim`: a bot claims tasks, and may wait for one.

use std::time::Duration;

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
use crate::face::parcel::Parcel;
use crate::{BotId, Claim, ClaimOptions, ClaimWait, Error, ErrorKind, Result};

/// Maximum wait: proxies would cut the connection after longer ones.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Seconds after which a client retries that cannot wait, because too many claims are waiting.
const ASK_AGAIN: &str = "5";
/// Maximum number of tasks in one claim.
const MOST: u64 = 1_000;

/// A request to claim.
struct Wanted {
    bot: BotId,
    options: ClaimOptions,
    wait: Duration,
}

/// The response.
#[derive(Serialize)]
struct Claims<'c> {
    claims: &'c [Claim],
    /// The reason why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn claim(State(app): State<App>, client: Option<Extension<Peer>>, Object(fields): Object) -> Answer {
    let client = client.map(|Extension(peer)| peer);
    let wanted = Wanted::read(fields, &app)?;
    let mut wait = ClaimWait::new(&wanted.bot, &wanted.options, wanted.wait);
    let (mut permit, mut has_ended) = (None, false);
    loop {
        let (looked, taken) = look(&app, wait).await?;
        wait = looked;
        if let Some(taken) = taken {
            return answer(&app, &wanted, client, taken).await;
        }
        if permit.is_none() {
            permit = Some(app.connections().to_wait().ok_or_else(too_many_wait)?);
        }
        tokio::select! {
            () = next_commit(&app, &wait) => {}
            () = app.stops() => return Ok(stops()),
            // Nobody would read the response.
            () = broken(client.as_ref()) => return Ok(stops()),
            // The client may be gone, and must not hold the permit of one that is there.
            () = ended(client.as_ref()), if !has_ended => match app.connections().to_wait_ended() {
                Some(other) => (permit, has_ended) = (Some(other), true),
                None => return answer_empty(&app, &wanted).await,
            },
        }
    }
}

/// Looks once. A waiting claim holds no permit to call the store. Claims that nobody receives are given back.
async fn look(app: &App, mut wait: ClaimWait) -> Result<(ClaimWait, Option<Parcel>), Problem> {
    app.read(move |store| {
        let claims = wait.look(store)?;
        if claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            store.take_mark_back()?;
        }
        Ok((wait, claims.map(|claims| Parcel::new(store, claims))))
    })
    .await
}

/// Resolves with the next commit, or when the time is over.
async fn next_commit(app: &App, wait: &ClaimWait) {
    let told = app.more_commits_than(wait.seen());
    match wait.until() {
        Some(until) => drop(timeout_at(until.into(), told).await),
        None => told.await,
    }
}

/// Sends the claims to the client, or the reason why there are none. Claims that do not arrive are given back.
async fn answer(app: &App, wanted: &Wanted, client: Option<Peer>, taken: Parcel) -> Answer {
    if taken.claims().is_empty() {
        return answer_empty(app, wanted).await;
    }
    if let Some(peer) = client {
        let text = serde_json::to_vec(&Claims { claims: taken.claims(), reason: None });
        let text =
            text.map_err(|source| Error::invalid("the claims cannot be serialized as JSON").with_source(source))?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], peer.bring(taken, text)).into_response());
    }
    Ok(Json(Claims { claims: &taken.delivered(), reason: None }).into_response())
}

/// Sends the reason why there are no claims.
async fn answer_empty(app: &App, wanted: &Wanted) -> Answer {
    let (bot, options) = (wanted.bot.clone(), wanted.options.clone());
    let why = app.read(move |store| store.view()?.queue().why_nothing(&bot, &options)).await?;
    Ok(Json(Claims { claims: &[], reason: Some(why.to_string()) }).into_response())
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

impl Wanted {
    fn read(mut fields: Fields, app: &App) -> Result<Self> {
        let mut options = app.instance().claim_options();
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
        "there is nothing to claim now, and too many claims are waiting already; retry later, or without wait_ms: \
         retry_after_s={ASK_AGAIN}"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with(header::RETRY_AFTER, ASK_AGAIN)
}

fn stops() -> Response {
    let detail = "the service is shutting down; retry once it is back";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Reopen.as_str(), detail).into_response()
}
