//! The change of one task, and its new state as text.

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::face::cli::target::TaskChange;
use crate::{Result, TaskId};

/// Changes a task and shows its new state.
pub(super) fn change(context: &mut Context, id: &TaskId, change: TaskChange) -> Result<Exit> {
    let task = context.alter(|target| target.change_task(id, change))?;
    if context.out.is_json() {
        context.out.json(&task)?;
    } else {
        let bot = task.holder.as_ref().map(|holder| &holder.bot).or(task.assigned_to.as_ref());
        let whose = bot.filter(|_| !task.state.is_finished()).map(|bot| format!(", for {bot}")).unwrap_or_default();
        context.out.line(format_args!("{} is {}{whose}", task.id, task.state))?;
    }
    Ok(Exit::Done)
}
