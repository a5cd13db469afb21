//! The queue.

use std::time::Duration;

use serde_json::{Value, json};

use crate::face::cli::target::either::{Target, refuse, told};
use crate::face::remote::{Ask, Client};
use crate::{BotId, Claim, ClaimOptions, Completed, Enqueued, NewTask, Result, Retry, Task, TaskId, Token};

/// The longest wait of one request; a longer one is several.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The number of tasks that one request purges.
const PURGED: u64 = 10_000;
/// The aging of claims over HTTP.
const AGING: &str = "a service has the aging of its --priority-aging";

/// A change of one task.
pub(in crate::face::cli) enum TaskChange {
    Assign(Option<BotId>),
    Extend(Token, Duration),
    Complete(Token, Value),
    Fail(Token, String, Retry),
    Release(Token),
    Requeue,
    Cancel,
}

/// Claimed tasks, or the reason why there are none.
pub(in crate::face::cli) enum Claimed {
    Tasks(Vec<Claim>),
    Nothing(String),
}

/// A task of a pushed batch.
pub(in crate::face::cli) struct InBrief {
    pub(in crate::face::cli) json: Value,
    pub(in crate::face::cli) id: String,
    pub(in crate::face::cli) existing: bool,
}

impl Target {
    /// Pushes a task. Returns it, and whether it is an earlier one.
    pub(in crate::face::cli) fn push(&self, new: NewTask) -> Result<(Task, bool)> {
        match self {
            Self::Here(store) => {
                let Enqueued { task, is_new, .. } = store.write(|tx| tx.queue().enqueue_once(new))?;
                Ok((task, !is_new))
            }
            Self::There(client) => {
                let body = Value::Object(new.to_fields()?);
                let is_repeatable = body["idempotency_key"].is_string();
                let ask = Ask::post(&["api", "queue"], body);
                let answer = client.ask(&if is_repeatable { ask.repeatable() } else { ask })?;
                let existing = answer["existing"] == true;
                Ok((client.told(answer)?, existing))
            }
        }
    }

    /// Pushes many tasks, all or none.
    pub(in crate::face::cli) fn push_all(&self, tasks: Vec<NewTask>) -> Result<Vec<InBrief>> {
        let brief = |json: Value| {
            let (id, existing) = (json["id"].as_str().unwrap_or_default().to_owned(), json["existing"] == true);
            InBrief { json, id, existing }
        };
        match self {
            Self::Here(store) => Ok(store.enqueue_all(tasks)?.iter().map(|task| brief(task.in_brief())).collect()),
            Self::There(client) => {
                let tasks = tasks.into_iter().map(|task| task.to_fields().map(Value::Object)).collect::<Result<_>>()?;
                let mut body = json!({});
                body["tasks"] = Value::Array(tasks);
                let mut answer = client.ask(&Ask::post(&["api", "queue", "batch"], body))?;
                match answer["tasks"].take() {
                    Value::Array(tasks) => Ok(tasks.into_iter().map(brief).collect()),
                    _ => Err(client.not_understood("the response lacks the field tasks")),
                }
            }
        }
    }

    /// Changes a task.
    pub(in crate::face::cli) fn change_task(&self, id: &TaskId, change: TaskChange) -> Result<Task> {
        match self {
            Self::Here(store) => store.write(|tx| {
                let mut queue = tx.queue();
                match change {
                    TaskChange::Assign(Some(bot)) => queue.assign(id, &bot),
                    TaskChange::Assign(None) => queue.unassign(id),
                    TaskChange::Extend(token, lease) => queue.extend(id, token, lease),
                    TaskChange::Complete(token, result) => queue.complete(id, token, result),
                    TaskChange::Fail(token, error, retry) => queue.fail(id, token, error, retry),
                    TaskChange::Release(token) => queue.release(id, token),
                    TaskChange::Requeue => queue.requeue(id),
                    TaskChange::Cancel => queue.cancel(id),
                }
            }),
            Self::There(client) => told(client, &change.ask(id)),
        }
    }

    /// Claims tasks for a bot, and waits for the first.
    pub(in crate::face::cli) fn claim(&self, bot: &BotId, options: &ClaimOptions, wait: Duration) -> Result<Claimed> {
        match self {
            Self::Here(store) => {
                let claims = store.claim_wait(bot, options, wait)?;
                if claims.is_empty() {
                    return Ok(Claimed::Nothing(store.view()?.queue().why_nothing(bot, options)?.to_string()));
                }
                Ok(Claimed::Tasks(claims))
            }
            Self::There(client) => {
                refuse(options.aging.is_some(), "--aging", AGING)?;
                let mut body = claim_fields(options);
                body["bot"] = bot.as_str().into();
                claim_there(client, &["api", "queue", "claim"], body, wait)
            }
        }
    }

    /// Completes a task, claims the next for the same bot, and waits for it.
    pub(in crate::face::cli) fn complete_and_claim(
        &self,
        id: &TaskId,
        (token, result): (Token, Value),
        options: &ClaimOptions,
        wait: Duration,
    ) -> Result<Completed> {
        match self {
            Self::Here(store) => store.complete_and_claim(id, token, result, options, wait),
            Self::There(client) => {
                let mut body = claim_fields(options);
                body["token"] = token.0.into();
                body["result"] = result;
                body["wait_ms"] = millis(wait.min(LONGEST_WAIT));
                let ask = Ask::post(&["api", "queue", id.as_str(), "complete-and-claim"], body);
                let ask = ask.waiting(wait.min(LONGEST_WAIT));
                let mut answer = client.ask(&ask)?;
                let mut claims = claims(client, &mut answer)?;
                let completed: Task = client.told(answer["completed"].take())?;
                let left = wait.saturating_sub(LONGEST_WAIT);
                if let (true, false, Some(bot)) = (claims.is_empty(), left.is_zero(), &completed.finished_by)
                    && let Ok(Claimed::Tasks(later)) = self.claim(bot, options, left)
                {
                    claims = later;
                }
                Ok(Completed { completed, claims })
            }
        }
    }

    /// Gives claims back that could not be shown.
    pub(in crate::face::cli) fn give_back(&self, claims: &[Claim]) -> Result<()> {
        match self {
            Self::Here(store) => store.give_back(claims).map(drop),
            Self::There(_) => {
                let release = |claim: &Claim| self.change_task(&claim.id, TaskChange::Release(claim.token)).map(drop);
                // One that cannot be given back keeps no other.
                let released: Vec<_> = claims.iter().map(release).collect();
                released.into_iter().collect()
            }
        }
    }

    /// Purges tasks that finished longer ago. Returns how many.
    pub(in crate::face::cli) fn purge(&self, older_than: Duration) -> Result<usize> {
        match self {
            Self::Here(store) => store.purge_finished(older_than),
            Self::There(client) => {
                let body = json!({"older_than": crate::duration::exact(older_than), "limit": PURGED});
                let mut all = 0;
                loop {
                    let answer = client.ask(&Ask::post(&["api", "queue", "purge"], body.clone()))?;
                    let purged = answer["purged"].as_u64();
                    let purged = purged.ok_or_else(|| client.not_understood("the response lacks the field purged"))?;
                    all += usize::try_from(purged).unwrap_or_default();
                    match answer["more"] == true {
                        true if purged == 0 => return Err(client.not_understood("the purge makes no progress")),
                        true => {}
                        false => return Ok(all),
                    }
                }
            }
        }
    }

    /// The explanation why a task is not claimed, as text and as JSON.
    pub(in crate::face::cli) fn why(
        &self,
        id: &TaskId,
        bot: Option<&BotId>,
        aging: Option<Duration>,
    ) -> Result<(String, Value)> {
        match self {
            Self::Here(store) => {
                let options = ClaimOptions { aging, ..ClaimOptions::default() };
                let view = store.view()?;
                let why = match bot {
                    Some(bot) => view.queue().why_bot(id, bot, &options)?,
                    None => view.queue().why(id, &options)?,
                };
                Ok((why.to_string(), json!(why)))
            }
            Self::There(client) => {
                refuse(aging.is_some(), "--aging", AGING)?;
                let why = client.ask(&Ask::get(&["api", "queue", id.as_str(), "why"]).with("bot", bot))?;
                let text = why["text"].as_str().map(str::to_owned);
                Ok((text.ok_or_else(|| client.not_understood("the response lacks the field text"))?, why))
            }
        }
    }
}

impl TaskChange {
    /// The request for it.
    fn ask(self, id: &TaskId) -> Ask {
        let (verb, body) = match self {
            Self::Assign(bot) => ("assign", json!({ "bot": bot })),
            Self::Extend(token, lease) => ("extend", json!({"token": token, "lease_ms": millis(lease)})),
            Self::Complete(token, result) => {
                let mut body = json!({ "token": token });
                body["result"] = result;
                ("complete", body)
            }
            Self::Fail(token, error, retry) => ("fail", fail_fields(token, error, retry)),
            Self::Release(token) => ("release", json!({ "token": token })),
            Self::Requeue => ("requeue", json!({})),
            Self::Cancel => ("cancel", json!({})),
        };
        let ask = Ask::post(&["api", "queue", id.as_str(), verb], body);
        // Another lease from now changes nothing more.
        if verb == "extend" { ask.repeatable() } else { ask }
    }
}

fn fail_fields(token: Token, error: String, retry: Retry) -> Value {
    match retry {
        Retry::Never => json!({"token": token, "error": error, "retry": false}),
        Retry::After(delay) => json!({"token": token, "error": error, "delay_ms": millis(delay)}),
        Retry::Later => json!({"token": token, "error": error}),
    }
}

fn claim_fields(options: &ClaimOptions) -> Value {
    json!({"lease_ms": millis(options.lease), "max": options.max, "max_concurrent": options.max_concurrent})
}

/// Claims over and over until the wait is over, since no request waits for longer than a minute.
fn claim_there(client: &Client, parts: &[&str], mut body: Value, wait: Duration) -> Result<Claimed> {
    let mut left = wait;
    loop {
        let now = left.min(LONGEST_WAIT);
        left = left.saturating_sub(now);
        body["wait_ms"] = millis(now);
        let mut answer = client.ask(&Ask::post(parts, body.clone()).waiting(now))?;
        let claims = claims(client, &mut answer)?;
        if !claims.is_empty() {
            return Ok(Claimed::Tasks(claims));
        }
        if left.is_zero() {
            return Ok(Claimed::Nothing(answer["reason"].as_str().unwrap_or("there is nothing to claim").to_owned()));
        }
    }
}

fn claims(client: &Client, answer: &mut Value) -> Result<Vec<Claim>> {
    match answer["claims"].take() {
        Value::Array(claims) => claims.into_iter().map(|claim| client.told(claim)).collect(),
        _ => Err(client.not_understood("the response lacks the field claims")),
    }
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}
