//! The operations of an engine, and the list of engines.

use std::fmt;
use std::path::Path;

use ::hivekeep::Sharing;
use anyhow::Result;

use crate::data::{Row, Sum};
use crate::engines::{fjall, hivekeep, json_files, lmdb, redb, rocksdb, sqlite};

/// An open store, alone in a folder.
///
/// Every write is on the disk when the call returns. An operation that an engine does not
/// support is the error [`Cannot`].
pub trait Engine: Sync {
    /// Writes many records into an empty store.
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()>;

    /// Something to write with, for the thread that asks.
    fn writer(&self) -> Result<Box<dyn Writer + '_>>;

    /// Something to read the present with.
    fn now(&self) -> Result<Box<dyn Reader + '_>>;

    /// Changes records on the way to something else that is measured.
    fn change(&mut self, rows: &[Row]) -> Result<()> {
        self.writer()?.commit(rows)
    }

    /// Makes a restore point that outlives the process.
    fn point(&mut self) -> Result<Point>;

    /// Something to read a point with, while others write.
    fn at(&self, _point: Point) -> Result<Box<dyn Reader + '_>> {
        cannot("a point can be read only by restoring it")
    }

    /// Brings a point's state back.
    fn restore(&mut self, point: Point) -> Result<()>;

    /// Makes a new store of a point in an empty folder, to be opened from there.
    fn restore_new(&mut self, _point: Point, _folder: &Path) -> Result<()> {
        cannot("a point can be had only by restoring it in place")
    }

    /// Verifies a point, with whatever belongs to it, against damage.
    fn verify(&mut self, point: Point) -> Result<()>;

    /// Frees what only that point needs.
    fn forget(&mut self, point: Point) -> Result<()>;

    /// Bytes of pages in use, for engines whose file has free pages that will be used again.
    fn pages(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Closes in good order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// A thread's way to write.
pub trait Writer {
    /// Writes rows in one transaction, and returns once they are on the disk.
    fn commit(&mut self, rows: &[Row]) -> Result<()>;
}

/// Reads one state.
pub trait Reader {
    fn get(&self, key: &str) -> Result<Option<String>>;

    fn scan(&self) -> Result<Sum>;
}

/// An engine's own number of a point.
pub type Point = u64;

/// An operation that an engine does not support, and why.
#[derive(Debug)]
pub struct Cannot(pub &'static str);

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Cannot {}

pub fn cannot<T>(why: &'static str) -> Result<T> {
    Err(Cannot(why).into())
}

/// An engine, before it is opened.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// Opens the store in a folder, or makes one.
    pub open: fn(&Path) -> Result<Box<dyn Engine>>,
    /// A point copies everything.
    pub copies: bool,
    /// How it is used.
    pub how: &'static str,
}

/// Hivekeep's own name; it is always among the engines, since the ratios are to it.
pub const HIVEKEEP: &str = "hivekeep";

/// Every engine, Hivekeep first.
pub const KINDS: [Kind; 13] = [
    Kind {
        name: HIVEKEEP,
        open: |folder| hivekeep::open(folder, Sharing::Shared),
        copies: false,
        how: "default options (cache of 64 MiB): several processes may share it, commits in two phases with quick repair",
    },
    Kind {
        name: "hivekeep_alone",
        open: |folder| hivekeep::open(folder, Sharing::Exclusive),
        copies: false,
        how: "opened for one process alone (Sharing::Exclusive): commits go into a write-ahead log, one sync each",
    },
    Kind {
        name: "hivekeep_shared_log",
        open: |folder| hivekeep::open(folder, Sharing::SharedLog),
        copies: false,
        how: "several processes may share it and its write-ahead log (Sharing::SharedLog): one sync for each commit",
    },
    Kind {
        name: "sqlite_backup",
        open: |folder| sqlite::open(folder, sqlite::Copying::BackupApi),
        copies: true,
        how: "WAL, synchronous=FULL, cache of 64 MiB, threads of a process take turns; points by the backup API",
    },
    Kind {
        name: "sqlite_vacuum_into",
        open: |folder| sqlite::open(folder, sqlite::Copying::VacuumInto),
        copies: true,
        how: "the same; points by VACUUM INTO",
    },
    Kind {
        name: "lmdb_copy",
        open: lmdb::open,
        copies: true,
        how: "through heed; points are copies of the environment",
    },
    Kind { name: "fjall", open: fjall::open, copies: false, how: "a batch made durable by SyncData" },
    Kind {
        name: "redb",
        open: |folder| redb::open(folder, redb::Points::None),
        copies: false,
        how: "default options but for a cache of 64 MiB: one process, commits in one phase",
    },
    Kind {
        name: "redb_savepoint",
        open: |folder| redb::open(folder, redb::Points::Savepoint),
        copies: false,
        how: "two phases with quick repair, as Hivekeep commits; points are persistent savepoints",
    },
    Kind {
        name: "redb_copy_table",
        open: |folder| redb::open(folder, redb::Points::CopyTable),
        copies: true,
        how: "two phases with quick repair; a point is a copy of the table in the same file",
    },
    Kind {
        name: "rocksdb_checkpoint",
        open: |folder| rocksdb::open(folder, rocksdb::Points::Checkpoint),
        copies: false,
        how: "WriteBatch with sync; points are checkpoints",
    },
    Kind {
        name: "rocksdb_backup",
        open: |folder| rocksdb::open(folder, rocksdb::Points::Backup),
        copies: false,
        how: "WriteBatch with sync; points by BackupEngine, each flushed and synced",
    },
    Kind {
        name: "json_files",
        open: json_files::open,
        copies: true,
        how: "state in memory; a point is serialized, hashed by SHA-256, written, and put into an index file",
    },
];

/// The engine of that name.
pub fn kind(name: &str) -> Result<&'static Kind> {
    let found = KINDS.iter().find(|kind| kind.name == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no such engine: engine={name}"))
}
