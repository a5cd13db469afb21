//! `/api/queue`: tasks come in, are looked at, and are finished by who shows their token.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;
use serde_json::json;

use crate::duration;
use crate::face::http::app::App;
use crate::face::http::body::Object;
use crate::face::http::fields::Fields;
use crate::face::http::problem::Answer;
use crate::face::http::query::{Name, Query};
use crate::face::http::route::Kind::{Any, Flag, List, Number, Object as Map, Of, Text, Time};
use crate::face::http::route::{
    AT, CURSOR, Field, Gives, LIMIT, NEXT, OK, Route, Takes, nullable, optional, required, sometimes,
};
use crate::face::http::shapes::{self, CLAIM, TEXTS};
use crate::face::http::state::claim::claim;
use crate::face::http::state::reading::read;
use crate::{
    BotId, ClaimOptions, ClaimOwner, Enqueued, Error, NewTask, Result, Retry, Task, TaskId, TaskState, Token, WriteTx,
};

/// The answer of whatever shows or changes a task: the task as it is now.
const TASK: Gives = Gives::Of(&shapes::TASK);
/// So many tasks a request purges unless it is said.
const PURGED: usize = 1_000;
/// No request purges more: at 40 to 70 µs a task its answer comes within a second.
const MOST_PURGED: usize = 10_000;
/// What a holder shows.
const TOKEN: Field = required("token", Number, "what the claim gave");

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/queue",
        about: "List the tasks by id, or those in one state in the order of that state",
        query: &[
            optional("state", Text, "scheduled, waiting, ready, claimed, done, failed, dead or cancelled"),
            LIMIT,
            CURSOR,
            AT,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("tasks", List(&Of(&shapes::TASK)), "the tasks"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/api/queue",
        about: "Put a task into the queue",
        query: &[],
        takes: Takes::Fields(&[
            required("payload", Any, "what is to be done"),
            optional("id", Text, "its name; made of its number unless set"),
            optional("priority", Text, "P0 to P3; P2 unless set"),
            optional("not_before", Time, "nobody may claim it before"),
            optional("delay_ms", Number, "nobody may claim it before so much time has passed; not with not_before"),
            optional("capabilities", TEXTS, "what a bot must be able to do"),
            optional("assigned_to", Text, "the only bot that may claim it"),
            optional(
                "depends_on",
                TEXTS,
                "tasks that must be done before; one that was done and purged counts as done",
            ),
            optional(
                "allow_missing_dependencies",
                Flag,
                "whether it waits for tasks that are still to come too; otherwise a name that is not there is refused",
            ),
            optional("idempotency_key", Text, "the same key again gives the same task"),
            optional(
                "allow_different",
                Flag,
                "whether the task that has the key already is taken although it differs; otherwise that is refused",
            ),
            optional("max_attempts", Number, "how many attempts may fail before it is dead; five unless set"),
            optional("attributes", Map, "anything else"),
        ]),
        gives: Gives::Of(&shapes::PUSHED),
        statuses: OK,
        refuses: &[409],
        handler: || post(push),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/claim",
        about: "Take tasks for a bot, the most urgent first",
        query: &[],
        takes: Takes::Fields(&[
            required("bot", Text, "who takes them"),
            optional("lease_ms", Number, "how long the bot has; 30,000 unless set"),
            optional("max", Number, "at most so many; one unless set, 1,000 at most"),
            optional(
                "max_concurrent",
                Number,
                "how many the bot may hold; three unless set. Where its registration says how many, the smaller counts",
            ),
            optional(
                "wait_ms",
                Number,
                "how long to wait for the first; not at all unless set, a minute at most. When there is nothing to \
                 claim and as many claims wait as may, the answer is 503 with Retry-After, at once",
            ),
        ]),
        gives: Gives::Fields(&[
            required("claims", List(&Of(&CLAIM)), "what it has taken"),
            sometimes("reason", Text, "why there is none: the bot holds as many as it may, or nothing is ready for it"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || post(claim),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/purge",
        about: "Remove the tasks that have been done, failed, dead or cancelled for longer than a time",
        query: &[],
        takes: Takes::Fields(&[
            required("older_than", Text, "how long they have been finished at least, such as 30d"),
            optional("limit", Number, "at most so many in this request; 1,000 unless set, 10,000 at most"),
        ]),
        gives: Gives::Fields(&[
            required("purged", Number, "how many were removed"),
            required("more", Flag, "whether the limit was reached: ask again while it is true"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || post(purge),
    },
    named_as_a_verb("/api/queue/claim", "Show the task whose id is claim", || {
        get(|app, query| one(app, Name("claim".to_owned()), query))
    }),
    named_as_a_verb("/api/queue/purge", "Show the task whose id is purge", || {
        get(|app, query| one(app, Name("purge".to_owned()), query))
    }),
    Route {
        method: Method::GET,
        path: "/api/queue/{task}",
        about: "Show a task",
        query: &[AT],
        takes: Takes::Nothing,
        gives: TASK,
        statuses: OK,
        refuses: &[],
        handler: || get(one),
    },
    Route {
        method: Method::GET,
        path: "/api/queue/{task}/why",
        about: "Say why a task is not claimed, or who may claim it",
        query: &[optional("bot", Text, "ask about this bot alone")],
        takes: Takes::Nothing,
        gives: Gives::Of(&shapes::WHY),
        statuses: OK,
        refuses: &[404],
        handler: || get(why),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/complete",
        about: "Say that a claimed task is done",
        query: &[],
        takes: Takes::Fields(&[TOKEN, optional("result", Any, "what came out")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(complete),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/fail",
        about: "Say that an attempt failed",
        query: &[],
        takes: Takes::Fields(&[
            TOKEN,
            optional("error", Text, "why"),
            optional("retry", Flag, "false when trying again is no use"),
            optional(
                "delay_ms",
                Number,
                "how long to wait before the next attempt; more each time unless set. Not with retry false",
            ),
        ]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(fail),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/extend",
        about: "Make a claim last for so long from now",
        query: &[],
        takes: Takes::Fields(&[TOKEN, optional("lease_ms", Number, "how long; 30,000 unless set")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(extend),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/release",
        about: "Give a claimed task back as if it had not been claimed",
        query: &[],
        takes: Takes::Fields(&[TOKEN]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(release),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/cancel",
        about: "Say that a task is not wanted any more",
        query: &[],
        takes: Takes::Fields(&[optional(
            "token",
            Number,
            "what the claim gave, if only its holder may; anybody without",
        )]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(cancel),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/requeue",
        about: "Put a failed, dead or cancelled task back",
        query: &[],
        takes: Takes::Fields(&[optional(
            "token",
            Number,
            "what a claim gave: that of a task that is finished is void, so that the request is refused",
        )]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(requeue),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/assign",
        about: "Let only one bot claim a task, or any bot again",
        query: &[],
        takes: Takes::Fields(&[nullable("bot", Text, "the only bot that may claim it; null for any again")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(assign),
    },
];

/// A path that is a verb's is not looked for among the tasks, so a task of that name has a route of its own.
const fn named_as_a_verb(path: &'static str, about: &'static str, handler: fn() -> MethodRouter<App>) -> Route {
    Route {
        method: Method::GET,
        path,
        about,
        query: &[AT],
        takes: Takes::Nothing,
        gives: TASK,
        statuses: OK,
        refuses: &[],
        handler,
    }
}

async fn list(State(app): State<App>, query: Query) -> Answer {
    let (asked, options) = (query.clone(), as_claimed(&app));
    read(&app, &query, move |view| {
        let (cursor, limit) = (asked.cursor(), asked.limit()?);
        match asked.parsed("state")? {
            Some(TaskState::Ready) => view.queue().ready_page(&options, cursor, limit),
            state => view.queue().page(state, cursor, limit),
        }
    })
    .await
}

/// The options by which the service hands tasks over.
pub(super) fn as_claimed(app: &App) -> ClaimOptions {
    ClaimOptions { owner: ClaimOwner::Nobody, aging: app.instance().priority_aging(), ..ClaimOptions::default() }
}

async fn one(State(app): State<App>, Name(id): Name, query: Query) -> Answer {
    let id: TaskId = id.parse()?;
    read(&app, &query, move |view| {
        let missing = || Error::not_found(format!("there is no such task: task={id}"));
        view.queue().get(&id)?.ok_or_else(|| view.lost_or("queue", id.as_str(), missing()))
    })
    .await
}

async fn why(State(app): State<App>, Name(id): Name, query: Query) -> Answer {
    let id: TaskId = id.parse()?;
    let bot: Option<BotId> = query.parsed("bot")?;
    let options = as_claimed(&app);
    let why = app.read(move |store| {
        let view = store.view()?;
        bot.map_or_else(|| view.queue().why(&id, &options), |bot| view.queue().why_bot(&id, &bot, &options))
    });
    Ok(Json(why.await?).into_response())
}

async fn push(State(app): State<App>, Object(fields): Object) -> Answer {
    let task = task(fields)?;
    let Enqueued { task, is_new, .. } =
        app.change(move |store| store.write(|tx| tx.queue().enqueue_once(task))).await?;
    Ok(Json(Pushed { task, existing: !is_new }).into_response())
}

/// A task that was pushed, now or before.
#[derive(Serialize)]
struct Pushed {
    #[serde(flatten)]
    task: Task,
    existing: bool,
}

async fn purge(State(app): State<App>, Object(mut fields): Object) -> Answer {
    let older_than = fields.required_text("older_than")?;
    let limit = fields.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(MOST_PURGED));
    let limit = limit.unwrap_or(PURGED).min(MOST_PURGED);
    fields.end()?;
    let older_than = duration::parse(&older_than)?;
    let purged = app.change(move |store| store.purge_at_most(older_than, limit)).await?;
    Ok(Json(json!({"purged": purged, "more": purged == limit})).into_response())
}

/// Read field by field, so that the payload keeps its numbers as they are written. A payload may be null.
fn task(mut fields: Fields) -> Result<NewTask> {
    let mut task = NewTask::new(fields.required_value("payload")?).attributes(fields.object("attributes")?);
    if let Some(id) = fields.parsed("id")? {
        task = task.id(id);
    }
    if let Some(priority) = fields.parsed("priority")? {
        task = task.priority(priority);
    }
    let not_before = fields.time("not_before")?;
    let has_time = not_before.is_some();
    if let Some(time) = not_before {
        task = task.not_before(time);
    }
    if let Some(delay) = fields.millis("delay_ms")? {
        if has_time {
            return Err(Error::invalid("a task has a time or a delay; leave one of the two out: field=delay_ms"));
        }
        task = task.delay(delay);
    }
    for capability in fields.list("capabilities")? {
        task = task.capability(capability);
    }
    if let Some(bot) = fields.parsed("assigned_to")? {
        task = task.assign_to(bot);
    }
    for other in fields.list("depends_on")? {
        task = task.after(other.parse()?);
    }
    if fields.flag_or("allow_missing_dependencies", false)? {
        task = task.allow_missing_dependencies();
    }
    if let Some(key) = fields.text("idempotency_key")? {
        task = task.idempotency_key(key);
    }
    if fields.flag_or("allow_different", false)? {
        task = task.allow_different();
    }
    if let Some(attempts) = fields.number("max_attempts")? {
        let most = u32::MAX;
        let too_many = |_| Error::invalid(format!("a task has {most} attempts at most: max_attempts={attempts}"));
        task = task.max_attempts(u32::try_from(attempts).map_err(too_many)?);
    }
    fields.end()?;
    Ok(task)
}

async fn complete(app: State<App>, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    let result = fields.value("result").unwrap_or_default();
    act(app, name, fields, move |tx, id| tx.queue().complete(id, token, result)).await
}

async fn fail(app: State<App>, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    let error = fields.any_text("error").unwrap_or_else(|| Task::NO_REASON.to_owned());
    let retry = match (fields.flag_or("retry", true)?, fields.millis("delay_ms")?) {
        (false, None) => Retry::Never,
        (false, Some(delay)) => return Err(no_delay(delay).into()),
        (true, Some(delay)) => Retry::After(delay),
        (true, None) => Retry::Later,
    };
    act(app, name, fields, move |tx, id| tx.queue().fail(id, token, error, retry)).await
}

fn no_delay(delay: Duration) -> Error {
    let delay = delay.as_millis();
    Error::invalid(format!(
        "what is not tried again has no delay; leave one of the two out: retry=false delay_ms={delay}"
    ))
}

async fn extend(app: State<App>, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    let lease = fields.millis("lease_ms")?.unwrap_or(ClaimOptions::default().lease);
    act(app, name, fields, move |tx, id| tx.queue().extend(id, token, lease)).await
}

async fn release(app: State<App>, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    act(app, name, fields, move |tx, id| tx.queue().release(id, token)).await
}

async fn cancel(app: State<App>, name: Name, Object(fields): Object) -> Answer {
    act_for_holder_or_operator(app, name, fields, |tx, id| tx.queue().cancel(id)).await
}

async fn requeue(app: State<App>, name: Name, Object(fields): Object) -> Answer {
    act_for_holder_or_operator(app, name, fields, |tx, id| tx.queue().requeue(id)).await
}

async fn assign(app: State<App>, name: Name, Object(mut fields): Object) -> Answer {
    let bot: Option<BotId> = fields.required_or_null("bot")?;
    act(app, name, fields, move |tx, id| match &bot {
        Some(bot) => tx.queue().assign(id, bot),
        None => tx.queue().unassign(id),
    })
    .await
}

/// Does something to the task that the path names, in a transaction of its own.
async fn act(
    State(app): State<App>,
    Name(id): Name,
    fields: Fields,
    work: impl FnOnce(&mut WriteTx<'_>, &TaskId) -> Result<Task> + Send + 'static,
) -> Answer {
    let id: TaskId = id.parse()?;
    fields.end()?;
    let task = app.change(move |store| store.write(|tx| work(tx, &id))).await?;
    Ok(Json(task).into_response())
}

/// The same without need of a token. Who shows one acts as the holder of the task, and must be.
async fn act_for_holder_or_operator(
    app: State<App>,
    name: Name,
    mut fields: Fields,
    work: impl FnOnce(&mut WriteTx<'_>, &TaskId) -> Result<Task> + Send + 'static,
) -> Answer {
    let token = shown_token(&mut fields)?;
    act(app, name, fields, move |tx, id| {
        token.map_or(Ok(()), |token| tx.queue().check_token(id, token))?;
        work(tx, id)
    })
    .await
}

fn token(fields: &mut Fields) -> Result<Token> {
    let missing = || Error::invalid("a field is missing: field=token");
    shown_token(fields)?.ok_or_else(missing)
}

/// The token of a request that needs none.
fn shown_token(fields: &mut Fields) -> Result<Option<Token>> {
    Ok(fields.number("token")?.map(Token))
}
