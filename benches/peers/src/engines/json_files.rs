//! The method that Hivekeep replaces: the state is in memory, and a backup is the whole of it as JSON in a file of its
//! own, with its SHA-256 in an index file that is written again each time. Here each file is synced too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::{Row, Sum};
use crate::disk;
use crate::engine::{Engine, Point, Reader, Writer, cannot};

type State = BTreeMap<String, String>;

struct JsonFiles {
    folder: PathBuf,
    state: State,
    index: Index,
}

/// The metadata of every backup.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    next: Point,
    backups: BTreeMap<Point, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    checksum: String,
    size_bytes: usize,
    item_count: usize,
}

/// Without a backup there is nothing.
pub fn open(folder: &Path) -> Result<Box<dyn Engine>> {
    let mut engine = JsonFiles { folder: folder.to_owned(), state: State::new(), index: Index::default() };
    if let Ok(bytes) = fs::read(engine.index_path()) {
        engine.index = serde_json::from_slice(&bytes)?;
        if let Some(last) = engine.index.backups.keys().next_back() {
            engine.state = engine.read(*last)?;
        }
    }
    Ok(Box::new(engine))
}

impl JsonFiles {
    fn index_path(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    fn backup_path(&self, point: Point) -> PathBuf {
        self.folder.join(format!("backup-{point}.json"))
    }

    fn read_verified(&self, point: Point) -> Result<Vec<u8>> {
        let entry = self.index.backups.get(&point).context("no such backup")?;
        let bytes = fs::read(self.backup_path(point))?;
        ensure!(checksum(&bytes) == entry.checksum, "the checksum of a backup does not match");
        Ok(bytes)
    }

    fn read(&self, point: Point) -> Result<State> {
        Ok(serde_json::from_slice(&self.read_verified(point)?)?)
    }

    fn write_index(&self) -> Result<()> {
        write(&self.index_path(), &serde_json::to_vec_pretty(&self.index)?)
    }
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

impl Engine for JsonFiles {
    fn load(&mut self, rows: &mut dyn Iterator<Item = Row>) -> Result<()> {
        self.state = rows.map(|row| (row.key, row.value)).collect();
        self.point().map(drop)
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        cannot("it keeps nothing of what happens between two backups")
    }

    fn now(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.state.clone()))
    }

    fn change(&mut self, rows: &[Row]) -> Result<()> {
        self.state.extend(rows.iter().map(|row| (row.key.clone(), row.value.clone())));
        Ok(())
    }

    fn point(&mut self) -> Result<Point> {
        let bytes = serde_json::to_vec_pretty(&self.state)?;
        let entry = Entry { checksum: checksum(&bytes), size_bytes: bytes.len(), item_count: self.state.len() };
        let point = self.index.next;
        write(&self.backup_path(point), &bytes)?;
        self.index.next += 1;
        self.index.backups.insert(point, entry);
        self.write_index()?;
        disk::sync_folder(&self.folder)?;
        Ok(point)
    }

    fn at(&self, point: Point) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.read(point)?))
    }

    fn restore(&mut self, point: Point) -> Result<()> {
        self.state = self.read(point)?;
        Ok(())
    }

    fn restore_new(&mut self, point: Point, folder: &Path) -> Result<()> {
        let mut new = JsonFiles { folder: folder.to_owned(), state: self.read(point)?, index: Index::default() };
        new.point().map(drop)
    }

    fn verify(&mut self, point: Point) -> Result<()> {
        self.read_verified(point).map(drop)
    }

    fn forget(&mut self, point: Point) -> Result<()> {
        fs::remove_file(self.backup_path(point))?;
        self.index.backups.remove(&point);
        self.write_index()?;
        disk::sync_folder(&self.folder)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Reader for State {
    fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        self.iter().for_each(|(key, value)| sum.add(key.as_bytes(), value.as_bytes()));
        Ok(sum)
    }
}
