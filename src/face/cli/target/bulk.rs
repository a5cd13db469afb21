//! Changes of all tasks of a filter.

use serde_json::{Value, json};

use crate::face::cli::target::either::{Target, told};
use crate::face::remote::{Ask, Client, watch};
use crate::{BulkAction, BulkJob, BulkState, BulkTasks, Result, duration};

impl Target {
    /// The number of tasks that would be changed.
    pub(in crate::face::cli) fn plan_bulk(&self, action: BulkAction, tasks: BulkTasks) -> Result<u64> {
        match self {
            Self::Here(store) => store.plan_bulk(action, tasks),
            Self::There(client) => {
                let mut body = asked(action, &tasks);
                body["dry_run"] = true.into();
                let plan = client.ask(&Ask::post(&["api", "bulk"], body).repeatable())?;
                plan["fits"].as_u64().ok_or_else(|| client.not_understood("the plan lacks the field fits"))
            }
        }
    }

    /// Begins a change.
    pub(in crate::face::cli) fn begin_bulk(&self, action: BulkAction, tasks: BulkTasks) -> Result<BulkJob> {
        match self {
            Self::Here(store) => store.begin_bulk(action, tasks, None),
            Self::There(client) => told(client, &Ask::post(&["api", "bulk"], asked(action, &tasks))),
        }
    }

    /// Continues the change that runs until it has ended; a service does so by itself, and is
    /// watched. Returns none when none runs.
    pub(in crate::face::cli) fn continue_bulk(&self, show: impl Fn(&BulkJob)) -> Result<Option<BulkJob>> {
        match self {
            Self::Here(store) => store.continue_bulk(|job| {
                show(job);
                true
            }),
            Self::There(client) => {
                let running = self.bulk_jobs()?.into_iter().find(|job| job.state == BulkState::Running);
                running.map(|job| ended(client, job, show)).transpose()
            }
        }
    }

    /// The last changes, newest first.
    pub(in crate::face::cli) fn bulk_jobs(&self) -> Result<Vec<BulkJob>> {
        match self {
            Self::Here(store) => store.bulk_jobs(),
            Self::There(client) => {
                let mut answer = client.ask(&Ask::get(&["api", "bulk"]))?;
                let Value::Array(jobs) = answer["jobs"].take() else {
                    return Err(client.not_understood("the response lacks the field jobs"));
                };
                jobs.into_iter().map(|job| client.told(job)).collect()
            }
        }
    }

    /// Stops a change.
    pub(in crate::face::cli) fn stop_bulk(&self, id: &str) -> Result<BulkJob> {
        match self {
            Self::Here(store) => store.stop_bulk(id),
            Self::There(client) => told(client, &Ask::post(&["api", "bulk", id, "stop"], json!({}))),
        }
    }
}

/// The request for a change of all tasks that fit.
fn asked(action: BulkAction, tasks: &BulkTasks) -> Value {
    let filter = match tasks {
        BulkTasks::All => return json!({"action": action, "all": true}),
        BulkTasks::Fitting(filter) => filter,
    };
    json!({
        "action": action, "state": filter.state, "bot": filter.bot, "can": filter.capability, "priority": filter.priority,
        "id": filter.id_prefix, "older_than": filter.older_than.map(duration::exact),
    })
}

/// The change once it has ended.
fn ended(client: &Client, job: BulkJob, show: impl Fn(&BulkJob)) -> Result<BulkJob> {
    let progress = |job: &BulkJob| {
        let runs = job.state == BulkState::Running;
        runs.then(|| {
            show(job);
            job.changed.saturating_add(job.passed)
        })
    };
    watch(client, job, progress, |job| told(client, &Ask::get(&["api", "bulk", &job.id])))
}
