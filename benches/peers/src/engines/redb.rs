//! Plain redb, which Hivekeep is built on: as it is by default, with its persistent savepoints, and with copies of the
//! table. The last two commit as Hivekeep does, in two phases with quick repair.

use std::path::Path;

use ::redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction,
};
use anyhow::{Context, Result, ensure};

use crate::data::{Row, Sum};
use crate::engine::{Engine, Point, Reader, Writer, cannot};
use crate::engines::hivekeep::pages_in_use;

const TABLE: TableDefinition<'_, &str, &str> = TableDefinition::new("state");
const FILE: &str = "r.redb";
/// As Hivekeep's default.
const CACHE_BYTES: usize = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Points {
    None,
    Savepoint,
    CopyTable,
}

struct Redb {
    database: Database,
    points: Points,
    made: u64,
}

pub fn open(folder: &Path, points: Points) -> Result<Box<dyn Engine>> {
    let is_new = !folder.join(FILE).exists();
    let engine = Redb { database: create(folder)?, points, made: 0 };
    if is_new {
        let transaction = engine.begin()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
    }
    Ok(Box::new(engine))
}

fn create(folder: &Path) -> Result<Database> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create(folder.join(FILE))?)
}

impl Redb {
    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_quick_repair(self.points != Points::None);
        Ok(transaction)
    }

    fn copy(point: Point) -> String {
        format!("point-{point}")
    }

    fn read_copy(&self, point: Point) -> Result<ReadOnlyTable<&'static str, &'static str>> {
        let name = Self::copy(point);
        let table: Definition<'_> = TableDefinition::new(&name);
        Ok(self.database.begin_read()?.open_table(table)?)
    }
}

const NO_POINTS: &str = "it is used without points here; see redb_savepoint and redb_copy_table";

impl Engine for Redb {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        put(self.begin()?, rows)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.database.begin_read()?.open_table(TABLE)?))
    }

    fn point(&mut self) -> Result<Point> {
        let transaction = self.begin()?;
        let point = match self.points {
            Points::None => return cannot(NO_POINTS),
            Points::Savepoint => transaction.persistent_savepoint()?,
            Points::CopyTable => {
                let name = Self::copy(self.made);
                copy_table(&transaction, TABLE, TableDefinition::new(&name))?;
                self.made
            }
        };
        transaction.commit()?;
        self.made += 1;
        Ok(point)
    }

    fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
        match self.points {
            Points::None => cannot(NO_POINTS),
            Points::Savepoint => cannot("a savepoint can be read only by restoring it"),
            Points::CopyTable => Ok(Box::new(self.read_copy(point)?)),
        }
    }

    fn restore(&mut self, point: Point) -> Result<()> {
        let mut transaction = self.begin()?;
        match self.points {
            Points::None => return cannot(NO_POINTS),
            Points::Savepoint => {
                let savepoint = transaction.get_persistent_savepoint(point)?;
                transaction.restore_savepoint(&savepoint)?;
            }
            Points::CopyTable => {
                transaction.delete_table(TABLE)?;
                copy_table(&transaction, TableDefinition::new(&Self::copy(point)), TABLE)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
        match self.points {
            Points::None => cannot(NO_POINTS),
            Points::Savepoint => cannot("a savepoint can be restored only in place"),
            Points::CopyTable => {
                let from = self.read_copy(point)?;
                let to = create(folder)?;
                let mut transaction = to.begin_write()?;
                transaction.set_quick_repair(true);
                copy_rows(&from, &transaction, TABLE)?;
                Ok(transaction.commit()?)
            }
        }
    }

    fn verify(&mut self, _point: Point) -> Result<()> {
        ensure!(self.database.check_integrity()?, "the integrity check has repaired the file");
        Ok(())
    }

    fn forget(&mut self, point: Point) -> Result<()> {
        let transaction = self.begin()?;
        match self.points {
            Points::None => return cannot(NO_POINTS),
            Points::Savepoint => drop(transaction.delete_persistent_savepoint(point)?),
            Points::CopyTable => {
                let name = Self::copy(point);
                let table: TableDefinition<'_, &str, &str> = TableDefinition::new(&name);
                ensure!(transaction.delete_table(table)?, "the copy was not there");
            }
        }
        Ok(transaction.commit()?)
    }

    fn pages(&mut self) -> Result<Option<u64>> {
        pages_in_use(&self.database).map(Some)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.close()?)
    }
}

fn put(transaction: WriteTransaction, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
    let mut table = transaction.open_table(TABLE)?;
    for row in rows {
        table.insert(row.key.as_str(), row.value.as_str())?;
    }
    drop(table);
    Ok(transaction.commit()?)
}

type Definition<'a> = TableDefinition<'a, &'static str, &'static str>;

fn copy_table(transaction: &WriteTransaction, from: Definition<'_>, to: Definition<'_>) -> Result<()> {
    ensure!(from.name() != to.name(), "a table cannot be copied to itself");
    copy_rows(&transaction.open_table(from)?, transaction, to)
}

fn copy_rows<T: ReadableTable<&'static str, &'static str>>(
    from: &T,
    transaction: &WriteTransaction,
    to: Definition<'_>,
) -> Result<()> {
    let mut to = transaction.open_table(to)?;
    for row in from.iter()? {
        let (key, value) = row?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

impl Writer for &Redb {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let transaction = self.begin()?;
        let mut table = transaction.open_table(TABLE).context("the table")?;
        for row in rows {
            table.insert(row.key.as_str(), row.value.as_str())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Reader for ReadOnlyTable<&'static str, &'static str> {
    fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(ReadableTable::get(self, key)?.map(|value| value.value().to_owned()))
    }

    fn scan(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        for row in self.iter()? {
            let (key, value) = row?;
            sum.add(key.value().as_bytes(), value.value().as_bytes());
        }
        Ok(sum)
    }
}
