//! Measuring in turns: each round asks every engine once, so that what else happens on the machine meets all of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::data::Random;
use crate::engine::{Cannot, HIVEKEEP, KINDS, Kind};
use crate::queue;
use crate::report;
use crate::subject::Subject;
use crate::work;

/// An engine that has used this much time for one work is asked no more, once it has answered [`ENOUGH`] times.
const BUDGET: Duration = Duration::from_secs(2);
const ENOUGH: usize = 3;
/// One that has used this much is asked no more in any case.
const TOO_MUCH: Duration = Duration::from_secs(10);

/// All that was measured, and how to measure more.
pub struct Bench {
    pub records: u64,
    pub folder: PathBuf,
    selection: Selection,
    figures: Vec<Figure>,
    random: Random,
    /// Where the figures go too, from the first on.
    json: Option<PathBuf>,
}

/// The measurements of one engine at one workload.
pub struct Figure {
    pub work: Work,
    pub engine: &'static str,
    pub outcome: Outcome,
}

/// A row of the table: a work, and what tells several rows of one work apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Work {
    pub name: &'static str,
    /// Records changed before what is measured.
    pub changes: Option<u64>,
    pub variant: &'static str,
    pub compared: Compared,
}

/// The quantity that the ratio compares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Time,
    Bytes,
}

pub enum Outcome {
    Measured(Measured),
    Cannot(String),
}

#[derive(Default)]
pub struct Measured {
    pub times: Vec<Duration>,
    /// The size of the content.
    pub bytes: Option<u64>,
    /// The size of the files, where they contain free pages too.
    pub file_bytes: Option<u64>,
}

/// One answer of an engine.
pub type Answer = Result<Vec<Duration>>;

impl Work {
    pub const fn new(name: &'static str) -> Self {
        Self { name, changes: None, variant: "", compared: Compared::Time }
    }

    pub const fn variant(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self
    }

    pub const fn changes(mut self, changes: u64) -> Self {
        self.changes = Some(changes);
        self
    }

    pub const fn bytes(mut self) -> Self {
        self.compared = Compared::Bytes;
        self
    }
}

/// The workloads that `--only` selects.
pub struct Selection {
    works: Vec<String>,
    engines: Vec<String>,
}

impl Selection {
    pub fn new(only: Vec<String>) -> Result<Self> {
        let is_engine = |name: &String| engine_names().any(|engine| engine == name);
        let (engines, works): (Vec<_>, Vec<_>) = only.into_iter().partition(is_engine);
        for name in &works {
            let known = work::NAMES.iter().chain(queue::NAMES);
            ensure!(known.into_iter().any(|work| work == name), "there is no such work or engine: {name}");
        }
        Ok(Self { works, engines })
    }

    pub fn has_work(&self, name: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|work| work == name)
    }

    pub fn has_engine(&self, name: &str) -> bool {
        self.engines.is_empty() || name.starts_with(HIVEKEEP) || self.engines.iter().any(|engine| engine == name)
    }
}

fn engine_names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name).chain(queue::ENGINES)
}

impl Bench {
    /// Writes an empty list of figures to `json`.
    pub fn new(records: u64, folder: &Path, selection: Selection, json: Option<PathBuf>) -> Result<Self> {
        let random = Random::new(3);
        let bench = Self { records, folder: folder.to_owned(), selection, figures: Vec::new(), random, json };
        bench.write_json().map(|()| bench)
    }

    fn write_json(&self) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        std::fs::write(path, report::json(&self.figures, self.records)?).with_context(|| path.display().to_string())
    }

    pub fn has_work(&self, name: &str) -> bool {
        self.selection.has_work(name)
    }

    pub fn has_engine(&self, name: &str) -> bool {
        self.selection.has_engine(name)
    }

    /// The engines that are asked.
    pub fn kinds(&self) -> Vec<&'static Kind> {
        KINDS.iter().filter(|kind| self.has_engine(kind.name)).collect()
    }

    /// Asks every subject a number of times, in turns.
    pub fn rounds(
        &mut self,
        work: Work,
        rounds: usize,
        subjects: &mut [Subject],
        mut once: impl FnMut(&mut Subject) -> Answer,
    ) -> Result<()> {
        if !self.has_work(work.name) {
            return Ok(());
        }
        let names: Vec<_> = subjects.iter().map(|subject| subject.kind.name).collect();
        self.in_turns(work, rounds, &names, |at| {
            let subject = &mut subjects[at];
            subject.is_available()?;
            once(subject)
        })
    }

    /// Asks a number of times, in turns; the place in the list identifies the engine.
    pub fn in_turns(
        &mut self,
        work: Work,
        rounds: usize,
        engines: &[&'static str],
        mut once: impl FnMut(usize) -> Answer,
    ) -> Result<()> {
        let mut spent = vec![Duration::ZERO; engines.len()];
        let mut outcomes: Vec<_> = engines.iter().map(|_| Outcome::Measured(Measured::default())).collect();
        for round in 0..rounds {
            // Nobody is always first, or always behind the same one.
            for at in self.random.order(engines.len()) {
                let Outcome::Measured(measured) = &mut outcomes[at] else { continue };
                if spent[at] > TOO_MUCH || spent[at] > BUDGET && round >= ENOUGH {
                    continue;
                }
                let started = Instant::now();
                match once(at) {
                    Ok(times) => measured.times.extend(times),
                    Err(error) => outcomes[at] = why_not(error).context(engines[at]).context(work.name)?,
                }
                spent[at] += started.elapsed();
            }
        }
        self.note(work, engines.iter().copied().zip(outcomes))
    }

    /// Keeps what was measured, prints it, and writes it down: what comes later may fail.
    pub fn note(&mut self, work: Work, outcomes: impl IntoIterator<Item = (&'static str, Outcome)>) -> Result<()> {
        let before = self.figures.len();
        self.figures.extend(outcomes.into_iter().map(|(engine, outcome)| Figure { work, engine, outcome }));
        print!("{}", report::table(&self.figures[before..]));
        self.write_json()
    }
}

/// A workload that an engine does not support is an outcome; any other error ends the run.
pub fn why_not(error: anyhow::Error) -> Result<Outcome> {
    match error.downcast::<Cannot>() {
        Ok(cannot) => Ok(Outcome::Cannot(cannot.to_string())),
        Err(error) => Err(error),
    }
}

/// How long something takes, beside what it gives.
pub fn timed<R>(work: impl FnOnce() -> Result<R>) -> Result<(Duration, R)> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}
