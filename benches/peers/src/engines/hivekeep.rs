//! Hivekeep, with its default options, for one process alone, or with a log that several processes share.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ::hivekeep::{Collection, Point as Made, RestoreOptions, Selector, Sharing, Store, View};
use ::redb::{Builder, ReadableDatabase};
use anyhow::{Context, Result, ensure};

use crate::data::{Row, Sum};
use crate::engine::{Engine, Point, Reader, Writer};

const NAME: &str = "bench";

struct Hivekeep {
    store: Store,
    path: PathBuf,
    sharing: Sharing,
    points: Mutex<Vec<Made>>,
}

pub fn open(folder: &Path, sharing: Sharing) -> Result<Box<dyn Engine>> {
    let path = folder.join("h.redb");
    let store = Store::options().sharing(sharing).open(&path)?;
    Ok(Box::new(Hivekeep { store, path, sharing, points: Mutex::default() }))
}

impl Hivekeep {
    fn made(&self, point: Point) -> Result<Selector> {
        let points = self.points.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        Ok(Selector::from(points.get(point as usize).context("no such point")?))
    }
}

fn put_all(store: &Store, mut rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
    store.load(|tx| {
        let mut records = tx.collection(NAME)?;
        (&mut rows).try_for_each(|row| records.put(&row.key, &row.value))
    })?;
    Ok(())
}

fn load_anew(view: &View, to: &Path) -> Result<()> {
    let new = Store::open(to)?;
    let records: Collection<String, _> = view.collection(NAME)?;
    new.load(|tx| {
        let mut to = tx.collection(NAME)?;
        records.list().try_for_each(|row| {
            let (key, value) = row?;
            to.put(&key, &value)
        })
    })?;
    Ok(new.close()?)
}

impl Engine for Hivekeep {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        put_all(&self.store, rows)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(&self.store))
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.store.view()?))
    }

    fn point(&mut self) -> Result<Point> {
        let made = self.store.restore_point("bench")?;
        let points = self.points.get_mut().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        points.push(made);
        Ok(points.len() as u64 - 1)
    }

    fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.store.at(self.made(point)?)?))
    }

    fn restore(&mut self, point: Point) -> Result<()> {
        self.store.restore(self.made(point)?, RestoreOptions::new())?;
        Ok(())
    }

    fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
        let (to, point) = (folder.join("h.redb"), self.made(point)?);
        match self.sharing {
            // The file is copied, and it is open here for nobody else.
            Sharing::Exclusive => load_anew(&self.store.at(point)?, &to),
            _ => Ok(Store::restore_to(&self.path, to, point, RestoreOptions::new()).map(drop)?),
        }
    }

    fn verify(&mut self, _point: Point) -> Result<()> {
        let report = self.store.check()?;
        ensure!(report.is_sound(), "the check found damage");
        Ok(())
    }

    fn forget(&mut self, point: Point) -> Result<()> {
        self.store.forget(&[self.made(point)?])?;
        Ok(())
    }

    fn pages(&mut self) -> Result<Option<u64>> {
        self.store.close()?;
        let database = Builder::new().open(&self.path)?;
        let bytes = pages_in_use(&database)?;
        drop(database);
        self.store = Store::options().sharing(self.sharing).open(&self.path)?;
        Ok(Some(bytes))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.store.close()?)
    }
}

/// The bytes that redb counts as allocated.
pub fn pages_in_use(database: &::redb::Database) -> Result<u64> {
    // Pages that the last commit has freed are counted until the next.
    for _ in 0..2 {
        let transaction = database.begin_write()?;
        transaction.commit()?;
    }
    drop(database.begin_read()?);
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}

impl Writer for &Store {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        self.write(|tx| {
            let mut records = tx.collection(NAME)?;
            rows.iter().try_for_each(|row| records.put(&row.key, &row.value))
        })?;
        Ok(())
    }
}

impl Reader for View {
    fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(self.collection(NAME)?.get(key)?)
    }

    fn scan(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for row in self.collection::<String>(NAME)?.list() {
            let (key, value) = row?;
            sum.add(key.as_bytes(), value.as_bytes());
        }
        Ok(sum)
    }
}
