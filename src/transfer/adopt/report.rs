//! The report of an adoption, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::source::AdoptSource;
use crate::text::OneLine;

/// The most problems and notes of a file that are listed; the others are counted.
const TOLD_MAX: usize = 1000;

/// The result of [`Store::adopt`](crate::Store::adopt). Its text and its JSON name every file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdoptReport {
    /// The time zone of times without an offset from UTC.
    pub time_zone: String,
    /// The known files, in the order of adoption.
    pub files: Vec<AdoptedFile>,
    /// Ignored files of unknown kinds.
    pub skipped: Vec<AdoptSkipped>,
    /// Problems outside of these files.
    pub problems: Vec<AdoptProblem>,
    /// Whether this was a dry run on a copy.
    pub rehearsed: bool,
}

/// The parts of one file that were adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptedFile {
    /// The file, with the path that was given or found.
    #[serde(serialize_with = "crate::files::as_text")]
    pub path: PathBuf,
    /// The kind of file.
    pub source: AdoptSource,
    /// The number of new records in the store, by kind.
    pub taken: BTreeMap<AdoptThing, u64>,
    /// The number of these backups whose bytes match the checksum in the index.
    pub verified: u64,
    /// The number of parts that had been adopted before.
    pub known: u64,
    /// The number of parts that had been adopted before and have been removed, purged or restored away since. They were
    /// skipped; [`AdoptOptions::again`](crate::AdoptOptions::again) adopts them again.
    pub gone: u64,
    /// Parts that were not adopted, or were changed: the first thousand.
    pub problems: Vec<AdoptProblem>,
    /// The number of further problems.
    pub more_problems: u64,
    /// Remarks on the file that report no loss.
    pub notes: Vec<String>,
}

/// A part that was not adopted, or was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptProblem {
    /// The part: `line 32`, `task BACKLOG-007`; empty for the whole file.
    pub place: String,
    /// The problem.
    pub why: String,
    /// Whether its text was kept, in an event `not_adopted`.
    pub kept: bool,
}

/// An ignored file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptSkipped {
    /// The file or folder.
    #[serde(serialize_with = "crate::files::as_text")]
    pub path: PathBuf,
    /// The reason.
    pub why: String,
}

/// The kinds of records that can be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptThing {
    /// Backups, with their content.
    Backups,
    /// Restore points of backups.
    RestorePoints,
    /// Bots of the registry.
    Bots,
    /// Tasks of the queue.
    Tasks,
    /// Messages of the chat.
    Messages,
    /// Entries of the audit trail.
    AuditEntries,
    /// Events.
    Events,
}

impl AdoptThing {
    /// The number of records, in words.
    fn show(self, count: u64) -> String {
        let (one, many) = match self {
            Self::Backups => ("backup", "backups"),
            Self::RestorePoints => ("restore point", "restore points"),
            Self::Bots => ("bot", "bots"),
            Self::Tasks => ("task", "tasks"),
            Self::Messages => ("message", "messages"),
            Self::AuditEntries => ("audit entry", "audit entries"),
            Self::Events => ("event", "events"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

impl AdoptReport {
    /// Whether some part was not adopted, or was changed. The exit code of `hivekeep adopt` is 3 then.
    pub fn in_part(&self) -> bool {
        !self.problems.is_empty() || self.files.iter().any(|file| !file.problems.is_empty())
    }

    /// The number of new records in the store, by kind.
    pub fn taken(&self) -> BTreeMap<AdoptThing, u64> {
        let mut total = BTreeMap::new();
        for (thing, count) in self.files.iter().flat_map(|file| &file.taken) {
            *total.entry(*thing).or_default() += count;
        }
        total
    }
}

impl AdoptedFile {
    pub(super) fn new(path: &Path, source: AdoptSource) -> Self {
        Self {
            path: path.to_path_buf(),
            source,
            taken: BTreeMap::new(),
            verified: 0,
            known: 0,
            gone: 0,
            problems: Vec::new(),
            more_problems: 0,
            notes: Vec::new(),
        }
    }

    pub(super) fn took(&mut self, thing: AdoptThing, count: u64) {
        *self.taken.entry(thing).or_default() += count;
    }

    pub(super) fn problem(&mut self, place: impl Into<String>, why: impl Into<String>, kept: bool) {
        if self.problems.len() < TOLD_MAX {
            self.problems.push(AdoptProblem { place: place.into(), why: why.into(), kept });
        } else {
            self.more_problems += 1;
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        if self.notes.len() < TOLD_MAX {
            self.notes.push(note.into());
        }
    }

    /// The result in one line.
    fn summary(&self) -> String {
        let mut parts = vec![list(&self.taken).unwrap_or_else(|| "nothing new".to_owned())];
        if self.verified > 0 {
            parts.push(format!("checksums verified: {}", self.verified));
        }
        if self.known > 0 {
            parts.push(format!("{} known", self.known));
        }
        if self.gone > 0 {
            parts.push(format!("{} adopted before and removed since, skipped", self.gone));
        }
        parts.join(", ")
    }
}

impl Serialize for AdoptReport {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut report = to.serialize_struct("AdoptReport", 6 + usize::from(self.rehearsed))?;
        if self.rehearsed {
            report.serialize_field("rehearsed", &true)?;
        }
        report.serialize_field("time_zone", &self.time_zone)?;
        report.serialize_field("in_part", &self.in_part())?;
        report.serialize_field("taken", &self.taken())?;
        report.serialize_field("files", &self.files)?;
        report.serialize_field("skipped", &self.skipped)?;
        report.serialize_field("problems", &self.problems)?;
        report.end()
    }
}

impl fmt::Display for AdoptReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "times without a zone were read in: {}", self.time_zone)?;
        for file in &self.files {
            write!(f, "{file}")?;
        }
        for AdoptSkipped { path, why } in &self.skipped {
            writeln!(f, "{}", OneLine(format_args!("skipped {}: {why}", path.display())))?;
        }
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        let part = if self.in_part() { "in part: " } else { "" };
        let verb = if self.rehearsed { "would adopt" } else { "adopted" };
        write!(f, "{verb} {part}{}", list(&self.taken()).unwrap_or_else(|| "nothing new".to_owned()))
    }
}

impl fmt::Display for AdoptedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", OneLine(self.path.display()), self.summary())?;
        for problem in &self.problems {
            writeln!(f, "  {problem}")?;
        }
        if self.more_problems > 0 {
            writeln!(f, "  and {} more problems", self.more_problems)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {}", OneLine(note)))
    }
}

impl fmt::Display for AdoptProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = if self.kept { "; its text is kept in an event" } else { "" };
        match self.place.as_str() {
            "" => write!(f, "{}{kept}", OneLine(&self.why)),
            place => write!(f, "{}: {}{kept}", OneLine(place), OneLine(&self.why)),
        }
    }
}

fn list(taken: &BTreeMap<AdoptThing, u64>) -> Option<String> {
    let shown: Vec<_> =
        taken.iter().filter(|(_, count)| **count > 0).map(|(thing, count)| thing.show(*count)).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> AdoptReport {
        let mut file = AdoptedFile::new(Path::new("hive/backlog.json"), AdoptSource::Backlog);
        file.took(AdoptThing::Tasks, 2);
        file.known = 1;
        file.problem("task T-3", "its status is not known: status=BLOCKED", true);
        file.note("something");
        let skipped = vec![AdoptSkipped { path: "hive/notes.md".into(), why: "unknown file".into() }];
        AdoptReport { time_zone: "UTC".into(), files: vec![file], skipped, ..AdoptReport::default() }
    }

    #[test]
    fn the_text_names_every_file_and_every_problem() {
        let expected = "times without a zone were read in: UTC
hive/backlog.json: 2 tasks, 1 known
  task T-3: its status is not known: status=BLOCKED; its text is kept in an event
  note: something
skipped hive/notes.md: unknown file
adopted in part: 2 tasks";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn the_json_contains_the_same() {
        let expected = r#"{"time_zone":"UTC","in_part":true,"taken":{"tasks":2},"files":[{"path":"hive/backlog.json","source":"backlog","taken":{"tasks":2},"verified":0,"known":1,"gone":0,"problems":[{"place":"task T-3","why":"its status is not known: status=BLOCKED","kept":true}],"more_problems":0,"notes":["something"]}],"skipped":[{"path":"hive/notes.md","why":"unknown file"}],"problems":[]}"#;
        assert_eq!(serde_json::to_string(&report()).unwrap(), expected);
    }

    #[test]
    fn further_problems_are_counted() {
        let mut file = AdoptedFile::new(Path::new("f"), AdoptSource::Chat);
        (0..TOLD_MAX + 5).for_each(|line| file.problem(format!("line {line}"), "wrong", false));
        assert_eq!((file.problems.len(), file.more_problems), (TOLD_MAX, 5));
    }
}
