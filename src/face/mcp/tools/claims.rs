//! Tools that claim a task, and extend, complete, fail and release it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::face::mcp::call::Call;
use crate::face::mcp::pages::{self, ON_ITS_OWN};
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::mcp::tool::{Effect, Outcome, Tool};
use crate::face::parcel::Parcel;
use crate::face::wire::field::FieldType::{Any, Flag, Number, Text};
use crate::face::wire::field::{Field, optional, required};
use crate::face::wire::fields::{Fields, missing};
use crate::face::wire::shorten::shorten_fields;
use crate::{BotId, Claim, ClaimOptions, ClaimWait, Completed, Error, Result, Retry, Role, TaskId, Token};

/// The lease of a claim unless the call says otherwise: agents think for minutes.
const LEASE: Duration = Duration::from_secs(5 * 60);
/// The same where no session extends it.
const LEASE_ALONE: Duration = Duration::from_secs(15 * 60);
/// The longest wait, as clients give up after a minute.
const LONGEST_WAIT_MS: u64 = 50_000;
/// The most tasks of one claim.
const MOST: u64 = 10;

const TASK: Field = required("task", Text, "id of the task");
const TOKEN: Field =
    optional("token", Number, "token of the claim; needed only if this session did not make the claim");
const LEASE_MS: Field = optional(
    "lease_ms",
    Number,
    "time for which the task stays yours when nobody extends the lease; unless set five minutes, or 15 without a session; at \
     most seven days",
);
const WAIT_MS: Field = optional("wait_ms", Number, "time to wait for a task; no wait unless set, at most 50,000");
const BOT: Field = optional("bot", Text, "the bot; the one that you act as unless set");

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "claim",
        title: "Claim a task",
        about: "Claim the most urgent tasks that your bot can do. Nobody else gets a claimed task. Do it, then call \
                complete, fail or release. If there is none, the answer says why; set wait_ms to wait for one.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[
            BOT,
            WAIT_MS,
            optional("max", Number, "number of tasks at most; one unless set, at most 10"),
            LEASE_MS,
        ],
        call: |call, fields| Box::pin(claim(call, fields)),
    },
    Tool {
        name: "extend",
        title: "Extend a claim",
        about: "Keep a claimed task for longer. Within a session this is done for you; call it when claim said that the \
                lease is not extended.",
        needs: Role::Bot,
        effect: Effect::Sets,
        takes: &[TASK, TOKEN, LEASE_MS],
        call: |call, fields| Box::pin(extend(call, fields)),
    },
    Tool {
        name: "complete",
        title: "Complete a task",
        about: "Say that a claimed task is done, with its result. With claim_next you get the next task in the same commit.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[
            TASK,
            TOKEN,
            optional("result", Any, "the result, for those who wait for it: any JSON, short"),
            optional("claim_next", Flag, "whether to claim the next task as well"),
            WAIT_MS,
            LEASE_MS,
        ],
        call: |call, fields| Box::pin(complete(call, fields)),
    },
    Tool {
        name: "fail",
        title: "Fail a task",
        about: "Say that an attempt at a claimed task failed, and why. It is tried again later, unless retry is false or \
                it has no attempts left.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[
            TASK,
            TOKEN,
            required("error", Text, "the reason, for the one who tries next"),
            optional("retry", Flag, "whether it is tried again; true unless set"),
            optional("delay_ms", Number, "delay before it is tried again; grows with each attempt unless set"),
        ],
        call: |call, fields| Box::pin(fail(call, fields)),
    },
    Tool {
        name: "release",
        title: "Release a task",
        about: "Give back a claimed task that you have not begun. It is ready for others at once, and no attempt is counted.",
        needs: Role::Bot,
        effect: Effect::Adds,
        takes: &[TASK, TOKEN],
        call: |call, fields| Box::pin(release(call, fields)),
    },
];

async fn claim(call: Call, mut fields: Fields) -> Outcome {
    let bot = call.bot(&mut fields)?;
    let (mut options, wait) = options_of(&call, &mut fields)?;
    if let Some(max) = fields.number_up_to("max", MOST)? {
        options.max = usize::try_from(max).unwrap_or_default();
    }
    fields.end()?;
    let claims = wait_for(&call, &bot, &options, wait).await?;
    if claims.is_empty() {
        return Ok(json!({"claims": [], "reason": why_nothing(&call, bot, options).await?}));
    }
    answer(&call, None, claims)
}

async fn complete(call: Call, mut fields: Fields) -> Outcome {
    let (id, token) = claimed(&call, &mut fields)?;
    let result = fields.value("result").unwrap_or_default();
    let claims_next = fields.flag("claim_next")?;
    let (options, wait) = options_of(&call, &mut fields)?;
    fields.end()?;
    let (leases, next) = (call.leases.clone(), options.clone());
    let (task, taken) = call
        .change(move |store| {
            let (task, claims) = if claims_next {
                let ended = store.complete_and_claim(&id, token, result, &next, Duration::ZERO)?;
                (ended.completed, ended.claims)
            } else {
                (store.write(|tx| tx.queue().complete(&id, token, result))?, Vec::new())
            };
            leases.claims().let_go(&id, token);
            Ok((task, Parcel::new(store, claims)))
        })
        .await?;
    let done = json!({"task": task.id, "state": task.state});
    let Some(bot) = task.finished_by.clone().filter(|_| claims_next) else { return Ok(json!({ "completed": done })) };
    // The task stays completed, whatever becomes of the next one.
    let mut claims = keep(&call, taken, options.lease).await.unwrap_or_default();
    if Completed::waiting_bot(&task, &claims, wait).is_some() {
        claims = wait_for(&call, &bot, &options, wait).await.unwrap_or_default();
    }
    if claims.is_empty() {
        let reason = why_nothing(&call, bot, options).await.ok();
        return Ok(json!({"completed": done, "claims": [], "reason": reason}));
    }
    answer(&call, Some(done), claims)
}

async fn extend(call: Call, mut fields: Fields) -> Outcome {
    let (id, token) = claimed(&call, &mut fields)?;
    let lease = lease(&call, &mut fields)?;
    fields.end()?;
    let leases = call.leases.clone();
    let task = call
        .change(move |store| {
            let task = store.write(|tx| tx.queue().extend(&id, token, lease))?;
            leases.claims().was_extended(&id, token, lease);
            Ok(task)
        })
        .await?;
    call.leases.look_again();
    Ok(call.shown(&task).map(|mut shown| {
        shorten_fields(&mut shown, &["payload", "attributes"], pages::IN_LIST);
        shown
    })?)
}

async fn fail(call: Call, mut fields: Fields) -> Outcome {
    let (id, token) = claimed(&call, &mut fields)?;
    let error = fields.required_text("error")?;
    let retry = match (fields.flag_or("retry", true)?, fields.millis("delay_ms")?) {
        (false, None) => Retry::Never,
        (false, Some(_)) => {
            return Err(Error::invalid("retry=false and delay_ms exclude each other; leave one out").into());
        }
        (true, Some(delay)) => Retry::After(delay),
        (true, None) => Retry::Later,
    };
    fields.end()?;
    let leases = call.leases.clone();
    let task = call
        .change(move |store| {
            let task = store.write(|tx| tx.queue().fail(&id, token, error, retry))?;
            leases.claims().let_go(&id, token);
            Ok(task)
        })
        .await?;
    Ok(json!({"task": task.id, "state": task.state, "attempts": task.attempts}))
}

async fn release(call: Call, mut fields: Fields) -> Outcome {
    let (id, token) = claimed(&call, &mut fields)?;
    fields.end()?;
    let leases = call.leases.clone();
    let task = call
        .change(move |store| {
            let task = store.write(|tx| tx.queue().release(&id, token))?;
            leases.claims().let_go(&id, token);
            Ok(task)
        })
        .await?;
    Ok(json!({"task": task.id, "state": task.state}))
}

/// The task of a call, and its token.
fn claimed(call: &Call, fields: &mut Fields) -> Result<(TaskId, Token)> {
    let id: TaskId = fields.parsed("task")?.ok_or_else(|| missing("task"))?;
    let token = call.token(&id, fields)?;
    Ok((id, token))
}

fn options_of(call: &Call, fields: &mut Fields) -> Result<(ClaimOptions, Duration)> {
    let lease = lease(call, fields)?;
    let wait = fields.number_up_to("wait_ms", LONGEST_WAIT_MS)?.map(Duration::from_millis).unwrap_or_default();
    Ok((ClaimOptions { lease, ..call.door.claim_options() }, wait))
}

fn lease(call: &Call, fields: &mut Fields) -> Result<Duration> {
    Ok(fields.millis("lease_ms")?.unwrap_or(if call.lasts { LEASE } else { LEASE_ALONE }))
}

/// Claims, and waits for the first task. The session keeps the claims.
async fn wait_for(
    call: &Call,
    bot: &BotId,
    options: &ClaimOptions,
    within: Duration,
) -> Result<Vec<Claim>, RefusedCall> {
    let until = Instant::now() + within;
    let (mut wait, mut place) = (ClaimWait::new(bot, options, within), None);
    loop {
        let (looked, taken) = call.read(move |store| Parcel::look(store, wait)).await?;
        wait = looked;
        if let Some(taken) = taken {
            return keep(call, taken, options.lease).await;
        }
        if place.is_none() {
            place = Some(call.door.place_to_wait().ok_or_else(too_many_wait)?);
        }
        tokio::select! {
            () = wait.news() => {}
            () = call.door.stops() => return Err(RefusedCall::stopped()),
            () = call.leases.ended() => return Err(cancelled()),
            () = call.context.ct.cancelled() => return Err(cancelled()),
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }
}

/// Lets the session keep claims, unless the call was cancelled meanwhile.
async fn keep(call: &Call, taken: Parcel, lease: Duration) -> Result<Vec<Claim>, RefusedCall> {
    if call.context.ct.is_cancelled() {
        return Err(cancelled());
    }
    if taken.claims().is_empty() || !call.lasts {
        return Ok(taken.delivered());
    }
    let kept = call.leases.claims().clone();
    // A closure that never runs gives them back.
    let claims = call.read(move |store| {
        let claims = taken.delivered();
        kept.keep(store, claims.clone(), lease)?;
        Ok(claims)
    });
    let claims = claims.await?;
    call.leases.look_again();
    Ok(claims)
}

/// Claims as an agent reads them.
fn answer(call: &Call, completed: Option<Value>, claims: Vec<Claim>) -> Outcome {
    // An answer may have been lost on the way, and with it the name of a task.
    let mut others = call.leases.claims().tasks();
    others.retain(|task| claims.iter().all(|claim| claim.id != *task));
    let mut shown = claims.into_iter().map(pages::value).collect::<Result<Vec<_>>>()?;
    shown.iter_mut().for_each(|claim| shorten_fields(claim, &["payload", "attributes"], ON_ITS_OWN));
    let mut answer = json!({"claims": shown, "lease_is_extended": call.lasts});
    if !others.is_empty() {
        answer["also_kept"] = json!(others);
    }
    if let Some(completed) = completed {
        answer["completed"] = completed;
    }
    answer["next"] = if call.lasts {
        "do the work, then call complete with the result, fail with the reason, or release".into()
    } else {
        "do the work, then call complete, fail or release with task and token; call extend before the deadline".into()
    };
    Ok(answer)
}

async fn why_nothing(call: &Call, bot: BotId, options: ClaimOptions) -> Result<String, RefusedCall> {
    call.read(move |store| Ok(store.view()?.queue().why_nothing(&bot, &options)?.to_string())).await
}

fn too_many_wait() -> RefusedCall {
    RefusedCall::busy("there is nothing to claim now, and too many claims are waiting already; leave out wait_ms")
}

fn cancelled() -> RefusedCall {
    RefusedCall::new(
        "cancelled",
        "the call was cancelled; nothing is claimed by it",
        "call claim again when you want a task",
    )
}
