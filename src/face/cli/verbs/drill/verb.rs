//! The verb `drill`: the options and the run.

use std::path::PathBuf;

use clap::Args;

use super::screen::Screen;
use super::targets;
use crate::face::cli::context::{Context, user};
#[cfg(feature = "replica")]
use crate::face::cli::parsing::input;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::printing::output::Output;
use crate::face::cli::printing::screen::Cell;
use crate::face::cli::printing::table::Columns;
use crate::face::cli::signals::code_of;
use crate::text::show_bytes;
use crate::{Disaster, DrillOptions, DrillReport, DrillScenario, DrillTarget, Error, Result, Store};
#[cfg(feature = "replica")]
use crate::{Rebuilt, ReplicaLocation, ReplicaMoment, RestoreReplicaOptions, TakeOverOptions};

/// Rehearse disasters on a copy of the store, and measure their cost
///
/// The store itself is only read, while others use it. On the copy, bots work in processes of their own, which are
/// really killed; tasks are deleted, a deployment goes wrong, bytes are damaged, the file is lost. For each disaster
/// the drill measures the time until work continued and the state that was lost, and compares both with targets
/// (recovery/loss): a bot and the machine 1m/1m, a mistake 5m/10m, the whole store 10m/10m, a disk 15m/10m. The result
/// is stored, and shown by status, doctor and the metrics.
///
/// Disasters: file_lost, queue_halved, deployment_undone, bot_killed, process_killed, bytes_damaged, and with --replica
/// machine_lost. The exit code is 3 if a target was missed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep drill
  hivekeep drill --only bot_killed,process_killed
  hivekeep drill --only machine_lost --replica s3://backups/hive
  hivekeep drill --target file_lost=2m/10m --scratch /mnt/spare --json")]
pub(in crate::face::cli) struct Drill {
    /// Rehearse only these disasters, separated by commas
    #[arg(long, value_name = "DISASTERS", value_delimiter = ',')]
    only: Vec<Disaster>,
    /// The longest acceptable recovery time and loss of a disaster; repeat for several disasters
    #[arg(long, value_name = "DISASTER=RECOVERY/LOSS", value_parser = targets::target)]
    pub(super) target: Vec<(Disaster, DrillTarget)>,
    /// A TOML file of targets, one line for each disaster, such as file_lost = '2m/10m'
    #[arg(long, value_name = "FILE")]
    targets: Option<PathBuf>,
    /// The folder for the copy, which is removed afterwards [default: the store's folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The folder of the archives [default: hivekeep-archives beside the store]
    #[arg(long, value_name = "DIR")]
    archive_dir: Option<PathBuf>,
    #[cfg(feature = "replica")]
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// The seed that selects the damaged bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The replica from which the store comes back after the loss of the machine.
#[cfg(feature = "replica")]
#[derive(Debug, Args)]
struct Elsewhere {
    /// Rehearse the loss of the machine too, with the replica at this location, which is only read
    #[arg(long, value_name = "LOCATION")]
    replica: Option<ReplicaLocation>,
    /// Read an encrypted replica with the age identity in this file
    #[arg(long, value_name = "FILE", requires = "replica")]
    replica_identity: Option<PathBuf>,
}

#[cfg(feature = "replica")]
impl Elsewhere {
    fn apply(self, options: DrillOptions) -> Result<DrillOptions> {
        let Some(from) = self.replica else { return Ok(options) };
        let identity = self.replica_identity.as_deref().map(input::text_file).transpose()?;
        let how = RestoreReplicaOptions { at: ReplicaMoment::Newest, identity };
        Ok(options.rebuild(move |to| {
            let restored = Store::restore_replica(&from, to, &how)?;
            // A store of its own, which leaves the replica to its source.
            Store::take_over_replica(
                to,
                &TakeOverOptions { as_other_store: true, keep_claims: true, ..TakeOverOptions::default() },
            )?;
            Ok(Rebuilt { sequence: restored.sequence, time: restored.time })
        }))
    }
}

impl Drill {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        let program = std::env::current_exe()?;
        let mut options = DrillOptions::new(program)
            .only(self.only)
            .scratch(self.scratch)
            .archives(self.archive_dir)
            .seed(self.seed)
            .acting_as(user());
        #[cfg(feature = "replica")]
        {
            options = self.elsewhere.apply(options)?;
        }
        let of_file = self.targets.as_deref().map(targets::read).transpose()?.unwrap_or_default();
        for (disaster, target) in of_file.into_iter().chain(self.target) {
            options = options.target(disaster, target);
        }
        let screen = Screen::new(&context.out)?;
        let drilled = Store::drill(&context.path, &options, &screen);
        screen.clear();
        match (drilled, screen.signal()) {
            (Err(error), Some(signal)) => {
                context.out.message(error);
                Ok(Exit::Other(code_of(signal)))
            }
            (drilled, _) => show(&mut context.out, &drilled?),
        }
    }
}

fn show(out: &mut Output, report: &DrillReport) -> Result<Exit> {
    if out.is_json() {
        out.json(report)?;
    } else {
        out.table(report.scenarios.iter().map(|scenario| Ok::<_, Error>(Row(scenario))))?;
        for scenario in &report.scenarios {
            for note in scenario.notes.iter().chain(&scenario.error) {
                out.line(format_args!("{}: {note}", scenario.name))?;
            }
        }
        let bytes = show_bytes(report.copied_bytes);
        let (took, copied, waited) =
            (seconds(report.took_ms), seconds(report.copied_ms), seconds(report.writers_waited_ms));
        out.line(format_args!(
            "{} records; {bytes} copied in {copied}, writers waited {waited}; total {took}",
            report.records
        ))?;
    }
    Ok(if report.is_met() { Exit::Done } else { Exit::InPart })
}

/// A disaster as a row of a table.
struct Row<'a>(&'a DrillScenario);

impl Columns for Row<'_> {
    const HEAD: &'static [&'static str] =
        &["DISASTER", "RECOVERED IN", "TARGET", "RECORDS LOST", "BACK TO", "TARGET", "VERDICT"];

    fn cells(&self) -> Vec<Cell> {
        let DrillScenario { name, recovery_ms, lost_records, lost_ms, target, met, error, .. } = self.0;
        let verdict = match (met, error) {
            (true, _) => "met",
            (false, None) => "missed",
            (false, Some(_)) => "failed",
        };
        vec![
            name.to_string().into(),
            seconds(*recovery_ms).into(),
            crate::duration::exact(target.recovery()).into(),
            lost_records.to_string().into(),
            if *lost_records == 0 { "-".into() } else { format!("{} before", seconds(*lost_ms)).into() },
            crate::duration::exact(target.loss()).into(),
            verdict.into(),
        ]
    }
}

/// Milliseconds in a readable unit.
fn seconds(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => crate::duration::show(std::time::Duration::from_millis(millis)),
    }
}
