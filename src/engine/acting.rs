//! For whom a handle of the store writes, and the action of several transactions that is in progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::actor::Actor;

/// An actor, and the action of several transactions that is in progress.
#[derive(Clone)]
pub(crate) struct Acting {
    actor: Arc<Actor>,
    whole: Option<Arc<LongAction>>,
}

/// An action that takes several transactions. The first one that changes something has its entry.
pub(crate) struct LongAction {
    pub(crate) action: &'static str,
    pub(crate) target: Option<String>,
    is_recorded: AtomicBool,
}

impl Acting {
    pub(crate) fn new(actor: Actor) -> Self {
        Self { actor: Arc::new(actor), whole: None }
    }

    /// The actor.
    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The same for an action of several transactions, unless one is in progress.
    pub(super) fn doing(mut self, action: &'static str, target: Option<String>) -> Self {
        self.whole.get_or_insert_with(|| Arc::new(LongAction { action, target, is_recorded: AtomicBool::new(false) }));
        self
    }

    /// Whether the transaction is part of an action of several ones.
    pub(crate) fn is_within_another(&self) -> bool {
        self.whole.is_some()
    }

    /// The action of several transactions, if none of them has recorded it yet.
    pub(super) fn unrecorded(&self) -> Option<&LongAction> {
        self.whole.as_deref().filter(|whole| !whole.is_recorded.load(Ordering::Relaxed))
    }

    /// Notes that a transaction which recorded the action is on the disk.
    pub(super) fn recorded(&self) {
        self.whole.iter().for_each(|whole| whole.is_recorded.store(true, Ordering::Relaxed));
    }
}
