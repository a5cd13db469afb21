//! fjall: a batch, then a sync of its journal. It has no points: a snapshot ends with its process.

use std::path::Path;

use ::fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use anyhow::Result;

use crate::data::{Row, Sum};
use crate::engine::{Engine, Point, Reader, Writer, cannot};

const NO_POINTS: &str = "its snapshots end with the process, and it has no backup";

struct Fjall {
    database: Database,
    table: Keyspace,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let database = Database::builder(folder.join("fjall")).open()?;
    let table = database.keyspace("state", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, table }))
}

impl Engine for Fjall {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        for row in rows {
            self.table.insert(row.key, row.value)?;
        }
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new((self.database.snapshot(), self.table.clone())))
    }

    fn point(&mut self) -> Result<Point> {
        cannot(NO_POINTS)
    }

    fn restore(&mut self, _point: Point) -> Result<()> {
        cannot(NO_POINTS)
    }

    fn verify(&mut self, _point: Point) -> Result<()> {
        cannot(NO_POINTS)
    }

    fn forget(&mut self, _point: Point) -> Result<()> {
        cannot(NO_POINTS)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

impl Writer for &Fjall {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for row in rows {
            batch.insert(&self.table, row.key.as_str(), row.value.as_str());
        }
        Ok(batch.commit()?)
    }
}

impl Reader for (Snapshot, Keyspace) {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let value = self.0.get(&self.1, key)?;
        Ok(value.map(|value| String::from_utf8(value.to_vec())).transpose()?)
    }

    fn scan(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for row in self.0.iter(&self.1) {
            let (key, value) = row.into_inner()?;
            sum.add(&key, &value);
        }
        Ok(sum)
    }
}
