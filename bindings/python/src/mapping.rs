//! The config, or a collection: JSON values by text keys.

use std::ops::Bound as End;

use hivekeep::{Result, WriteTx};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use serde_json::Value;

use crate::door::{Door, read};
use crate::value::{given, to_json};

/// A page ends once its values have about this many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// Keys and values that are read together.
type Page = Vec<(String, Value)>;

/// The config, or the collection of a name, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Mapping {
    door: Door,
    /// The collection; none for the config.
    name: Option<String>,
}

impl Mapping {
    pub(crate) fn new(door: Door, name: Option<String>) -> Self {
        Self { door, name }
    }

    /// Runs a verb that writes, with the name of the collection.
    fn write<R: Send + 'static>(
        &self,
        py: Python<'_>,
        verb: impl FnOnce(&mut WriteTx<'_>, Option<&str>) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let name = self.name.clone();
        self.door.write(py, move |tx| verb(tx, name.as_deref()))
    }

    fn find(&self, py: Python<'_>, key: String) -> PyResult<Option<Value>> {
        let name = self.name.clone();
        read!(&self.door, py, move |from| match &name {
            None => from.config().get(&key),
            Some(name) => from.collection(name)?.get(&key),
        })
    }

    fn or<'py>(&self, py: Python<'py>, value: Option<Value>, other: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        value.map_or(Ok(other), |value| self.door.numbers().to_python(py, &value))
    }
}

#[pymethods]
impl Mapping {
    /// The value of a key, or `default`.
    fn get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = given)] key: String,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let value = self.find(py, key)?;
        self.or(py, value, default)
    }

    /// Whether the key is there.
    fn contains(&self, py: Python<'_>, #[pyo3(from_py_with = given)] key: String) -> PyResult<bool> {
        Ok(self.find(py, key)?.is_some())
    }

    /// How many keys there are.
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        let name = self.name.clone();
        read!(&self.door, py, move |from| match &name {
            None => from.config().count(),
            Some(name) => from.collection::<Value>(name)?.count(),
        })
    }

    /// At most `limit` keys with their values from `start`, or from behind it, to before `end`, in the order of keys,
    /// and whether there may be more.
    fn page<'py>(
        &self,
        py: Python<'py>,
        start: Option<&str>,
        behind: bool,
        end: Option<&str>,
        limit: usize,
    ) -> PyResult<(Bound<'py, PyList>, bool)> {
        let (name, start, end) = (self.name.clone(), start.map(str::to_owned), end.map(str::to_owned));
        let (page, more) = read!(&self.door, py, move |from| {
            let start = start.as_deref().map_or(End::Unbounded, if behind { End::Excluded } else { End::Included });
            let range = (start, end.as_deref().map_or(End::Unbounded, End::Excluded));
            match &name {
                None => gather(from.config().range(range), limit),
                Some(name) => gather(from.collection(name)?.range(range), limit),
            }
        })?;
        let list = PyList::empty(py);
        for (key, value) in &page {
            let value = self.door.numbers().to_python(py, value)?;
            list.append(PyTuple::new(py, [key.into_pyobject(py)?.as_any(), &value])?)?;
        }
        Ok((list, more))
    }

    /// Sets the value of a key.
    fn put(&self, py: Python<'_>, #[pyo3(from_py_with = given)] key: String, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = to_json(value)?;
        self.write(py, move |tx, name| put(tx, name, &key, &value))
    }

    /// Sets the values of several keys in one transaction.
    fn put_all(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<()> {
        let values: Page =
            values.iter().map(|(key, value)| Ok((given(&key)?, to_json(&value)?))).collect::<PyResult<_>>()?;
        self.write(py, move |tx, name| values.iter().try_for_each(|(key, value)| put(tx, name, key, value)))
    }

    /// Sets the value of a key that is not there; gives the value that is there then.
    fn put_new<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = given)] key: String,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let new = to_json(&value)?;
        let known = self.write(py, move |tx, name| {
            let known = get(tx, name, &key)?;
            if known.is_none() {
                put(tx, name, &key, &new)?;
            }
            Ok(known)
        })?;
        self.or(py, known, value)
    }

    /// Removes a key; gives its value, or `default`.
    fn take<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = given)] key: String,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let taken = self.write(py, move |tx, name| {
            let taken = get(tx, name, &key)?;
            remove(tx, name, &key)?;
            Ok(taken)
        })?;
        self.or(py, taken, default)
    }

    /// Removes a key; says whether it was there.
    fn remove(&self, py: Python<'_>, #[pyo3(from_py_with = given)] key: String) -> PyResult<bool> {
        self.write(py, move |tx, name| remove(tx, name, &key))
    }

    /// Removes every key.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.write(py, |tx, name| {
            let keys: Vec<String> = match name {
                None => tx.config().list().map(|item| Ok(item?.0)).collect::<Result<_>>()?,
                Some(name) => tx.collection::<Value>(name)?.list().map(|item| Ok(item?.0)).collect::<Result<_>>()?,
            };
            keys.iter().try_for_each(|key| remove(tx, name, key).map(drop))
        })
    }

    /// The same as of this moment, so that a walk over many pages sees one state; itself, where that is so already.
    fn at_once(&self, py: Python<'_>) -> PyResult<Self> {
        let door = self.door.at_once(py)?;
        Ok(Self::new(door, self.name.clone()))
    }
}

/// The first of some records, and whether there may be more.
fn gather(records: impl Iterator<Item = Result<(String, Value)>>, limit: usize) -> Result<(Page, bool)> {
    let (mut page, mut bytes) = (Page::new(), 0);
    for record in records {
        let (key, value) = record?;
        bytes += weight(&value);
        page.push((key, value));
        if page.len() >= limit || bytes >= PAGE_BYTES {
            return Ok((page, true));
        }
    }
    Ok((page, false))
}

/// About how many bytes a value has.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 8,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| 8 + weight(value)).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| 8 + name.len() + weight(value)).sum(),
    }
}

fn get(tx: &mut WriteTx<'_>, name: Option<&str>, key: &str) -> Result<Option<Value>> {
    match name {
        None => tx.config().get(key),
        Some(name) => tx.collection(name)?.get(key),
    }
}

fn put(tx: &mut WriteTx<'_>, name: Option<&str>, key: &str, value: &Value) -> Result<()> {
    match name {
        None => tx.config().put(key, value),
        Some(name) => tx.collection(name)?.put(key, value),
    }
}

fn remove(tx: &mut WriteTx<'_>, name: Option<&str>, key: &str) -> Result<bool> {
    match name {
        None => tx.config().remove(key),
        Some(name) => tx.collection::<Value>(name)?.remove(key),
    }
}
