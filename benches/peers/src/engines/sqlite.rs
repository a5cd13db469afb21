//! SQLite, as its documentation recommends for durable writes beside readers: WAL, synchronous=FULL, one connection for
//! each thread, prepared statements kept, connections used again. A point is a copy by the
//! backup API or by `VACUUM INTO`.
//!
//! Its busy handler sleeps for ever longer when several connections want to write, so that the threads of one process
//! take turns by a mutex.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::data::{Row, Sum};
use crate::disk;
use crate::engine::{Engine, Point, Reader, Writer};

/// As many pages as the whole file, so that no other writer comes between: a copy of less is begun again by every
/// write.
const ALL_PAGES: i32 = i32::MAX;
/// As Hivekeep's and redb's; negative for kilobytes.
const CACHE_KILOBYTES: i32 = -65_536;
const PUT: &str = "insert into state values(?1, ?2) on conflict(key) do update set value = excluded.value";

#[derive(Clone, Copy)]
pub enum Copying {
    BackupApi,
    VacuumInto,
}

struct Sqlite {
    folder: PathBuf,
    copying: Copying,
    connection: Mutex<Connection>,
    /// Connections that nobody uses now, with what they have cached.
    idle: Mutex<Vec<Connection>>,
    /// Held by the thread that writes.
    writing: Mutex<()>,
    points: u64,
}

/// A connection that goes back once it is not used.
struct Pooled<'a> {
    sqlite: &'a Sqlite,
    connection: Option<Connection>,
}

pub fn open(folder: &Path, copying: Copying) -> Result<Box<dyn Engine>> {
    let path = folder.join("s.db");
    let is_new = !path.exists();
    let connection = connect(&path)?;
    if is_new {
        connection.execute_batch("create table state(key text primary key, value text)")?;
    }
    Ok(Box::new(Sqlite {
        folder: folder.to_owned(),
        copying,
        connection: Mutex::new(connection),
        idle: Mutex::default(),
        writing: Mutex::default(),
        points: 0,
    }))
}

/// A connection in the mode that all of them use.
pub fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_KILOBYTES)?;
    // Where a sync does not reach the disk without them; elsewhere they change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    Ok(connection)
}

pub fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| anyhow!("a thread panicked"))
}

impl Sqlite {
    fn copy(&self, point: Point) -> PathBuf {
        self.folder.join(format!("point-{point}.db"))
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.get_mut().map_err(|_| anyhow!("a thread panicked"))
    }

    fn pooled(&self) -> Result<Pooled<'_>> {
        let idle = lock(&self.idle)?.pop();
        let connection = Some(idle.map_or_else(|| connect(&self.folder.join("s.db")), Ok)?);
        Ok(Pooled { sqlite: self, connection })
    }
}

impl Engine for Sqlite {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        let transaction = self.connection()?.transaction()?;
        let mut put = transaction.prepare(PUT)?;
        for row in rows {
            put.execute((&row.key, &row.value))?;
        }
        drop(put);
        Ok(transaction.commit()?)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(self.pooled()?))
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.pooled()?))
    }

    fn point(&mut self) -> Result<Point> {
        let (point, copying) = (self.points, self.copying);
        let path = self.copy(point);
        let connection = self.connection()?;
        match copying {
            Copying::BackupApi => copy(connection, &mut Connection::open(&path)?)?,
            Copying::VacuumInto => drop(connection.execute("vacuum into ?1", [path.to_string_lossy()])?),
        }
        // `VACUUM INTO` does not sync its file.
        File::open(&path)?.sync_all()?;
        disk::sync_folder(&self.folder)?;
        self.points += 1;
        Ok(point)
    }

    fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(Connection::open_with_flags(self.copy(point), OpenFlags::SQLITE_OPEN_READ_ONLY)?))
    }

    fn restore(&mut self, point: Point) -> Result<()> {
        let from = Connection::open_with_flags(self.copy(point), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        copy(&from, self.connection()?)
    }

    fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
        disk::copy_file(&self.copy(point), &folder.join("s.db"))?;
        disk::sync_folder(folder)
    }

    fn verify(&mut self, point: Point) -> Result<()> {
        let copy = Connection::open_with_flags(self.copy(point), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let answer: String = copy.query_row("pragma integrity_check", (), |row| row.get(0))?;
        ensure!(answer == "ok", "the integrity check says: {answer}");
        Ok(())
    }

    fn forget(&mut self, point: Point) -> Result<()> {
        std::fs::remove_file(self.copy(point))?;
        disk::sync_folder(&self.folder)
    }

    fn close(self: Box<Self>) -> Result<()> {
        lock(&self.idle)?.clear();
        let connection = self.connection.into_inner().map_err(|_| anyhow!("a thread panicked"))?;
        connection.close().map_err(|(_, error)| error.into())
    }
}

fn copy(from: &Connection, to: &mut Connection) -> Result<()> {
    Ok(Backup::new(from, to)?.run_to_completion(ALL_PAGES, Duration::ZERO, None)?)
}

impl Pooled<'_> {
    fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().context("the connection was given back")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        if let (Ok(mut idle), Some(connection)) = (self.sqlite.idle.lock(), self.connection.take()) {
            idle.push(connection);
        }
    }
}

impl Writer for Pooled<'_> {
    fn commit(&mut self, rows: &[Row]) -> Result<()> {
        let _turn = lock(&self.sqlite.writing)?;
        let connection = self.connection.as_mut().context("the connection was given back")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut put = transaction.prepare_cached(PUT)?;
        for row in rows {
            put.execute((&row.key, &row.value))?;
        }
        drop(put);
        Ok(transaction.commit()?)
    }
}

impl Reader for Pooled<'_> {
    fn get(&self, key: &str) -> Result<Option<String>> {
        self.connection()?.get(key)
    }

    fn scan(&self) -> Result<Sum> {
        self.connection()?.scan()
    }
}

impl Reader for Connection {
    fn get(&self, key: &str) -> Result<Option<String>> {
        let mut get = self.prepare_cached("select value from state where key = ?1")?;
        Ok(get.query_row([key], |row| row.get(0)).optional()?)
    }

    fn scan(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        let mut all = self.prepare_cached("select key, value from state")?;
        let mut rows = all.query(())?;
        while let Some(row) = rows.next()? {
            sum.add(row.get_ref(0)?.as_bytes()?, row.get_ref(1)?.as_bytes()?);
        }
        Ok(sum)
    }
}
