//! `/api/queue`: tasks are pushed, listed and finished; finishing requires the token of the claim. The handlers of
//! batches and of claims are in files of their own.
//!
//! The file is long because half of it is the table of routes, which stays beside its handlers.

use std::time::Duration;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;
use serde_json::json;

use crate::duration;
use crate::face::http::app::App;
use crate::face::http::bodies::body::Object;
use crate::face::http::bodies::preview::{PREVIEW, Preview};
use crate::face::http::bodies::query::{Listed, Name, Query};
use crate::face::http::problem::Answer;
use crate::face::http::route::{AT, CURSOR, Gives, LIMIT, LOST, NEXT, Needs, OK, PARTIAL, Route, Takes};
use crate::face::http::shapes::{self, CLAIM};
use crate::face::http::state::batch::push_all;
use crate::face::http::state::claim::{claim, complete_and_claim};
use crate::face::http::state::reading::{list as listed, read};
use crate::face::wire::field::FieldType::{Any, Flag, List, Number, Of, Text};
use crate::face::wire::field::{Field, TEXTS, nullable, optional, required, sometimes};
use crate::face::wire::fields::Fields;
use crate::face::wire::task::{AGE_FILTER, BOT_FILTER, CAN_FILTER, ID_FILTER, PRIORITY_FILTER, STATE_FILTER};
use crate::face::wire::task::{NEW_TASK, shown_token, task, token};
use crate::{
    BotId, ClaimOptions, Enqueued, Error, Result, Retry, Task, TaskFilter, TaskId, TaskPage, TaskState, WriteTx,
};

/// The response of routes that show or change a task: the task as it is now.
const TASK: Gives = Gives::Of(&shapes::TASK);
/// Number of tasks that a request purges unless set.
const PURGED: usize = 1_000;
/// Maximum number of tasks that a request purges: at 40 to 70 µs a task it ends within a second.
const MOST_PURGED: usize = 10_000;
/// The token of the holder.
const TOKEN: Field = required("token", Number, "token of the claim");

/// The fields of a claim.
const LEASE: Field = optional("lease_ms", Number, "length of the lease; 30,000 unless set");
const MAX: Field = optional("max", Number, "maximum number of tasks; one unless set, at most 1,000");
const MAX_CONCURRENT: Field = optional(
    "max_concurrent",
    Number,
    "number of tasks that the bot may hold; three unless set. The smaller of this and the limit of its registration applies",
);
const CLAIMS: Field = required("claims", List(&Of(&CLAIM)), "the claimed tasks");
const REASON: Field = sometimes(
    "reason",
    Text,
    "reason why nothing was claimed: the bot holds as many tasks as it may, or no task is ready for it",
);

/// The routes.
pub(in crate::face::http) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/api/queue",
        needs: Needs::Reader,
        about: "List the tasks by id, or those in one state in the order of that state; with a filter a page may be short",
        query: &[
            STATE_FILTER,
            BOT_FILTER,
            CAN_FILTER,
            PRIORITY_FILTER,
            ID_FILTER,
            AGE_FILTER,
            LIMIT,
            CURSOR,
            AT,
            PREVIEW,
        ],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("tasks", List(&Of(&shapes::TASK)), "the tasks"), NEXT, PARTIAL, LOST]),
        statuses: OK,
        refuses: &[],
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/api/queue",
        needs: Needs::Bot,
        about: "Put a task into the queue",
        query: &[],
        takes: Takes::Fields(NEW_TASK.fields),
        gives: Gives::Of(&shapes::PUSHED),
        statuses: OK,
        refuses: &[409],
        handler: || post(push),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/batch",
        needs: Needs::Bot,
        about: "Put many tasks into the queue, all of them or none",
        query: &[],
        takes: Takes::Fields(&[
            required(
                "tasks",
                List(&Of(&NEW_TASK)),
                "the tasks, at most 10,000; they may depend on each other in any order",
            ),
            optional("full", Flag, "whether the answer has the tasks with all their fields"),
        ]),
        gives: Gives::Fields(&[required("tasks", List(&Of(&shapes::BATCHED)), "the pushed tasks, in the same order")]),
        statuses: OK,
        refuses: &[409],
        handler: || post(push_all),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/claim",
        needs: Needs::Bot,
        about: "Claim tasks for a bot, the most urgent first",
        query: &[],
        takes: Takes::Fields(&[
            optional("bot", Text, "the claiming bot; that of the key unless set, and required without a key of a bot"),
            LEASE,
            MAX,
            MAX_CONCURRENT,
            optional(
                "wait_ms",
                Number,
                "time to wait for the first; no wait unless set, a minute at most. When there is nothing to \
                 claim and the limit of waiting claims is reached, the answer is 503 with Retry-After, at once",
            ),
        ]),
        gives: Gives::Fields(&[CLAIMS, REASON]),
        statuses: OK,
        refuses: &[],
        handler: || post(claim),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/purge",
        needs: Needs::Operator,
        about: "Remove tasks that finished longer ago than a given time",
        query: &[],
        takes: Takes::Fields(&[
            required("older_than", Text, "minimum time since they finished, such as 30d"),
            optional("limit", Number, "maximum number in this request; 1,000 unless set, at most 10,000"),
        ]),
        gives: Gives::Fields(&[
            required("purged", Number, "number of removed tasks"),
            required("more", Flag, "whether the limit was reached; repeat the request while it is true"),
        ]),
        statuses: OK,
        refuses: &[],
        handler: || post(purge),
    },
    named_as_a_verb("/api/queue/batch", "Show the task whose id is batch", || {
        get(|app, query| one(app, Name("batch".to_owned()), query))
    }),
    named_as_a_verb("/api/queue/claim", "Show the task whose id is claim", || {
        get(|app, query| one(app, Name("claim".to_owned()), query))
    }),
    named_as_a_verb("/api/queue/purge", "Show the task whose id is purge", || {
        get(|app, query| one(app, Name("purge".to_owned()), query))
    }),
    Route {
        method: Method::GET,
        path: "/api/queue/{task}",
        needs: Needs::Reader,
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
        needs: Needs::Reader,
        about: "Explain why a task is not claimed, or list the bots that may claim it",
        query: &[optional("bot", Text, "explain it for this bot only")],
        takes: Takes::Nothing,
        gives: Gives::Of(&shapes::WHY),
        statuses: OK,
        refuses: &[404],
        handler: || get(why),
    },
    Route {
        method: Method::GET,
        path: "/api/queue/{task}/dependents",
        needs: Needs::Reader,
        about: "List the ids of the tasks that wait for a task now",
        query: &[LIMIT, CURSOR],
        takes: Takes::Nothing,
        gives: Gives::Fields(&[required("tasks", TEXTS, "ids of the tasks"), NEXT]),
        statuses: OK,
        refuses: &[],
        handler: || get(dependents),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/complete",
        needs: Needs::Bot,
        about: "Complete a claimed task",
        query: &[],
        takes: Takes::Fields(&[TOKEN, optional("result", Any, "result")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(complete),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/complete-and-claim",
        needs: Needs::Bot,
        about: "Complete a claimed task, and claim the next ones for the same bot in the same commit",
        query: &[],
        takes: Takes::Fields(&[
            TOKEN,
            optional("result", Any, "result"),
            LEASE,
            MAX,
            MAX_CONCURRENT,
            optional(
                "wait_ms",
                Number,
                "time to wait for the first; no wait unless set, a minute at most. The task is completed before \
                 the wait",
            ),
        ]),
        gives: Gives::Fields(&[required("completed", Of(&shapes::TASK), "the completed task"), CLAIMS, REASON]),
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(complete_and_claim),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/fail",
        needs: Needs::Bot,
        about: "Fail a claimed task",
        query: &[],
        takes: Takes::Fields(&[
            TOKEN,
            optional("error", Text, "reason of the failure"),
            optional("retry", Flag, "false to never retry; true unless set"),
            optional(
                "delay_ms",
                Number,
                "delay before the next attempt; grows with each attempt unless set. Excludes retry=false",
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
        needs: Needs::Bot,
        about: "Extend the lease of a claim, from now",
        query: &[],
        takes: Takes::Fields(&[TOKEN, optional("lease_ms", Number, "length of the lease from now; 30,000 unless set")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(extend),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/release",
        needs: Needs::Bot,
        about: "Release a claimed task as if it had not been claimed",
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
        needs: Needs::Bot,
        about: "Cancel a task",
        query: &[],
        takes: Takes::Fields(&[optional(
            "token",
            Number,
            "token of the claim, to cancel only as its holder; anyone may cancel without a token",
        )]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(cancel),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/requeue",
        needs: Needs::Operator,
        about: "Requeue a failed, dead or cancelled task",
        query: &[],
        takes: Takes::Fields(&[optional(
            "token",
            Number,
            "token of a claim; the token of a finished task is void, so the request is refused",
        )]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(requeue),
    },
    Route {
        method: Method::POST,
        path: "/api/queue/{task}/assign",
        needs: Needs::Operator,
        about: "Assign a task to one bot, or to any bot again",
        query: &[],
        takes: Takes::Fields(&[nullable("bot", Text, "the only bot that may claim it; null for any bot")]),
        gives: TASK,
        statuses: OK,
        refuses: &[404, 409],
        handler: || post(assign),
    },
];

/// The path of a verb shadows the task of that id, so the task has a route of its own.
const fn named_as_a_verb(path: &'static str, about: &'static str, handler: fn() -> MethodRouter<App>) -> Route {
    Route {
        method: Method::GET,
        path,
        needs: Needs::Reader,
        about,
        query: &[AT],
        takes: Takes::Nothing,
        gives: TASK,
        statuses: OK,
        refuses: &[],
        handler,
    }
}

async fn list(app: App, query: Query) -> Answer {
    let (asked, options, shown) = (query.clone(), app.instance().claim_options(), app.clone());
    let (filter, preview) = (filter(&query)?, Preview::of(&query)?);
    listed(&app, &query, "queue", move |view| {
        let (cursor, limit) = (asked.cursor(), asked.limit()?);
        let in_order = TaskFilter { state: Some(TaskState::Ready), ..TaskFilter::default() };
        let TaskPage { tasks, next } = match filter == in_order {
            true => view.queue().ready_page(&options, cursor, limit)?,
            false => view.queue().filtered_page(&filter, cursor, limit)?,
        };
        let page = TaskPage { tasks: tasks.into_iter().map(|task| shown.shown(task)).collect(), next };
        preview.of_list(page, "tasks", &["payload", "result", "attributes", "last_error"])
    })
    .await
}

fn filter(query: &Query) -> Result<TaskFilter> {
    Ok(TaskFilter {
        state: query.parsed("state")?,
        bot: query.parsed("bot")?,
        capability: query.get("can").map(str::to_owned),
        priority: query.parsed("priority")?,
        id_prefix: query.get("id").map(str::to_owned),
        older_than: query.get("older_than").map(duration::parse).transpose()?,
    })
}

async fn dependents(app: App, Name(id): Name, query: Query) -> Answer {
    let id: TaskId = id.parse()?;
    app.read(move |store| {
        let page = store.view()?.queue().dependents(&id, query.cursor(), query.limit()?)?;
        Ok(Json(Listed::of(page, "tasks")).into_response())
    })
    .await
}

async fn one(app: App, Name(id): Name, query: Query) -> Answer {
    let id: TaskId = id.parse()?;
    let shown = app.clone();
    read(&app, &query, move |view| {
        let missing = || Error::not_found(format!("there is no such task: task={id}"));
        let task = view.queue().get(&id)?.ok_or_else(|| view.lost_or("queue", id.as_str(), missing()))?;
        Ok(shown.shown(task))
    })
    .await
}

async fn why(app: App, Name(id): Name, query: Query) -> Answer {
    let id: TaskId = id.parse()?;
    let bot: Option<BotId> = query.parsed("bot")?;
    let options = app.instance().claim_options();
    let why = app.read(move |store| {
        let view = store.view()?;
        bot.map_or_else(|| view.queue().why(&id, &options), |bot| view.queue().why_bot(&id, &bot, &options))
    });
    Ok(Json(why.await?).into_response())
}

async fn push(app: App, Object(fields): Object) -> Answer {
    let task = task(fields)?;
    let Enqueued { task, is_new, differs } =
        app.change(move |store| store.write(|tx| tx.queue().enqueue_once(task))).await?;
    Ok(Json(Pushed { task: app.shown(task), existing: !is_new, differs }).into_response())
}

/// A task that was pushed, now or before.
#[derive(Serialize)]
struct Pushed {
    #[serde(flatten)]
    task: Task,
    existing: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<&'static str>,
}

async fn purge(app: App, Object(mut fields): Object) -> Answer {
    let older_than = fields.required_text("older_than")?;
    let limit = fields.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(MOST_PURGED));
    let limit = limit.unwrap_or(PURGED).min(MOST_PURGED);
    fields.end()?;
    let older_than = duration::parse(&older_than)?;
    let purged = app.change(move |store| store.purge_at_most(older_than, limit)).await?;
    Ok(Json(json!({"purged": purged, "more": purged == limit})).into_response())
}

async fn complete(app: App, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    let result = fields.value("result").unwrap_or_default();
    act(app, name, fields, move |tx, id| tx.queue().complete(id, token, result)).await
}

async fn fail(app: App, name: Name, Object(mut fields): Object) -> Answer {
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
    Error::invalid(format!("retry=false and delay_ms exclude each other; leave one out: retry=false delay_ms={delay}"))
}

async fn extend(app: App, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    let lease = fields.millis("lease_ms")?.unwrap_or(ClaimOptions::default().lease);
    act(app, name, fields, move |tx, id| tx.queue().extend(id, token, lease)).await
}

async fn release(app: App, name: Name, Object(mut fields): Object) -> Answer {
    let token = token(&mut fields)?;
    act(app, name, fields, move |tx, id| tx.queue().release(id, token)).await
}

async fn cancel(app: App, name: Name, Object(fields): Object) -> Answer {
    act_for_holder_or_operator(app, name, fields, |tx, id| tx.queue().cancel(id)).await
}

async fn requeue(app: App, name: Name, Object(fields): Object) -> Answer {
    act_for_holder_or_operator(app, name, fields, |tx, id| tx.queue().requeue(id)).await
}

async fn assign(app: App, name: Name, Object(mut fields): Object) -> Answer {
    let bot: Option<BotId> = fields.required_or_null("bot")?;
    act(app, name, fields, move |tx, id| match &bot {
        Some(bot) => tx.queue().assign(id, bot),
        None => tx.queue().unassign(id),
    })
    .await
}

/// Changes the task in the path, in a transaction of its own.
async fn act(
    app: App,
    Name(id): Name,
    fields: Fields,
    work: impl FnOnce(&mut WriteTx<'_>, &TaskId) -> Result<Task> + Send + 'static,
) -> Answer {
    let id: TaskId = id.parse()?;
    fields.end()?;
    let task = app.change(move |store| store.write(|tx| work(tx, &id))).await?;
    Ok(Json(app.shown(task)).into_response())
}

/// The same without a required token. A caller that shows one acts as the holder of the task, and must be it.
async fn act_for_holder_or_operator(
    app: App,
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
