//! An engine with its store, and what that store must hold.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};

use crate::data::{Model, Random, Row, Sum};
use crate::disk;
use crate::engine::{Cannot, Engine, Kind, Point, Reader, cannot};

/// State that it has not backed up is in its memory alone.
const JSON_FILES: &str = "json_files";
/// Rows that a writer beside a reader may write; more than it can in the time.
const BESIDE: u64 = 20_000;

pub struct Subject {
    pub kind: &'static Kind,
    pub folder: PathBuf,
    pub model: Model,
    pub random: Random,
    engine: Option<Box<dyn Engine>>,
    /// The engine is not in this program.
    missing: Option<&'static str>,
}

impl Subject {
    /// With an empty store.
    pub fn new(kind: &'static Kind, parent: &Path, records: u64) -> Result<Self> {
        let folder = parent.join(kind.name);
        std::fs::create_dir_all(&folder)?;
        let mut subject =
            Self { kind, folder, model: Model::new(records), random: Random::new(2), engine: None, missing: None };
        match subject.open() {
            Err(error) if error.is::<Cannot>() => {
                subject.missing = error.downcast_ref::<Cannot>().map(|cannot| cannot.0)
            }
            opened => opened?,
        }
        Ok(subject)
    }

    pub fn is_available(&self) -> Result<()> {
        self.missing.map_or(Ok(()), cannot)
    }

    /// An empty store instead of the one that was.
    pub fn renew(&mut self) -> Result<()> {
        self.close()?;
        std::fs::remove_dir_all(&self.folder)?;
        std::fs::create_dir_all(&self.folder)?;
        self.model = Model::new(self.model.records());
        self.open()
    }

    pub fn open(&mut self) -> Result<()> {
        self.engine = Some((self.kind.open)(&self.folder)?);
        Ok(())
    }

    pub fn close(&mut self) -> Result<()> {
        self.engine.take().map_or(Ok(()), |engine| engine.close())
    }

    pub fn engine(&mut self) -> Result<&mut dyn Engine> {
        Ok(self.engine.as_mut().context("the store is closed")?.as_mut())
    }

    pub fn shared(&self) -> Result<&dyn Engine> {
        Ok(self.engine.as_ref().context("the store is closed")?.as_ref())
    }

    /// The records to change, and their new values.
    pub fn next_changes(&mut self, count: u64) -> (Vec<u64>, Vec<Row>) {
        let numbers = self.model.pick(&mut self.random, count.min(self.model.records()));
        let rows = self.model.rows_after(&numbers);
        (numbers, rows)
    }

    /// Changes a number of records in one transaction, on the way to something else.
    pub fn change(&mut self, count: u64) -> Result<Vec<u64>> {
        let (numbers, rows) = self.next_changes(count);
        if !rows.is_empty() {
            self.engine()?.change(&rows)?;
        }
        self.model.written(&numbers);
        Ok(numbers)
    }

    /// Compares these records with what they must hold.
    pub fn check(&self, numbers: &[u64]) -> Result<()> {
        check_rows(self.shared()?.now()?.as_ref(), &self.model, numbers)
    }

    /// Compares every record.
    pub fn check_all(&self) -> Result<()> {
        check_sum(self.shared()?.now()?.scan()?, self.model.sum())
    }

    /// Runs something while a thread commits one row after another, from its first commit on.
    pub fn while_writing<R>(&mut self, work: impl FnOnce(&dyn Engine) -> Result<R>) -> Result<R> {
        let (numbers, rows) = self.next_changes(BESIDE);
        let (engine, stop, written) = (self.shared()?, AtomicBool::new(false), AtomicUsize::new(0));
        let (result, wrote) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_until(engine, &rows, &stop, &written));
            while written.load(Ordering::Relaxed) == 0 && !writer.is_finished() {
                std::thread::yield_now();
            }
            let result = work(engine);
            stop.store(true, Ordering::Relaxed);
            (result, writer.join())
        });
        match wrote.map_err(|_| anyhow::anyhow!("the writer panicked"))? {
            Err(error) if error.is::<Cannot>() => {}
            wrote => wrote?,
        }
        self.model.written(&numbers[..written.into_inner()]);
        result
    }

    /// Makes a point; gives it with what it must hold.
    pub fn point(&mut self) -> Result<(Point, Model)> {
        Ok((self.engine()?.point()?, self.model.clone()))
    }

    /// Bytes of the content, and of the files after a clean close. They are the same for engines whose files have no
    /// free pages that will be used again.
    pub fn bytes(&mut self) -> Result<(u64, u64)> {
        let pages = self.engine()?.pages()?;
        if self.kind.name != JSON_FILES {
            self.close()?;
        }
        let files = disk::bytes_in(&self.folder)?;
        if self.kind.name != JSON_FILES {
            self.open()?;
        }
        Ok((pages.unwrap_or(files), files))
    }
}

fn write_until(engine: &dyn Engine, rows: &[Row], stop: &AtomicBool, written: &AtomicUsize) -> Result<()> {
    let mut writer = engine.writer()?;
    for row in rows {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        writer.commit(std::slice::from_ref(row))?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Compares some records.
pub fn check_rows(reader: &dyn Reader, model: &Model, numbers: &[u64]) -> Result<()> {
    for number in numbers {
        let row = model.row(*number);
        let value = reader.get(&row.key)?;
        ensure!(value.as_ref() == Some(&row.value), "wrong answer: key={} value={value:?}", row.key);
    }
    Ok(())
}

/// Compares what a scan gave.
pub fn check_sum(found: Sum, expected: Sum) -> Result<()> {
    ensure!(found == expected, "wrong answer of a scan: found={found:?} expected={expected:?}");
    Ok(())
}
