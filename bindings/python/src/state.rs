//! The state of a store, through a door: its parts, each with its verbs.

use pyo3::prelude::*;

use crate::audit::Audit;
use crate::chat::Chat;
use crate::documents::Documents;
use crate::door::Door;
use crate::mapping::Mapping;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::schedules::Schedules;

/// The state of a store: now, in a transaction, or in the past.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct State {
    door: Door,
}

impl State {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl State {
    /// The config, or the collection of that name.
    #[pyo3(signature = (collection=None))]
    fn mapping(&self, collection: Option<String>) -> Mapping {
        Mapping::new(self.door.clone(), collection)
    }

    /// The task queue.
    fn queue(&self) -> Queue {
        Queue::new(self.door.clone())
    }

    /// The bots.
    fn registry(&self) -> Registry {
        Registry::new(self.door.clone())
    }

    /// The schedules.
    fn schedules(&self) -> Schedules {
        Schedules::new(self.door.clone())
    }

    /// The messages.
    fn chat(&self) -> Chat {
        Chat::new(self.door.clone())
    }

    /// The audit trail and the events.
    fn audit(&self) -> Audit {
        Audit::new(self.door.clone())
    }

    /// The documents.
    fn documents(&self) -> Documents {
        Documents::new(self.door.clone())
    }
}
