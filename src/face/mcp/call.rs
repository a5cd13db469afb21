//! One call within a session: who calls, and the way to the store.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde_json::Value;

use crate::face::mcp::door::{self, Access, Door, Rights};
use crate::face::mcp::leases::Leases;
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::wire::fields::{Fields, missing};
use crate::{BotId, Error, Result, Store, Task, TaskId, Token, View};

/// A call. Clones share it.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) door: Arc<dyn Door>,
    pub(super) leases: Arc<Leases>,
    /// Whether the session lives on when the call has ended, so that it can keep claims.
    pub(super) lasts: bool,
    pub(super) context: RequestContext<RoleServer>,
}

impl Call {
    pub(super) fn rights(&self) -> Rights {
        self.door.rights()
    }

    /// Reads from the store.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Result<R, RefusedCall> {
        door::enter(&self.door, Access::Reads, work).await
    }

    /// Reads data that may be long.
    pub(super) async fn look_through<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Result<R, RefusedCall> {
        door::enter(&self.door, Access::LooksThrough, work).await
    }

    /// Changes the store.
    pub(super) async fn change<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<R> + Send + 'static,
    ) -> Result<R, RefusedCall> {
        door::enter(&self.door, Access::Changes, work).await
    }

    /// The bot of a call: the one that it names, or the one that the caller acts as. Changes for
    /// another one are refused by the store.
    pub(super) fn bot(&self, fields: &mut Fields) -> Result<BotId> {
        let named: Option<BotId> = fields.parsed("bot")?;
        named.or_else(|| self.rights().bot).ok_or_else(|| missing("bot"))
    }

    /// The token of a call: the one that it shows, or the one of the claim that the session keeps.
    pub(super) fn token(&self, task: &TaskId, fields: &mut Fields) -> Result<Token> {
        let shown = fields.number("token")?.map(Token);
        let unknown = || {
            Error::invalid(format!(
                "this session holds no claim of that task; claim it, or give the token of the claim: task={task}"
            ))
        };
        shown.or_else(|| self.leases.claims().token(task)).ok_or_else(unknown)
    }

    /// A task as the caller may see it.
    pub(super) fn shown(&self, task: &Task) -> Result<Value> {
        let mut shown = serde_json::to_value(task)
            .map_err(|source| Error::invalid("a task cannot be shown as JSON").with_source(source))?;
        self.rights().hide_token_in(&mut shown);
        Ok(shown)
    }
}

/// The view of the point that a call names, or of now.
pub(super) fn view_at(store: &Store, at: &crate::Selector) -> Result<View> {
    if *at == crate::Selector::Now { store.view() } else { store.at(at.clone()) }
}
