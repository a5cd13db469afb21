//! The audit trail, and the events of the store.

use hivekeep::{Event, NewEntry, Page};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::call::{parsed_or_none, raised};
use crate::chat::Numbered;
use crate::door::{Door, read_json};
use crate::value::{given, to_json};

/// An entry to append.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Wanted<'py> {
    action: String,
    actor: String,
    target: Option<String>,
    level: Option<String>,
    result: Option<String>,
    details: Bound<'py, PyAny>,
    timestamp: Option<String>,
}

/// The audit trail and the events, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Audit {
    door: Door,
}

impl Audit {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl Audit {
    /// Appends an entry; gives its number.
    fn append(&self, py: Python<'_>, #[pyo3(from_py_with = given)] entry: Wanted<'_>) -> PyResult<u64> {
        let mut new = NewEntry::new(entry.action, entry.actor);
        new.target = entry.target;
        new.level = parsed_or_none(py, entry.level.as_deref())?.unwrap_or_default();
        new.result = entry.result;
        new.details = to_json(&entry.details)?;
        let at = entry.timestamp.as_deref().map(hivekeep::parse_time).transpose();
        new.at = at.map_err(|error| raised(py, &error))?;
        self.door.write(py, move |tx| tx.audit().append(new))
    }

    /// Some entries.
    fn page<'py>(&self, py: Python<'py>, #[pyo3(from_py_with = given)] page: Numbered) -> PyResult<Bound<'py, PyAny>> {
        let page: Page = page.into();
        read_json!(&self.door, py, move |from| from.audit().list(page)?)
    }

    /// Some events.
    fn events<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = given)] page: Numbered,
    ) -> PyResult<Bound<'py, PyAny>> {
        let page: Page = page.into();
        read_json!(&self.door, py, move |from| from.events().list(page)?.into_iter().map(shown).collect::<Vec<_>>())
    }
}

/// An event with its number.
fn shown(event: Event) -> Value {
    let sequence = event.sequence;
    let mut shown = json!(event);
    if let Value::Object(fields) = &mut shown {
        fields.insert("sequence".to_owned(), sequence.into());
    }
    shown
}
