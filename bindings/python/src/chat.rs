//! The messages of the fleet.

use hivekeep::{ChatFilter, NewMessage, Page};
use pyo3::prelude::*;

use crate::call::{parsed_or_none, raised};
use crate::door::{Door, read_json};
use crate::value::{given, to_object};

/// A message to append.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Wanted<'py> {
    conversation: String,
    role: String,
    content: String,
    bot_id: Option<String>,
    timestamp: Option<String>,
    attributes: Option<Bound<'py, PyAny>>,
}

/// Which rows of a numbered list are read.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Numbered {
    oldest: bool,
    after: Option<u64>,
    before: Option<u64>,
    limit: usize,
}

impl From<Numbered> for Page {
    fn from(numbered: Numbered) -> Self {
        let page = if numbered.oldest { Self::oldest(numbered.limit) } else { Self::newest(numbered.limit) };
        let page = numbered.after.into_iter().fold(page, Self::after);
        numbered.before.into_iter().fold(page, Self::before)
    }
}

/// The messages, through a door.
#[pyclass(frozen, module = "hivekeep._hivekeep")]
pub(crate) struct Chat {
    door: Door,
}

impl Chat {
    pub(crate) fn new(door: Door) -> Self {
        Self { door }
    }
}

#[pymethods]
impl Chat {
    /// Appends a message; gives its number.
    fn append(&self, py: Python<'_>, #[pyo3(from_py_with = given)] message: Wanted<'_>) -> PyResult<u64> {
        let mut new = NewMessage::new(message.conversation, message.role, message.content);
        new.bot = parsed_or_none(py, message.bot_id.as_deref())?;
        let at = message.timestamp.as_deref().map(hivekeep::parse_time).transpose();
        new.at = at.map_err(|error| raised(py, &error))?;
        new.attributes = message.attributes.as_ref().map(to_object).transpose()?.unwrap_or_default();
        self.door.write(py, move |tx| tx.chat().append(new))
    }

    /// A message, or none.
    fn get<'py>(&self, py: Python<'py>, #[pyo3(from_py_with = given)] sequence: u64) -> PyResult<Bound<'py, PyAny>> {
        read_json!(&self.door, py, move |from| from.chat().get(sequence)?)
    }

    /// Removes a message; says whether it was there.
    fn remove(&self, py: Python<'_>, #[pyo3(from_py_with = given)] sequence: u64) -> PyResult<bool> {
        self.door.write(py, move |tx| tx.chat().remove(sequence))
    }

    /// Some messages of a bot, of a conversation, or of all.
    fn page<'py>(
        &self,
        py: Python<'py>,
        bot: Option<&str>,
        conversation: Option<String>,
        #[pyo3(from_py_with = given)] page: Numbered,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = ChatFilter { bot: parsed_or_none(py, bot)?, conversation };
        let page: Page = page.into();
        read_json!(&self.door, py, move |from| from.chat().list(&filter, page)?)
    }
}
