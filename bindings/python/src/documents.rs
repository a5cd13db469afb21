//! Documents: JSON that a program hands over as a whole.

use pyo3::prelude::*;

use crate::door::{Door, read, read_json};
use crate::value::to_json;

/// The documents, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Documents {
    door: Door,
}

impl Documents {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl Documents {
    /// Sets a document; gives how many of its elements were written, removed and left as they were.
    fn put(&self, py: Python<'_>, kind: String, source: String, value: &Bound<'_, PyAny>) -> PyResult<(u64, u64, u64)> {
        let value = to_json(value)?;
        let written = self.door.write(py, move |tx| tx.documents().put(&kind, &source, &value))?;
        Ok((written.put, written.removed, written.unchanged))
    }

    /// A document, or `default`.
    fn get<'py>(
        &self,
        py: Python<'py>,
        kind: String,
        source: String,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let document = read!(&self.door, py, move |from| from.documents().get(&kind, &source))?;
        document.map_or(Ok(default), |document| self.door.numbers().to_python(py, &document))
    }

    /// Removes a document; says whether it was there.
    fn remove(&self, py: Python<'_>, kind: String, source: String) -> PyResult<bool> {
        self.door.write(py, move |tx| tx.documents().remove(&kind, &source))
    }

    /// Kind and source of every document, in their order.
    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| {
            let documents = from.documents();
            let names = documents.list().map(|id| id.map(|id| (id.kind().to_owned(), id.source().to_owned())));
            names.collect::<hivekeep::Result<Vec<_>>>()?
        })
    }
}
