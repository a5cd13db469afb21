//! `export`: writes a point to one file that outlives the store.

use std::path::PathBuf;

use clap::Args;

use crate::face::cli::context::Context;
#[cfg(feature = "age")]
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::progress::Progress;
use crate::text::{counted, show_bytes};
use crate::{ExportOptions, Result, Selector};

/// Make an archive: one file with everything, which outlives the store and which tar can open
///
/// FILE must be named NAME.tar.gz or NAME.tar.zst. The archive contains a manifest, every collection as readable JSON
/// and as exact records, the audit trail, and SHA256SUMS for sha256sum -c. To export the current state, a restore point
/// is made first, unless the newest one has exactly this state; the same point gives the same bytes. A copy of a
/// replica and a locked file get no point, and are exported as they are. Bots keep writing meanwhile. The file gets its
/// name only when it is complete, and only its owner can read it. The output is its SHA-256 and name, as sha256sum
/// prints them.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub(in crate::face::cli) struct Export {
    /// The file: NAME.tar.gz or NAME.tar.zst, followed by .age if it is encrypted
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Export this restore point: an id, latest, latest~3, a time, or '10m ago'
    #[arg(long, value_name = "POINT", default_value = "now")]
    at: Selector,
    /// Export only these collections, separated by commas; queue and assignments go together
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    #[cfg(feature = "age")]
    #[command(flatten)]
    seal: SealArgs,
}

/// Options for encryption.
#[cfg(feature = "age")]
#[derive(Debug, Args)]
struct SealArgs {
    /// Encrypt it to this recipient, age1...; repeat for several recipients
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,
    /// Encrypt it with the passphrase in this file, or on standard input for -
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    passphrase_file: Option<PathBuf>,
}

fn examples() -> &'static str {
    if cfg!(feature = "age") {
        "\
Examples:
  hivekeep export hive.tar.gz
  hivekeep export yesterday.tar.zst --at '24h ago'
  hivekeep export queue.tar.gz --only queue,registry --force
  hivekeep export hive.tar.zst.age --passphrase-file secret.txt"
    } else {
        "\
Examples:
  hivekeep export hive.tar.gz
  hivekeep export yesterday.tar.zst --at '24h ago'
  hivekeep export queue.tar.gz --only queue,registry --force"
    }
}

impl Export {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = ExportOptions::new().at(self.at.clone()).only(self.only).replace(self.force);
        #[cfg(feature = "age")]
        let options = self.seal.apply(options)?;
        let report = context.change(|store| {
            context.tell_of_file(store, &self.at)?;
            let bar = Progress::new(&context.out, "records");
            store.export_with(&self.file, &options, |done, of| bar.show(done, of))
        })?;
        if context.out.is_json() {
            context.out.json(&report)?;
        } else {
            context.out.line(format_args!("{}  {}", report.sha256, report.file.display()))?;
        }
        let (records, bytes) = (counted(report.records, "record"), show_bytes(report.file_bytes));
        context.out.message(format_args!("exported {records} of {}: {bytes}", report.point));
        if report.point.partial {
            context.out.message("a repair lost part of that point; its import needs --partial");
        }
        Ok(Exit::Done)
    }
}

#[cfg(feature = "age")]
impl SealArgs {
    fn apply(&self, options: ExportOptions) -> Result<ExportOptions> {
        let options =
            self.recipient.iter().try_fold(options, |options, recipient| options.recipient(recipient.as_str()))?;
        match &self.passphrase_file {
            Some(file) => options.passphrase(&input::text_file(file)?),
            None => Ok(options),
        }
    }
}
