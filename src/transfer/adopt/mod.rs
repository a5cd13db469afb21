//! Taking over what the replaced service left: its registry, backlog, chat, logs, backups and restore points.
//!
//! * [`find`] knows the files by their names; [`input`] reads them, within limits
//! * [`work`] is one file's transactions; [`marks`] say what was taken before, [`report`] what was taken now
//! * [`rehearse`] finds out what would be taken
//! * [`registry`], [`backlog`], [`lines`] and [`backups`] read what is in them; [`members`] and [`times`] help with that
//!
//! A part that cannot be taken is reported by name, its text is kept where possible, and the rest is taken all the same.

mod backlog;
mod backups;
mod find;
mod input;
mod lines;
mod marks;
mod members;
mod registry;
mod rehearse;
pub(crate) mod report;
mod times;
mod work;

use std::path::Path;

use jiff::tz::TimeZone;

use self::find::find;
use self::report::{AdoptReport, AdoptSkipped};
use self::work::Work;
use crate::engine::store::Store;
use crate::error::Result;

pub use self::find::AdoptSource;

/// Larger files are refused unless the caller says otherwise.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// How files are taken over.
///
/// # Examples
///
/// ```
/// use hivekeep::AdoptOptions;
///
/// let options = AdoptOptions { again: true, ..AdoptOptions::default() };
/// assert_eq!(options.max_file_bytes, 1 << 30);
/// ```
#[derive(Clone, Debug)]
pub struct AdoptOptions {
    /// Where times were written that do not say how far from UTC they are; the system's time zone unless set.
    pub time_zone: TimeZone,
    /// Files larger than this are refused by name; 1 GiB unless set.
    pub max_file_bytes: u64,
    /// Whether what was adopted before and has been removed, purged or restored away since is taken again. It is not,
    /// unless this says so: a finished task that was purged would be done again.
    pub again: bool,
}

impl Default for AdoptOptions {
    fn default() -> Self {
        Self { time_zone: TimeZone::system(), max_file_bytes: MAX_FILE_BYTES, again: false }
    }
}

impl Store {
    /// Takes over files of the replaced service, and the known files in folders. Doing it again changes nothing.
    ///
    /// Bots, tasks, backups and restore points keep their names. A bot or task that is in the store already stays
    /// as it is, but a bot gets the fields that it lacks. Each restore point becomes one sealed point under its own
    /// id, each backup in none of them a point of its own, in order of time; retention counts them from now.
    ///
    /// A part that is damaged, missing or not understood is reported, and its text is kept in an event where it is not
    /// longer than 256 KiB. Each file is taken over in a few large transactions, so that one that fails loses nothing
    /// of the others.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is nothing at one of the paths; then nothing was taken. `Locked`, `Full`, `Io` and the
    /// others after which the store cannot be written to; then what was taken before stays, and doing it again takes
    /// the rest.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{AdoptOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let left = dir.path().join("hive");
    /// # std::fs::create_dir(&left).unwrap();
    /// # std::fs::write(left.join("registry.json"), r#"{"bots": {"BOT-1": {"port": 8001}}}"#).unwrap();
    /// let store = Store::open(dir.path().join("hive.redb"))?;
    /// let report = store.adopt(&[&left], &AdoptOptions::default())?;
    /// assert!(!report.in_part());
    /// assert_eq!(store.view()?.registry().get(&"BOT-1".parse()?)?.unwrap().port, Some(8001));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn adopt<P: AsRef<Path>>(&self, paths: &[P], options: &AdoptOptions) -> Result<AdoptReport> {
        let found = find(paths)?;
        let time_zone = times::name(&options.time_zone);
        let mut report =
            AdoptReport { time_zone, skipped: found.skipped, problems: found.problems, ..AdoptReport::default() };
        for (source, path) in found.files {
            let mut work = Work::new(self, options, &path, source);
            adopt_file(&mut work)?;
            report.skipped.append(&mut work.skipped);
            match work.foreign {
                Some(why) => report.skipped.push(AdoptSkipped { path: path.clone(), why: why.to_owned() }),
                None => report.files.push(work.file),
            }
        }
        report.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(report)
    }
}

fn adopt_file(work: &mut Work<'_>) -> Result<()> {
    match work.file.source {
        AdoptSource::Registry => registry::adopt_registry(work),
        AdoptSource::Bots => registry::adopt_bots(work),
        AdoptSource::Backlog => backlog::adopt(work),
        AdoptSource::Chat => lines::adopt::<lines::chat::Chat>(work),
        AdoptSource::Activity => lines::adopt::<lines::audit::Activity>(work),
        AdoptSource::RegistryChanges => lines::adopt::<lines::audit::RegistryChanges>(work),
        AdoptSource::Events => lines::adopt::<lines::events::Events>(work),
        AdoptSource::Backups => backups::adopt(work),
    }
}
