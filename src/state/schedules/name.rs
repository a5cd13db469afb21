//! The names of schedules, and of their tasks.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::state::ids::TaskId;
use crate::text::read_as_string;

/// The name of a schedule: 1 to 64 ASCII letters, digits, hyphens, dots and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ScheduleName(String);

impl ScheduleName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The task of a due time: no two due times have the same, so none becomes two tasks.
    pub(super) fn task_at(&self, due: Timestamp) -> Result<TaskId> {
        TaskId::new(format!("{self}@{due}"))
    }
}

impl FromStr for ScheduleName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let max = limits::SCHEDULE_NAME_BYTES;
        if name.is_empty() || name.len() > max || !name.bytes().all(fits) {
            let name: String = name.chars().take(max).flat_map(char::escape_debug).collect();
            return Err(Error::invalid(format!(
                "the name of a schedule has 1 to {max} ASCII letters, digits, hyphens, dots and underscores: name={name}"
            )));
        }
        Ok(Self(name.to_owned()))
    }
}

read_as_string!(ScheduleName);

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
