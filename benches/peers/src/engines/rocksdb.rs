//! RocksDB, when it is built in: its checkpoints, and its BackupEngine.

#[cfg(not(feature = "rocksdb"))]
pub use absent::{Points, open};
#[cfg(feature = "rocksdb")]
pub use present::{Points, open};

#[cfg(not(feature = "rocksdb"))]
mod absent {
    use std::path::Path;

    use anyhow::Result;

    use crate::engine::{Engine, cannot};

    pub enum Points {
        Checkpoint,
        Backup,
    }

    pub fn open(_folder: &Path, _points: Points) -> Result<Box<dyn Engine>> {
        cannot(
            "not built: cargo run --release --features rocksdb --manifest-path benches/peers/Cargo.toml; it needs libclang",
        )
    }
}

#[cfg(feature = "rocksdb")]
mod present {
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use ::rocksdb::backup::{BackupEngine, BackupEngineOptions, RestoreOptions};
    use ::rocksdb::checkpoint::Checkpoint;
    use ::rocksdb::{DB, Env, IteratorMode, Options, WriteBatch, WriteOptions};
    use anyhow::{Context, Result, anyhow};

    use crate::data::{Row, Sum};
    use crate::disk;
    use crate::engine::{Engine, Point, Reader, Writer, cannot};

    #[derive(Clone, Copy)]
    pub enum Points {
        Checkpoint,
        Backup,
    }

    /// None only while a restore changes the files.
    struct RocksDb {
        folder: PathBuf,
        points: Points,
        database: Option<DB>,
        /// Opened with the first backup.
        backups: Mutex<Option<BackupEngine>>,
        made: u64,
    }

    pub fn open(folder: &Path, points: Points) -> Result<Box<dyn Engine>> {
        let database = Some(open_database(&folder.join("rocks"))?);
        Ok(Box::new(RocksDb { folder: folder.to_owned(), points, database, backups: Mutex::default(), made: 0 }))
    }

    fn open_database(folder: &Path) -> Result<DB> {
        let mut options = Options::default();
        options.create_if_missing(true);
        Ok(DB::open(&options, folder)?)
    }

    fn synced() -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        options
    }

    impl RocksDb {
        fn database(&self) -> Result<&DB> {
            self.database.as_ref().context("a restore has failed before")
        }

        fn live(&self) -> PathBuf {
            self.folder.join("rocks")
        }

        fn checkpoint(&self, point: Point) -> PathBuf {
            self.folder.join(format!("point-{point}"))
        }

        fn backups(&mut self) -> Result<&mut BackupEngine> {
            let backups = self.backups.get_mut().map_err(|_| anyhow!("a thread panicked"))?;
            if backups.is_none() {
                let mut options = BackupEngineOptions::new(self.folder.join("backups"))?;
                options.set_sync(true);
                *backups = Some(BackupEngine::open(&options, &Env::new()?)?);
            }
            backups.as_mut().context("there is no backup engine")
        }

        fn restore_into(&mut self, point: Point, folder: &Path) -> Result<()> {
            match self.points {
                Points::Checkpoint => disk::copy_folder(&self.checkpoint(point), folder),
                Points::Backup => {
                    let id = u32::try_from(point)?;
                    self.backups()?.restore_from_backup(folder, folder, &RestoreOptions::default(), id)?;
                    disk::sync_files(folder)
                }
            }
        }
    }

    impl Engine for RocksDb {
        fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
            let database = self.database()?;
            for row in rows {
                database.put(row.key, row.value)?;
            }
            Ok(database.flush_wal(true)?)
        }

        fn writer(&self) -> Result<Box<dyn Writer + '_>> {
            Ok(Box::new(self.database()?))
        }

        fn now(&self) -> Result<Box<dyn Reader + '_>> {
            Ok(Box::new(self.database()?))
        }

        fn point(&mut self) -> Result<Point> {
            match self.points {
                Points::Checkpoint => {
                    Checkpoint::new(self.database()?)?.create_checkpoint(self.checkpoint(self.made))?;
                    disk::sync_folder(&self.folder)?;
                    self.made += 1;
                    Ok(self.made - 1)
                }
                Points::Backup => {
                    let database = self.database.take().context("a restore has failed before")?;
                    let backups = self.backups()?;
                    backups.create_new_backup_flush(&database, true)?;
                    let last = backups.get_backup_info().into_iter().map(|info| info.backup_id).max();
                    self.database = Some(database);
                    Ok(u64::from(last.context("the backup is not listed")?))
                }
            }
        }

        fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
            match self.points {
                Points::Checkpoint => {
                    Ok(Box::new(DB::open_for_read_only(&Options::default(), self.checkpoint(point), false)?))
                }
                Points::Backup => cannot("a backup can be read only by restoring it"),
            }
        }

        fn restore(&mut self, point: Point) -> Result<()> {
            drop(self.database.take());
            let new = self.folder.join("new");
            self.restore_into(point, &new)?;
            std::fs::remove_dir_all(self.live())?;
            std::fs::rename(new, self.live())?;
            disk::sync_folder(&self.folder)?;
            self.database = Some(open_database(&self.live())?);
            Ok(())
        }

        fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
            self.restore_into(point, &folder.join("rocks"))?;
            disk::sync_folder(folder)
        }

        fn verify(&mut self, point: Point) -> Result<()> {
            match self.points {
                // Every block that is read is compared with its checksum.
                Points::Checkpoint => self.at(point)?.scan().map(drop),
                Points::Backup => cannot("its binding compares only the sizes of the files"),
            }
        }

        fn forget(&mut self, point: Point) -> Result<()> {
            match self.points {
                Points::Checkpoint => std::fs::remove_dir_all(self.checkpoint(point))?,
                // It can forget only the oldest.
                Points::Backup => {
                    let backups = self.backups()?;
                    let keep =
                        backups.get_backup_info().iter().filter(|info| u64::from(info.backup_id) > point).count();
                    backups.purge_old_backups(keep)?;
                }
            }
            disk::sync_folder(&self.folder)
        }

        fn close(mut self: Box<Self>) -> Result<()> {
            drop(self.database.take());
            Ok(())
        }
    }

    impl Writer for &DB {
        fn commit(&mut self, rows: &[Row]) -> Result<()> {
            let mut batch = WriteBatch::default();
            for row in rows {
                batch.put(&row.key, &row.value);
            }
            Ok(self.write_opt(batch, &synced())?)
        }
    }

    impl Reader for &DB {
        fn get(&self, key: &str) -> Result<Option<String>> {
            get(self, key)
        }

        fn scan(&self) -> Result<Sum> {
            scan(self)
        }
    }

    impl Reader for DB {
        fn get(&self, key: &str) -> Result<Option<String>> {
            get(self, key)
        }

        fn scan(&self) -> Result<Sum> {
            scan(self)
        }
    }

    fn get(database: &DB, key: &str) -> Result<Option<String>> {
        Ok(database.get(key)?.map(String::from_utf8).transpose()?)
    }

    fn scan(database: &DB) -> Result<Sum> {
        let mut sum = Sum::default();
        for row in database.iterator(IteratorMode::Start) {
            let (key, value) = row?;
            sum.add(&key, &value);
        }
        Ok(sum)
    }
}
