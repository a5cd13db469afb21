//! `POST /api/queue/claim`: a bot claims tasks, and may wait for one; also after it has completed another.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::sockets::peer::Peer;
use crate::face::parcel::Parcel;
use crate::face::wire::fields::{Fields, missing};
use crate::face::wire::task::token;
use crate::{BotId, Claim, ClaimOptions, ClaimWait, Completed, Error, ErrorKind, Result, Task, TaskId};

/// Maximum wait: proxies would cut the connection after longer ones.
const LONGEST_WAIT_MS: u64 = 60_000;
/// Seconds after which a client retries that cannot wait, because too many claims are waiting.
const ASK_AGAIN: &str = "5";
/// Maximum number of tasks in one claim.
const MOST: u64 = 1_000;

/// A request to claim.
struct Wanted {
    bot: BotId,
    options: ClaimOptions,
    wait: Duration,
    /// The task that was completed before.
    completed: Option<Task>,
}

/// The response.
#[derive(Serialize)]
struct Claims<'c> {
    /// The task that was completed before.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<&'c Task>,
    claims: &'c [Claim],
    /// The reason why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn claim(app: App, client: Option<Extension<Peer>>, Object(mut fields): Object) -> Answer {
    let client = client.map(|Extension(peer)| peer);
    let bot: Option<BotId> = fields.parsed("bot")?;
    let (options, within) = options_of(fields, &app)?;
    let bot = bot.or_else(|| app.own_bot()).ok_or_else(|| missing("bot"))?;
    let wanted = Wanted { bot, options, wait: within, completed: None };
    match wait(&app, &wanted, client.as_ref()).await? {
        Waited::Taken(taken) => answer(&app, &wanted, client, taken).await,
        Waited::GaveWay => answer(&app, &wanted, None, Parcel::none()).await,
        Waited::Crowded => Err(too_many_wait()),
        Waited::Stopped => Ok(stops()),
    }
}

/// Completes a task, and claims the next ones for its bot. The task stays completed whatever becomes of the wait, so
/// that its response is a success.
pub(super) async fn complete_and_claim(
    app: App,
    client: Option<Extension<Peer>>,
    Name(id): Name,
    Object(mut fields): Object,
) -> Answer {
    let client = client.map(|Extension(peer)| peer);
    let id: TaskId = id.parse()?;
    let token = token(&mut fields)?;
    let result = fields.value("result").unwrap_or_default();
    let (options, within) = options_of(fields, &app)?;
    let first = options.clone();
    let ended = app.change(move |store| {
        let ended = store.complete_and_claim(&id, token, result, &first, Duration::ZERO)?;
        Ok((ended.completed, Parcel::new(store, ended.claims)))
    });
    let (completed, mut taken) = ended.await?;
    let Some(bot) = completed.finished_by.clone() else {
        return Ok(Json(Claims { completed: Some(&completed), claims: &[], reason: None }).into_response());
    };
    let waits = Completed::waiting_bot(&completed, taken.claims(), within).is_some();
    let wanted = Wanted { bot, options, wait: within, completed: Some(completed) };
    if waits {
        taken = match wait(&app, &wanted, client.as_ref()).await {
            Ok(Waited::Taken(taken)) => taken,
            // The next claim learns of it.
            Ok(Waited::GaveWay | Waited::Crowded | Waited::Stopped) | Err(_) => Parcel::none(),
        };
    }
    answer(&app, &wanted, client, taken).await
}

/// The end of a wait for claims.
enum Waited {
    /// Claims, or none because the time is over.
    Taken(Parcel),
    /// The client may be gone, and others wait that are there.
    GaveWay,
    /// Too many claims are waiting.
    Crowded,
    /// The service is shutting down, or nobody would read the response.
    Stopped,
}

/// Claims, and waits for the first one as long as the request says.
async fn wait(app: &App, wanted: &Wanted, client: Option<&Peer>) -> Answer<Waited> {
    let mut wait = ClaimWait::new(&wanted.bot, &wanted.options, wanted.wait);
    let (mut permit, mut has_ended) = (None, false);
    loop {
        // A waiting claim holds no permit to call the store.
        let (looked, taken) = app.read(move |store| Parcel::look(store, wait)).await?;
        wait = looked;
        if let Some(taken) = taken {
            return Ok(Waited::Taken(taken));
        }
        if permit.is_none() {
            let Some(place) = app.connections().to_wait() else { return Ok(Waited::Crowded) };
            permit = Some(place);
        }
        tokio::select! {
            () = wait.news() => {}
            () = app.stops() => return Ok(Waited::Stopped),
            // Nobody would read the response.
            () = broken(client) => return Ok(Waited::Stopped),
            // The client may be gone, and must not hold the permit of one that is there.
            () = ended(client), if !has_ended => match app.connections().to_wait_ended() {
                Some(other) => (permit, has_ended) = (Some(other), true),
                None => return Ok(Waited::GaveWay),
            },
        }
    }
}

/// Sends the claims to the client, or the reason why there are none. Claims that do not arrive are given back.
async fn answer(app: &App, wanted: &Wanted, client: Option<Peer>, taken: Parcel) -> Answer {
    let completed = wanted.completed.as_ref();
    if taken.claims().is_empty() {
        let (bot, options) = (wanted.bot.clone(), wanted.options.clone());
        let why = app.read(move |store| store.view()?.queue().why_nothing(&bot, &options)).await;
        let reason = match why {
            Ok(why) => Some(why.to_string()),
            // A completion is reported in any case.
            Err(_) if completed.is_some() => None,
            Err(problem) => return Err(problem),
        };
        return Ok(Json(Claims { completed, claims: &[], reason }).into_response());
    }
    if let Some(peer) = client {
        let text = serde_json::to_vec(&Claims { completed, claims: taken.claims(), reason: None });
        let text =
            text.map_err(|source| Error::invalid("the claims cannot be serialized as JSON").with_source(source))?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], peer.bring(taken, text)).into_response());
    }
    Ok(Json(Claims { completed, claims: &taken.delivered(), reason: None }).into_response())
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

/// Reads the options of a claim and how long it waits, and refuses other fields.
fn options_of(mut fields: Fields, app: &App) -> Result<(ClaimOptions, Duration)> {
    let mut options = app.instance().claim_options();
    if let Some(lease) = fields.millis("lease_ms")? {
        options.lease = lease;
    }
    if let Some(max) = fields.number_up_to("max", MOST)? {
        options.max = usize::try_from(max).unwrap_or_default();
    }
    if let Some(most) = fields.number("max_concurrent")? {
        options.max_concurrent = Some(u32::try_from(most).unwrap_or(u32::MAX));
    }
    let wait = fields.number_up_to("wait_ms", LONGEST_WAIT_MS)?.map(Duration::from_millis).unwrap_or_default();
    fields.end()?;
    Ok((options, wait))
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
