//! The change of one task, and its new state as text.

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::{Result, Task, WriteTx};

/// Changes a task and shows its new state.
pub(super) fn change(context: &mut Context, work: impl FnOnce(&mut WriteTx<'_>) -> Result<Task>) -> Result<Exit> {
    let task = context.change(|store| store.write(work))?;
    if context.out.is_json() {
        context.out.json(&task)?;
    } else {
        let bot = task.holder.as_ref().map(|holder| &holder.bot).or(task.assigned_to.as_ref());
        let whose = bot.filter(|_| !task.state.is_finished()).map(|bot| format!(", for {bot}")).unwrap_or_default();
        context.out.line(format_args!("{} is {}{whose}", task.id, task.state))?;
    }
    Ok(Exit::Done)
}
