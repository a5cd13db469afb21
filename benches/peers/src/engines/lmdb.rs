//! LMDB through heed. A point is a copy of the environment; restoring one puts it in the environment's place.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use heed::types::Str;
use heed::{CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, WithTls};

use crate::data::{Row, Sum};
use crate::disk;
use crate::engine::{Engine, Point, Reader, Writer, cannot};

/// How far the file may grow; address space only.
const MAP_BYTES: usize = 64 << 30;

type Table = Database<Str, Str>;

/// None only while a restore changes the file.
struct Lmdb {
    folder: PathBuf,
    open: Option<Open>,
    points: u64,
}

#[derive(Clone)]
struct Open {
    env: Env<WithTls>,
    table: Table,
}

pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let open = Some(Open::new(&folder.join("l.mdb"), EnvFlags::NO_SUB_DIR)?);
    Ok(Box::new(Lmdb { folder: folder.to_owned(), open, points: 0 }))
}

impl Open {
    #[expect(unsafe_code, reason = "nobody else changes the mapped file, and heed cannot know that")]
    fn new(path: &Path, flags: EnvFlags) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_BYTES).max_dbs(1);
        // SAFETY: the file is in a folder of this run, and only LMDB writes to it.
        let env = unsafe { options.flags(flags).open(path)? };
        let table = if flags.contains(EnvFlags::READ_ONLY) {
            let transaction = env.read_txn()?;
            let table = env.open_database(&transaction, Some("state"))?.context("the copy has no table")?;
            transaction.commit()?;
            table
        } else {
            let mut transaction = env.write_txn()?;
            let table = env.create_database(&mut transaction, Some("state"))?;
            transaction.commit()?;
            table
        };
        Ok(Self { env, table })
    }

    fn close(self) {
        self.env.prepare_for_closing().wait();
    }
}

impl Lmdb {
    fn open(&self) -> Result<&Open> {
        self.open.as_ref().context("a restore has failed before")
    }

    fn copy(&self, point: Point) -> PathBuf {
        self.folder.join(format!("point-{point}.mdb"))
    }
}

impl Engine for Lmdb {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        put(self.open()?, rows)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(self.open()?))
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Reading { open: self.open()?.clone(), is_copy: false }))
    }

    fn point(&mut self) -> Result<Point> {
        let point = self.points;
        let file = self.open()?.env.copy_to_path(self.copy(point), CompactionOption::Disabled)?;
        file.sync_all()?;
        disk::sync_folder(&self.folder)?;
        self.points += 1;
        Ok(point)
    }

    fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
        let open = Open::new(&self.copy(point), EnvFlags::NO_SUB_DIR | EnvFlags::READ_ONLY | EnvFlags::NO_LOCK)?;
        Ok(Box::new(Reading { open, is_copy: true }))
    }

    fn restore(&mut self, point: Point) -> Result<()> {
        self.open.take().context("a restore has failed before")?.close();
        let (path, new) = (self.folder.join("l.mdb"), self.folder.join("new.mdb"));
        disk::copy_file(&self.copy(point), &new)?;
        std::fs::rename(new, &path)?;
        disk::sync_folder(&self.folder)?;
        self.open = Some(Open::new(&path, EnvFlags::NO_SUB_DIR)?);
        Ok(())
    }

    fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
        disk::copy_file(&self.copy(point), &folder.join("l.mdb"))?;
        disk::sync_folder(folder)
    }

    fn verify(&mut self, _point: Point) -> Result<()> {
        cannot("its pages have no checksums")
    }

    fn forget(&mut self, point: Point) -> Result<()> {
        std::fs::remove_file(self.copy(point))?;
        disk::sync_folder(&self.folder)
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.open.take().into_iter().for_each(Open::close);
        Ok(File::open(self.folder.join("l.mdb"))?.sync_all()?)
    }
}

fn put(open: &Open, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
    let mut transaction = open.env.write_txn()?;
    for row in rows {
        open.table.put(&mut transaction, &row.key, &row.value)?;
    }
    Ok(transaction.commit()?)
}

impl Writer for &Open {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for row in rows {
            self.table.put(&mut transaction, &row.key, &row.value)?;
        }
        Ok(transaction.commit()?)
    }
}

struct Reading {
    open: Open,
    is_copy: bool,
}

impl Reader for Reading {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let transaction = self.open.env.read_txn()?;
        Ok(self.open.table.get(&transaction, key)?.map(str::to_owned))
    }

    fn scan(&self) -> Result<Sum> {
        let transaction = self.open.env.read_txn()?;
        let mut sum = Sum::default();
        for row in self.open.table.iter(&transaction)? {
            let (key, value) = row?;
            sum.add(key.as_bytes(), value.as_bytes());
        }
        Ok(sum)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.is_copy {
            self.open.env.clone().prepare_for_closing();
        }
    }
}
