//! `POST /api/queue/claim`: a bot takes tasks, and may wait for one.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;

use crate::error::{ErrorKind, Result};
use crate::face::http::app::App;
use crate::face::http::body::Object;
use crate::face::http::members::Members;
use crate::face::http::problem::{Answer, Problem};
use crate::state::ids::BotId;
use crate::state::queue::{Claim, ClaimOptions};

/// Nobody waits longer: what stands between client and service would cut the connection.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A bot that waits looks again this often, as tasks also come due, and come from other processes.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
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
struct Claims {
    claims: Vec<Claim>,
}

pub(super) async fn claim(State(app): State<App>, Object(members): Object) -> Answer {
    let wanted = Wanted::read(members)?;
    let until = Instant::now() + wanted.wait;
    loop {
        // Asked for before looking, so that a task that comes in between is not missed.
        let told = app.tasks().notified();
        let claims = take(&app, &wanted).await?;
        if !claims.is_empty() || Instant::now() >= until {
            return Ok(Json(Claims { claims }).into_response());
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN)) => {}
            () = app.stops() => return Ok(stops()),
        }
    }
}

/// Takes what there is. Waiting costs no turn at the store.
async fn take(app: &App, wanted: &Wanted) -> Result<Vec<Claim>, Problem> {
    let (bot, options) = (wanted.bot.clone(), wanted.options.clone());
    app.call(move |instance| {
        let store = instance.store();
        let claims = store.write(|tx| tx.queue().claim(&bot, &options))?;
        if !claims.is_empty() {
            store.take_mark_back()?;
        }
        Ok(claims)
    })
    .await
}

impl Wanted {
    fn read(mut members: Members) -> Result<Self> {
        let mut options = ClaimOptions::default();
        let bot = members.needed("bot")?;
        if let Some(lease) = members.millis("lease_ms")? {
            options.lease = lease;
        }
        if let Some(max) = members.number("max")? {
            options.max = usize::try_from(max.min(MOST)).unwrap_or_default();
        }
        let wait = members.millis("wait_ms")?.unwrap_or_default().min(LONGEST_WAIT);
        members.end()?;
        Ok(Self { bot, options, wait })
    }
}

fn stops() -> Response {
    let detail = "the service stops; ask again once it is back";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Reopen.as_str(), detail).into_response()
}
