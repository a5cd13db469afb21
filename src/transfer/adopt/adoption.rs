//! The adoption of all files of a folder.

use std::path::Path;

use super::find::find;
use super::options::AdoptOptions;
use super::report::{AdoptReport, AdoptSkipped};
use super::source::AdoptSource;
use super::work::FileWork;
use super::{backlog, backups, lines, registry, times};
use crate::engine::store::Store;
use crate::error::Result;

impl Store {
    /// Adopts files of the replaced service, and the known files in folders. A second adoption changes nothing.
    ///
    /// Bots, tasks, backups and restore points keep their names. An existing bot or task stays, but a bot gets its
    /// missing fields. Each restore point becomes one sealed point with the same id, and each backup outside of them a
    /// point of its own, in order of time. Retention counts them from now.
    ///
    /// A damaged, missing or unknown part is reported. Its text is kept in an event, unless it is longer than 256 KiB.
    /// Each file is adopted in a few large transactions, so that a failure does not affect the others.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is nothing at one of the paths; then nothing was adopted. `Locked`, `Full`, `Io` and all
    /// errors after which the store cannot be written to; then earlier parts stay adopted, and a second adoption takes
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
        let names: Vec<_> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        let store = self.doing("adopt", Some(names.join(", ")));
        let time_zone = times::name(&options.time_zone);
        let mut report =
            AdoptReport { time_zone, skipped: found.skipped, problems: found.problems, ..AdoptReport::default() };
        for (source, path) in found.files {
            let mut work = FileWork::new(&store, options, &path, source);
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

fn adopt_file(work: &mut FileWork<'_>) -> Result<()> {
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
