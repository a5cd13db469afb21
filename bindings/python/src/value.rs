//! JSON as Python objects, both ways. Numbers keep every digit: an integer becomes an `int`, or a `Decimal` if it has
//! more than 100,000 digits, and any other number what `parse_float` makes of its text.

use hivekeep::json::MAX_DEPTH;
use pyo3::exceptions::{PyOverflowError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType};
use serde_json::{Map, Number, Value};

use crate::call::{detached, exception};

/// Integers up to this many characters fit 64 bits.
const SHORT: usize = 18;
/// Integers up to this many characters become an `int`, in less than a tenth of a second. The time grows with the
/// square of their length, so that longer ones become a `Decimal`, which keeps every digit too.
const LONG: usize = 100_000;

/// How numbers become Python objects.
#[derive(Default)]
pub(crate) struct Numbers {
    /// Takes the text of a number that is no integer; none makes it a `float`.
    parse_float: Option<Py<PyAny>>,
}

impl Numbers {
    pub(crate) fn new(parse_float: Option<Py<PyAny>>) -> Self {
        Self { parse_float }
    }

    /// A value as Python objects.
    pub(crate) fn to_python<'py>(&self, py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
        Ok(match value {
            Value::Null => py.None().into_bound(py),
            Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
            Value::String(value) => PyString::new(py, value).into_any(),
            Value::Number(value) => self.number(py, value)?,
            Value::Array(values) => {
                let list = PyList::empty(py);
                values.iter().try_for_each(|value| list.append(self.to_python(py, value)?))?;
                list.into_any()
            }
            Value::Object(members) => {
                let dict = PyDict::new(py);
                members.iter().try_for_each(|(name, value)| dict.set_item(name, self.to_python(py, value)?))?;
                dict.into_any()
            }
        })
    }

    fn number<'py>(&self, py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
        let text = number.as_str();
        if text.contains(['.', 'e', 'E']) {
            return match &self.parse_float {
                Some(parse) => parse.bind(py).call1((text,)),
                None => py.get_type::<PyFloat>().call1((text,)),
            };
        }
        match text.parse::<i64>() {
            Ok(short) if text.len() <= SHORT => Ok(short.into_pyobject(py)?.into_any()),
            // Python's `int` takes no more than 4,300 digits of a text.
            _ if text.len() <= LONG => py.get_type::<PyInt>().call1((decimal(py)?.call1((text,))?,)),
            _ => decimal(py)?.call1((text,)),
        }
    }
}

/// A Python object as JSON.
///
/// # Errors
///
/// `Invalid` for what JSON cannot hold: another type, a key that is no text, infinity and `NaN`, text that is no
/// Unicode, and what is nested too deeply, or within itself.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert(value, 0)
}

fn convert(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if value.is_none() {
        Ok(Value::Null)
    } else if let Ok(text) = value.cast::<PyString>() {
        Ok(Value::String(to_text(text)?))
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Ok(Value::Bool(flag.is_true()))
    } else if let Ok(number) = value.cast::<PyInt>() {
        integer(number)
    } else if let Ok(number) = value.cast::<PyFloat>() {
        let number = Number::from_f64(number.extract()?);
        Ok(Value::Number(number.ok_or_else(|| refused(value.py(), "JSON has no infinity and no NaN"))?))
    } else {
        container(value, depth + 1)
    }
}

/// Decimals are here as well: they are rare, and finding them costs a look at their class.
fn container(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    let py = value.py();
    if depth > MAX_DEPTH {
        return Err(refused(py, &format!("a value is nested too deeply: levels={MAX_DEPTH}")));
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        // A copy, because a value within may run code that changes the dict.
        object(&dict.items(), depth)
    } else if let Ok(list) = value.cast::<PyList>() {
        Ok(Value::Array(list.iter().map(|item| convert(&item, depth)).collect::<PyResult<_>>()?))
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        Ok(Value::Array(tuple.iter().map(|item| convert(&item, depth)).collect::<PyResult<_>>()?))
    } else if value.is_instance(decimal(py)?)? {
        let text = value.str()?.to_string();
        let number = hivekeep::json::parse(text.as_bytes());
        number.map_err(|_| refused(py, &format!("this decimal is no number of JSON: value={text}")))
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        object(&mapping.items()?, depth)
    } else {
        let of = value.get_type().fully_qualified_name()?;
        Err(not_json(py, &format!("JSON has no such type; pass a codec, or convert it first: type={of}")))
    }
}

/// The names and members of an object.
fn object(items: &Bound<'_, PyList>, depth: usize) -> PyResult<Value> {
    let mut members = Map::new();
    for item in items {
        let (name, member): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        members.insert(key(&name)?, convert(&member, depth)?);
    }
    Ok(Value::Object(members))
}

/// An `int`, or a subclass of it, whose own text may be another.
fn integer(number: &Bound<'_, PyInt>) -> PyResult<Value> {
    if let Ok(short) = number.extract::<i64>() {
        return Ok(short.into());
    }
    let py = number.py();
    // The text of an `int` has no more than 4,300 digits.
    let text = decimal(py)?.call1((number,))?.str()?.extract::<String>()?;
    text.parse::<Number>().map(Value::Number).map_err(|_| refused(py, "an integer has no text"))
}

fn key(name: &Bound<'_, PyAny>) -> PyResult<String> {
    match name.cast::<PyString>() {
        Ok(text) => to_text(text),
        Err(_) => {
            let of = name.get_type().fully_qualified_name()?;
            Err(not_json(name.py(), &format!("the keys of an object are text: type={of}")))
        }
    }
}

fn to_text(text: &Bound<'_, PyString>) -> PyResult<String> {
    given(text)
}

/// An argument, or the fields of one.
///
/// # Errors
///
/// `Invalid` for a text with half of a surrogate pair and a number out of range; those of pyo3 for another type.
pub(crate) fn given<'a, 'py, T: FromPyObject<'a, 'py>>(value: &'a Bound<'py, PyAny>) -> PyResult<T> {
    value.extract().map_err(|error: T::Error| {
        let (py, error): (_, PyErr) = (value.py(), error.into());
        // A field of a dict has the fault as its cause.
        let fault = error.cause(py).unwrap_or_else(|| error.clone_ref(py));
        if fault.is_instance_of::<PyUnicodeEncodeError>(py) {
            refused(py, "a text has half of a surrogate pair")
        } else if fault.is_instance_of::<PyOverflowError>(py) {
            refused(py, &format!("a number is out of range: {}", fault.value(py)))
        } else {
            error
        }
    })
}

fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(DECIMAL.import(py, "decimal", "Decimal")?.as_any())
}

fn refused(py: Python<'_>, message: &str) -> PyErr {
    exception(py, ("invalid", message.to_owned(), None::<&str>))
}

fn not_json(py: Python<'_>, message: &str) -> PyErr {
    exception(py, ("not_json", message.to_owned(), None::<&str>))
}

/// A Python object as a JSON object.
///
/// # Errors
///
/// As [`to_json`], and `Invalid` for anything else.
pub(crate) fn to_object(value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    match to_json(value)? {
        Value::Object(members) => Ok(members),
        _ => Err(not_json(value.py(), "this must be an object, as a dict is")),
    }
}

/// JSON as text, for stores behind a service.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Json {
    numbers: Numbers,
}

#[pymethods]
impl Json {
    #[new]
    fn new(parse_float: Option<Py<PyAny>>) -> Self {
        Self { numbers: Numbers::new(parse_float) }
    }

    /// An object as text.
    #[staticmethod]
    fn write(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        Ok(to_json(value)?.to_string().into_bytes())
    }

    /// A text as an object.
    fn read<'py>(&self, py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let value = detached(py, || hivekeep::json::parse(text))?;
        self.numbers.to_python(py, &value)
    }
}
