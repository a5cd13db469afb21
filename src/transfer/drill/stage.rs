//! The parts that every rehearsal uses: the copy, the program for the bots, and the caller.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::duration;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::points::names::names;
use crate::state::page::Page;
use crate::transfer::archives::{self, Export};
use crate::transfer::drill::bots::Bots;
use crate::transfer::drill::options::{DrillOptions, DrillWatch};
use crate::transfer::drill::scratch::Scratch;

/// The parts that every rehearsal uses.
pub(super) struct Stage<'a> {
    pub(super) scratch: Scratch,
    /// The newest archive of the whole store.
    pub(super) archive: Option<PathBuf>,
    pub(super) options: &'a DrillOptions,
    pub(super) watch: &'a dyn DrillWatch,
    records: u64,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        real: &Path,
        scratch: Scratch,
        options: &'a DrillOptions,
        watch: &'a dyn DrillWatch,
    ) -> Result<Self> {
        let mut own = Self { scratch, archive: None, options, watch, records: 0 };
        let store = own.open()?;
        own.records = count(&store)?;
        let folder =
            options.archives.clone().map_or_else(|| archives::folder_of(&store, &std::path::absolute(real)?), Ok)?;
        own.archive = archives::newest(&folder, &Export::all(&store.view()?)?).map(|(file, _)| file);
        store.close()?;
        Ok(own)
    }

    /// The number of records in the copy at the start.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The path of the copy.
    pub(super) fn path(&self) -> PathBuf {
        self.scratch.store()
    }

    /// Opens the copy in this process, without judging the sessions of others.
    pub(super) fn open(&self) -> Result<Store> {
        open(&self.path())
    }

    /// Opens the copy beside bots that write to it.
    pub(super) fn look(&self) -> Result<Store> {
        Store::options().create(false).session(false).read_only(true).open(self.path())
    }

    /// Starts a process of bots on the copy.
    pub(super) fn bots(&self, name: &str, threads: usize) -> Result<Bots> {
        self.bots_on(&self.path(), name, threads)
    }

    /// Starts a process of bots on another store in the scratch folder.
    pub(super) fn bots_on(&self, store: &Path, name: &str, threads: usize) -> Result<Bots> {
        Bots::start(&self.options.program, store, name, threads)
    }
}

/// Opens a store in the scratch folder.
pub(super) fn open(path: &Path) -> Result<Store> {
    Store::options().create(false).session(false).reserve(false).open(path)
}

/// The age of the newest restore point, or else of the store. Changes since that time could not be restored.
pub(super) fn last_safe(store: &Store) -> Result<Duration> {
    let now = store.clock().now();
    if let Some(point) = store.points()?.first() {
        return Ok(duration::since(point.timestamp, now));
    }
    let first = store.view()?.events().list(Page::oldest(1))?;
    Ok(first.first().map_or(Duration::ZERO, |event| duration::since(event.at, now)))
}

fn count(store: &Store) -> Result<u64> {
    let view = store.view()?;
    let names = names(&view)?;
    let ids = names.all().filter(|name| !name.starts_with('#')).filter_map(|name| names.id(name));
    ids.map(|id| Ok(view.stats(id)?.count)).sum()
}
