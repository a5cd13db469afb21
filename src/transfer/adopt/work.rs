//! The work on one file: its transactions, adopted parts, and report.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::input;
use super::marks::Mark;
use super::options::AdoptOptions;
use super::report::{AdoptSkipped, AdoptThing, AdoptedFile};
use super::source::AdoptSource;
use crate::engine::digest::hex;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::recovery::events::event::EventKind;

/// The longest text of a part that is kept if it cannot be adopted.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// The most such texts of one file. A file with more is not of the kind that its name suggests.
const KEPT_MAX: usize = 10_000;

/// The work on one file.
pub(super) struct FileWork<'a> {
    pub(super) store: &'a Store,
    pub(super) options: &'a AdoptOptions,
    pub(super) path: &'a Path,
    pub(super) file: AdoptedFile,
    /// Files that it does not handle.
    pub(super) skipped: Vec<AdoptSkipped>,
    /// The reason why the file is not of the kind that its name suggests, if it is not.
    pub(super) foreign: Option<&'static str>,
    kept: usize,
}

/// One transaction of that work.
pub(super) struct Taking<'w, 'tx> {
    pub(super) tx: &'w mut WriteTx<'tx>,
    pub(super) options: &'w AdoptOptions,
    pub(super) path: &'w Path,
    pub(super) file: &'w mut AdoptedFile,
    /// The file's fields besides its parts; kept in the event of the adoption.
    pub(super) members: Map<String, Value>,
    kept: &'w mut usize,
}

/// The state of a part before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It does not exist, and should be adopted.
    New,
    /// It was adopted before; the report counts it.
    Before,
}

impl<'a> FileWork<'a> {
    pub(super) fn new(store: &'a Store, options: &'a AdoptOptions, path: &'a Path, source: AdoptSource) -> Self {
        let file = AdoptedFile::new(path, source);
        Self { store, options, path, file, skipped: Vec::new(), foreign: None, kept: 0 }
    }

    /// Adopts a part in a transaction of its own. If the content of the file or of the store makes it fail, nothing of
    /// the part is adopted, and the report contains the reason.
    ///
    /// # Errors
    ///
    /// Errors after which the store cannot be written to for some time.
    pub(super) fn load(&mut self, part: &str, take: impl FnOnce(&mut Taking<'_, '_>) -> Result<()>) -> Result<()> {
        let (before, kept_before) = (self.file.clone(), self.kept);
        let (options, path, file, kept) = (self.options, self.path, &mut self.file, &mut self.kept);
        let done = self.store.load(|tx| {
            let mut taking = Taking { tx, options, path, file, members: Map::new(), kept };
            take(&mut taking)?;
            taking.tell(&before)
        });
        match done {
            Err(error) if concerns_the_part(&error) => {
                (self.file, self.kept) = (before, kept_before);
                self.file.problem(part, format!("nothing of this was adopted: {error}"), false);
                Ok(())
            }
            done => done,
        }
    }

    /// Reads the file as one JSON object. If it is not one, this is reported and its text is kept.
    pub(super) fn object(&mut self) -> Result<Option<Map<String, Value>>> {
        let bytes = match input::whole(self.path, self.options.max_file_bytes) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.file.problem("", why, false);
                return Ok(None);
            }
        };
        let why = match json::parse(&bytes) {
            Ok(Value::Object(members)) => return Ok(Some(members)),
            Ok(_) => "it is JSON, but not an object".to_owned(),
            Err(error) => format!("it is not JSON: {error}"),
        };
        self.load("", |taking| taking.problem("", why, &bytes))?;
        Ok(None)
    }
}

/// Whether other parts can still be adopted after this error.
fn concerns_the_part(error: &Error) -> bool {
    use ErrorKind::{Ambiguous, Conflict, Damaged, Gone, Invalid, NotCommitted, NotFound};
    matches!(error.kind(), Ambiguous | Conflict | Damaged | Gone | Invalid | NotCommitted | NotFound)
}

impl Taking<'_, '_> {
    /// Whether to adopt a part. An adopted part counts as known while it exists; once it is removed, it stays removed
    /// unless the options ask to adopt it again.
    pub(super) fn seen(
        &mut self,
        mark: &Mark,
        there: impl FnOnce(&mut WriteTx<'_>, u64) -> Result<bool>,
    ) -> Result<Seen> {
        let Some(number) = mark.read(self.tx)? else { return Ok(Seen::New) };
        if there(self.tx, number)? {
            self.file.known += 1;
        } else if self.options.again {
            return Ok(Seen::New);
        } else {
            self.file.gone += 1;
        }
        Ok(Seen::Before)
    }

    /// Reports a part that was not adopted, or was changed, and keeps its text in an event, once.
    pub(super) fn problem(&mut self, place: impl Into<String>, why: impl Into<String>, text: &[u8]) -> Result<()> {
        let (place, why) = (place.into(), why.into());
        let kept = !text.is_empty() && text.len() <= KEPT_BYTES_MAX && *self.kept < KEPT_MAX;
        if kept {
            *self.kept += 1;
            self.keep(&place, &why, text)?;
        }
        self.file.problem(place, why, kept);
        Ok(())
    }

    fn keep(&mut self, place: &str, why: &str, text: &[u8]) -> Result<()> {
        let mark = Mark::new("text", &[place.as_bytes(), text]);
        if mark.read(self.tx)?.is_some() {
            return Ok(());
        }
        let file = self.path.to_string_lossy();
        let details = match str::from_utf8(text) {
            Ok(text) => json!({"file": file, "place": place, "why": why, "text": text}),
            Err(_) => json!({"file": file, "place": place, "why": why, "hex": hex(text)}),
        };
        let number = self.tx.events().append(EventKind::NotAdopted, details)?;
        mark.write(self.tx, number)
    }

    /// Appends the event of the parts in this transaction.
    fn tell(&mut self, before: &AdoptedFile) -> Result<()> {
        let new = |(thing, count): (&AdoptThing, &u64)| {
            let count = count - before.taken.get(thing).copied().unwrap_or_default();
            (count > 0).then_some((*thing, count))
        };
        let taken: std::collections::BTreeMap<_, _> = self.file.taken.iter().filter_map(new).collect();
        if taken.is_empty() {
            return Ok(());
        }
        let mut details = json!({"file": self.path.to_string_lossy(), "source": self.file.source, "taken": taken});
        let members = Value::Object(std::mem::take(&mut self.members));
        if let Value::Object(details) = &mut details
            && members.as_object().is_some_and(|members| !members.is_empty())
        {
            if members.to_string().len() <= KEPT_BYTES_MAX {
                details.insert("members".to_owned(), members);
            } else {
                self.file.problem("", "its fields besides the parts are too long to be kept", false);
            }
        }
        self.tx.events().append(EventKind::Adopted, details).map(drop)
    }
}
