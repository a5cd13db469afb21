//! Schedules.

use serde_json::{Value, json};

use crate::face::cli::target::Seen;
use crate::face::cli::target::either::{Items, Target, told};
use crate::face::remote::{Ask, Client};
use crate::{Error, NewSchedule, Result, Schedule, ScheduleName, Task};

impl Target {
    /// Adds a schedule, or replaces it.
    pub(in crate::face::cli) fn add_schedule(&self, new: NewSchedule) -> Result<Schedule> {
        match self {
            Self::Here(store) => store.write(|tx| tx.schedules().add(new)),
            Self::There(client) => {
                let body = Value::Object(new.to_fields()?);
                schedule(client, client.ask(&Ask::post(&["api", "schedules"], body))?)
            }
        }
    }

    /// Pauses a schedule.
    pub(in crate::face::cli) fn pause_schedule(&self, name: &ScheduleName) -> Result<Schedule> {
        match self {
            Self::Here(store) => store.write(|tx| tx.schedules().pause(name)),
            Self::There(client) => schedule(client, client.ask(&verb(name, "pause"))?),
        }
    }

    /// Resumes a schedule.
    pub(in crate::face::cli) fn resume_schedule(&self, name: &ScheduleName) -> Result<Schedule> {
        match self {
            Self::Here(store) => store.write(|tx| tx.schedules().resume(name)),
            Self::There(client) => schedule(client, client.ask(&verb(name, "resume"))?),
        }
    }

    /// Removes a schedule.
    pub(in crate::face::cli) fn remove_schedule(&self, name: &ScheduleName) -> Result<()> {
        match self {
            Self::Here(store) => store.write(|tx| tx.schedules().remove(name)),
            Self::There(client) => client.ask(&Ask::delete(&["api", "schedules", name.as_str()])).map(drop),
        }
    }

    /// Pushes the task of a schedule now.
    pub(in crate::face::cli) fn run_schedule(&self, name: &ScheduleName) -> Result<Task> {
        match self {
            Self::Here(store) => store.write(|tx| tx.schedules().run(name)),
            Self::There(client) => told(client, &verb(name, "run")),
        }
    }
}

impl Seen<'_> {
    /// The schedules, by name.
    pub(in crate::face::cli) fn schedules(&self) -> Result<Items<'_, Schedule>> {
        match self {
            Self::Here(view) => Ok(Box::new(view.schedules().list()?.into_iter().map(Ok))),
            Self::There { client, at } => {
                let ask = Ask::get(&["api", "schedules"]).with("at", at.as_ref());
                Ok(Box::new(client.list(ask, "schedules").map(|item| schedule(client, item?))))
            }
        }
    }

    /// A schedule.
    pub(in crate::face::cli) fn schedule(&self, name: &ScheduleName) -> Result<Schedule> {
        match self {
            Self::Here(view) => {
                let missing = || Error::not_found(format!("there is no such schedule: schedule={name}"));
                view.schedules().get(name)?.ok_or_else(missing)
            }
            Self::There { client, at } => {
                let ask = Ask::get(&["api", "schedules", name.as_str()]).with("at", at.as_ref());
                schedule(client, client.ask(&ask)?)
            }
        }
    }
}

fn verb(name: &ScheduleName, verb: &str) -> Ask {
    Ask::post(&["api", "schedules", name.as_str(), verb], json!({}))
}

/// The schedule of an answer, whose payload keeps its numbers as they were written.
fn schedule(client: &Client, answer: Value) -> Result<Schedule> {
    let Value::Object(fields) = answer else { return Err(client.not_understood("a schedule is not an object")) };
    Schedule::from_fields(fields).map_err(|error| client.not_understood(&error.to_string()))
}
