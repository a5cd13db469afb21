//! Schedules: tasks that come back by the calendar.

use hivekeep::{NewSchedule, ScheduleName};
use pyo3::prelude::*;

use crate::call::{parsed, raised};
use crate::door::{Door, read, read_json};
use crate::value::to_object;

/// The schedules, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Schedules {
    door: Door,
}

impl Schedules {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl Schedules {
    /// Adds a schedule, or replaces one.
    fn add<'py>(&self, py: Python<'py>, fields: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let new = NewSchedule::from_fields(to_object(fields)?).map_err(|error| raised(py, &error))?;
        self.door.write_json(py, move |tx| tx.schedules().add(new))
    }

    /// A schedule, or none.
    fn get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let name: ScheduleName = parsed(py, name)?;
        read_json!(&self.door, py, move |from| from.schedules().get(&name)?)
    }

    /// How many schedules there are.
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        read!(&self.door, py, move |from| from.schedules().count())
    }

    /// Some schedules, and where the next ones begin.
    fn page<'py>(&self, py: Python<'py>, cursor: Option<String>, limit: usize) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| from.schedules().page(cursor.as_deref(), limit)?)
    }

    /// Pauses a schedule.
    fn pause<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let name: ScheduleName = parsed(py, name)?;
        self.door.write_json(py, move |tx| tx.schedules().pause(&name))
    }

    /// Lets a paused schedule go on.
    fn resume<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let name: ScheduleName = parsed(py, name)?;
        self.door.write_json(py, move |tx| tx.schedules().resume(&name))
    }

    /// Removes a schedule.
    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let name: ScheduleName = parsed(py, name)?;
        self.door.write(py, move |tx| tx.schedules().remove(&name))
    }

    /// Enqueues the task of a schedule now.
    fn run<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let name: ScheduleName = parsed(py, name)?;
        self.door.write_json(py, move |tx| tx.schedules().run(&name))
    }

    /// The same as of this moment.
    fn at_once(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::new(self.door.at_once(py)?))
    }
}
