//! The bots of the fleet, and their assignments.

use hivekeep::{Bot, BotId, Clock};
use pyo3::prelude::*;

use crate::call::{parsed, parsed_or_none, raised};
use crate::door::{Door, read, read_json};
use crate::value::to_object;

/// The bots, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Registry {
    door: Door,
}

impl Registry {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl Registry {
    /// Registers a bot, in place of any with its id.
    fn put<'py>(&self, py: Python<'py>, id: &str, fields: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let id: BotId = parsed(py, id)?;
        let bot = Bot::from_fields(id.clone(), to_object(fields)?).map_err(|error| raised(py, &error))?;
        self.door.write_json(py, move |tx| {
            tx.registry().put(&bot)?;
            tx.registry().get(&id)
        })
    }

    /// A bot, or none.
    fn get<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let id: BotId = parsed(py, id)?;
        read_json!(&self.door, py, move |from| from.registry().get(&id)?)
    }

    /// Removes a bot; says whether it was there.
    fn remove(&self, py: Python<'_>, id: &str) -> PyResult<bool> {
        let id: BotId = parsed(py, id)?;
        self.door.write(py, move |tx| tx.registry().remove(&id))
    }

    /// How many bots there are.
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        read!(&self.door, py, move |from| from.registry().count())
    }

    /// Some bots, and where the next ones begin.
    fn page<'py>(&self, py: Python<'py>, cursor: Option<String>, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| from.registry().page(cursor.as_deref(), limit)?)
    }

    /// Notes that a bot was heard of now; gives the time.
    fn heartbeat(&self, py: Python<'_>, id: &str) -> PyResult<String> {
        let id: BotId = parsed(py, id)?;
        let at = match &self.door {
            Door::Store(shared) => shared.call(py, |store| store.heartbeat(&id))?,
            door => {
                let now = hivekeep::SystemClock.now();
                door.write(py, move |tx| tx.registry().heartbeat(&id, now).map(|()| now))?
            }
        };
        Ok(hivekeep::show_time(at))
    }

    /// Some assignments, of all bots or of one, and where the next ones begin.
    fn assignments<'py>(
        &self,
        py: Python<'py>,
        bot: Option<&str>,
        cursor: Option<String>,
        limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bot: Option<BotId> = parsed_or_none(py, bot)?;
        read_json!(&self.door, py, move |from| from.assignments().page(bot.as_ref(), cursor.as_deref(), limit)?)
    }

    /// The same as of this moment.
    fn at_once(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::new(self.door.at_once(py)?))
    }
}
