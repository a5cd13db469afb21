//! Requests that were refused, as entries.

use serde_json::json;

use crate::actor::Actor;
use crate::engine::store::Store;
use crate::error::Result;
use crate::limits;
use crate::state::audit::entry::{AskedBy, Level, NewEntry};

/// Requests of an actor that were refused, gathered.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) actor: Actor,
    /// The first of them, such as `POST /api/undo`.
    pub(crate) target: String,
    /// Why, such as `403`.
    pub(crate) result: String,
    pub(crate) count: u64,
}

impl Store {
    /// Appends an entry for each of these.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub(crate) fn record_refusals(&self, refusals: Vec<Refusal>) -> Result<()> {
        self.write(|tx| {
            for Refusal { actor, mut target, result, count } in refusals {
                limits::shorten(&mut target, limits::SHORT_BYTES);
                let entry = NewEntry {
                    target: Some(target),
                    level: Level::Warning,
                    result: Some(result),
                    details: json!({"count": count}),
                    ..NewEntry::new("refused", actor.name())
                };
                tx.audit().append_for(entry, Some(AskedBy::recorded(&actor)))?;
            }
            Ok(())
        })
    }
}
