//! Schedules as the command line sends them to a service, and reads them from its answers.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::name::ScheduleName;
use super::schedule::{NewSchedule, Schedule, not_a_schedule, parts};
use crate::error::Result;
use crate::state::ids::TaskId;

/// The fields that the JSON of a schedule has beside its definition.
#[derive(Deserialize)]
struct Beside {
    name: ScheduleName,
    #[serde(default, with = "crate::clock::time::option")]
    next_at: Option<Timestamp>,
    #[serde(default, with = "crate::clock::time::option")]
    last_due_at: Option<Timestamp>,
    last_task: Option<TaskId>,
}

impl NewSchedule {
    /// The fields of a JSON object that [`NewSchedule::from_fields`] reads.
    ///
    /// # Errors
    ///
    /// `Invalid` when a field cannot be JSON.
    pub(crate) fn to_fields(&self) -> Result<Map<String, Value>> {
        let (every_ms, cron, time_zone) = parts(&self.timing);
        let (missed, overlap) = (self.missed.as_str(), self.overlap.as_str());
        let fields = [
            ("name", self.name.as_str().into()),
            ("every_ms", every_ms.into()),
            ("cron", cron.into()),
            ("time_zone", time_zone.into()),
            ("missed", missed.into()),
            ("overlap", overlap.into()),
            ("replace", self.replaces.into()),
            ("task", Value::Object(self.task.to_fields()?)),
        ];
        Ok(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl Schedule {
    /// The schedule that its JSON shows, such as that of an answer of a service.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is not one of a schedule.
    pub(crate) fn from_fields(mut fields: Map<String, Value>) -> Result<Self> {
        let beside = ["name", "next_at", "last_due_at", "last_task"];
        let beside: Map<_, _> =
            beside.into_iter().filter_map(|name| Some((name.to_owned(), fields.remove(name)?))).collect();
        let beside = serde_json::from_value(Value::Object(beside)).map_err(not_a_schedule)?;
        let Beside { name, next_at, last_due_at, last_task } = beside;
        Ok(Self { next_at, last_due_at, last_task, ..Self::defined(name, fields)? })
    }
}
