//! The options that name tasks by a filter.

use std::time::Duration;

use clap::Args;

use crate::{BotId, Priority, TaskFilter, TaskState, duration};

/// The options, which every verb on many tasks has.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only tasks in this state: scheduled, waiting, ready, claimed, done, failed, dead or cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<TaskState>,
    /// Only tasks that this bot holds or finished, or that are assigned to it
    #[arg(long, value_name = "BOT")]
    bot: Option<BotId>,
    /// Only tasks that need this capability
    #[arg(long, value_name = "CAPABILITY")]
    can: Option<String>,
    /// Only tasks of this priority: P0, P1, P2 or P3
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<Priority>,
    /// Only tasks whose id begins with this text
    #[arg(long = "id", value_name = "PREFIX")]
    id_prefix: Option<String>,
    /// Only tasks that were pushed longer ago, such as 2h
    #[arg(long, value_name = "AGE", value_parser = duration::parse)]
    older: Option<Duration>,
}

impl From<Filter> for TaskFilter {
    fn from(filter: Filter) -> Self {
        Self {
            state: filter.state,
            bot: filter.bot,
            capability: filter.can,
            priority: filter.priority,
            id_prefix: filter.id_prefix,
            older_than: filter.older,
        }
    }
}
