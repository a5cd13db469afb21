//! `import`: makes a store from an archive, or takes an archive into a store.

use std::path::PathBuf;

use clap::Args;

use crate::face::cli::context::{Context, user};
#[cfg(feature = "age")]
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::progress::Progress;
use crate::face::cli::verbs::restore::{hint_finished, show_counts, tell_finished};
use crate::text::{OneLine, counted};
use crate::{Counts, ImportOptions, ImportReport, Result, Store};

/// Import an archive: as a new store, or into the existing one, which can be undone
///
/// Every checksum, count, digest and record is verified first. An archive that is damaged, truncated or of another
/// program is refused, and changes nothing. If the store does not exist, it is created, and gets its name only when it
/// is complete. An import into an existing store works like a restore: in one transaction, with a safety point, and
/// without changing the audit trail.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep --store new.redb import hive.tar.gz
  hivekeep import hive.tar.gz --dry-run
  hivekeep import hive.tar.gz --only queue")]
pub(in crate::face::cli) struct Import {
    /// The archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Import only these collections, separated by commas; queue and assignments go together
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Verify the archive and show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not run tasks again that are finished in the store but not in the archive
    #[arg(long)]
    keep_finished: bool,
    /// Import the remaining part of a point that a repair could not recover completely
    #[arg(long)]
    partial: bool,
    /// Refuse an archive that contains a longer value
    #[arg(long, value_name = "BYTES")]
    max_value_bytes: Option<u64>,
    /// Refuse an archive that unpacks to more bytes
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    #[cfg(feature = "age")]
    #[command(flatten)]
    keys: KeyArgs,
}

/// The keys of an encrypted archive.
#[cfg(feature = "age")]
#[derive(Debug, Args)]
struct KeyArgs {
    /// Decrypt it with the keys in this file, AGE-SECRET-KEY-1..., one a line
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Decrypt it with the passphrase in this file, or on standard input for -
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Import {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = self.options()?;
        let is_there = context.path.symlink_metadata().is_ok();
        if self.dry_run {
            return if is_there { self.plan(context, &options) } else { self.verify(context, &options) };
        }
        let bar = Progress::new(&context.out, "records");
        let show = |done, of| bar.show(done, of);
        let report = if is_there {
            context.change(|store| store.import_with(&self.file, &options, show))?
        } else {
            Store::import_new_with(&self.file, &context.path, &options.acting_as(user()), show)?
        };
        drop(bar);
        if context.out.is_json() {
            context.out.json(&report)?
        } else {
            show_counts(&mut context.out, &report.collections)?
        }
        tell(context, &report);
        Ok(Exit::Done)
    }

    fn options(&self) -> Result<ImportOptions> {
        let options =
            ImportOptions::new().only(self.only.clone()).keep_finished(self.keep_finished).partial(self.partial);
        let options = self.max_value_bytes.into_iter().fold(options, ImportOptions::max_value_bytes);
        let options = self.max_bytes.into_iter().fold(options, ImportOptions::max_bytes);
        #[cfg(feature = "age")]
        let options = self.keys.apply(options)?;
        Ok(options)
    }

    /// Shows the plan for an existing store.
    fn plan(&self, context: &mut Context, options: &ImportOptions) -> Result<Exit> {
        let store = context.look()?;
        let bar = Progress::new(&context.out, "records");
        let plan = store.plan_import_with(&self.file, options, |done, of| bar.show(done, of))?;
        drop(bar);
        if context.out.is_json() {
            context.out.json(&plan)?
        } else {
            context.out.text(&plan)?;
            hint_finished(&mut context.out, plan.tasks_run_again + plan.tasks_forgotten, plan.keep_finished);
        }
        Ok(Exit::Done)
    }

    /// Shows the plan for a new store.
    fn verify(&self, context: &mut Context, options: &ImportOptions) -> Result<Exit> {
        let bar = Progress::new(&context.out, "records");
        let manifest = Store::verify_archive_with(&self.file, options, |done, of| bar.show(done, of))?;
        drop(bar);
        if context.out.is_json() {
            context.out.json(&manifest)?;
        } else {
            let added = |count| Counts { added: count, ..Counts::default() };
            let there = manifest.collections.iter().map(|there| (there.name.clone(), added(there.count)));
            show_counts(&mut context.out, &there.collect())?;
        }
        let (file, store) = (self.file.display(), context.path.display());
        context.out.message(format_args!("{file} is sound; {store} would be new"));
        Ok(Exit::Done)
    }
}

#[cfg(feature = "age")]
impl KeyArgs {
    fn apply(&self, options: ImportOptions) -> Result<ImportOptions> {
        let options = match &self.identity {
            Some(file) => options.identities(&input::text_file(file)?)?,
            None => options,
        };
        match &self.passphrase_file {
            Some(file) => options.passphrase(&input::text_file(file)?),
            None => Ok(options),
        }
    }
}

fn tell(context: &mut Context, report: &ImportReport) {
    if report.claims_returned > 0 {
        let claims = counted(report.claims_returned, "claim");
        context.out.message(format_args!("{claims} returned to ready; their tokens are void"));
    }
    tell_finished(&mut context.out, report.tasks_run_again, report.tasks_forgotten, report.keep_finished);
    let records = counted(report.collections.values().map(Counts::total).sum(), "record");
    if !report.keys.is_empty() {
        let keys = OneLine(report.keys.join(", "));
        context.out.message(format_args!(
            "an archive has no keys; those of its store are revoked here, and must be added again: {keys}"
        ));
    }
    if report.created {
        let (point, store) = (&report.point, context.path.display());
        context.out.message(format_args!("imported {records} of {point} into the new {store}"));
    } else if report.undo.is_some() {
        context.out.message(format_args!("imported {records}; undo with: hivekeep undo"));
    } else {
        context.out.message("nothing differed, so nothing was imported");
    }
}
