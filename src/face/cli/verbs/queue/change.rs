//! The change of one task, and its new state as text.

use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::TaskChange;
use crate::{Result, TaskId, show_time};

/// Changes a task and shows its new state.
pub(super) fn change(context: &mut Context, id: &TaskId, change: TaskChange) -> Result<Exit> {
    let task = context.alter(|target| target.change_task(id, change))?;
    if context.out.is_json() {
        context.out.json(&task)?;
    } else {
        let whose = match (&task.holder, &task.assigned_to) {
            (Some(holder), _) => format!(", for {}, until {}", holder.bot, show_time(holder.deadline)),
            (None, Some(bot)) if !task.state.is_finished() => format!(", for {bot}"),
            _ => String::new(),
        };
        context.out.line(format_args!("{} is {}{whose}", task.id, task.state))?;
    }
    Ok(Exit::Done)
}
