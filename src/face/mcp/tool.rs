//! A tool: one row of the table from which both the list of tools and their calls are made.

use std::sync::Arc;

use rmcp::model::{Tool as Listed, ToolAnnotations};
use serde_json::Value;

use crate::Role;
use crate::face::mcp::call::Call;
use crate::face::mcp::door::Boxed;
use crate::face::mcp::refused_call::RefusedCall;
use crate::face::mcp::schema;
use crate::face::wire::field::Field;
use crate::face::wire::fields::Fields;

/// The end of a call.
pub(super) type Outcome = Result<Value, RefusedCall>;

/// The effect of a call on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    /// It adds something, or changes what the caller holds.
    Adds,
    /// The same, and a second call with the same arguments changes nothing more.
    Sets,
    /// It may remove or overwrite the work of others.
    Destroys,
}

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// For the agent: when to call it, and what to do next.
    pub(super) about: &'static str,
    /// The lowest role that may call it.
    pub(super) needs: Role,
    pub(super) effect: Effect,
    pub(super) takes: &'static [Field],
    pub(super) call: fn(Call, Fields) -> Boxed<Outcome>,
}

impl Tool {
    /// The tool as agents see it.
    pub(super) fn listed(&self) -> Listed {
        let hints = ToolAnnotations::with_title(self.title)
            .read_only(self.effect == Effect::Reads)
            .destructive(self.effect == Effect::Destroys)
            .idempotent(matches!(self.effect, Effect::Reads | Effect::Sets))
            .open_world(false);
        Listed::new(self.name, self.about, Arc::new(schema::object(self.takes))).with_title(self.title).annotate(hints)
    }
}
