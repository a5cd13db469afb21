//! Drills: rehearsals of disasters on a copy of the real store. They measure the time until work continues, and the
//! loss.
//!
//! * here: the drill; [`options`]: its options and its caller; [`report`]: its results
//! * [`rebuild`]: a way to make the store anew without its machine
//! * [`targets`]: the disasters, and their targets
//! * [`scratch`]: the folder with the copy; [`stage`]: the parts that every rehearsal uses
//! * [`bots`]: bots as processes, and the operations acknowledged to them; [`bot`]: the work of such a process
//! * [`loss`]: counts the losses afterwards
//! * [`work`], [`state`], [`disk`], [`machine`]: the disasters themselves

mod bot;
mod bots;
mod disk;
mod loss;
mod machine;
mod options;
mod rebuild;
mod report;
pub(crate) mod scratch;
mod stage;
mod state;
pub(crate) mod targets;
mod work;

use std::path::Path;
use std::time::Instant;

use self::options::stop_if_asked;
use self::report::{Measured, millis};
use self::scratch::Scratch;
use self::stage::Stage;
use self::targets::Disaster;
use crate::engine::store::Store;
use crate::error::Result;

pub use self::bot::drill_bot;
pub use self::options::{DrillOptions, DrillWatch};
pub use self::rebuild::Rebuilt;
pub use self::report::{DrillReport, DrillScenario};

impl Store {
    /// Rehearses disasters on a copy of the store at `path`. The store may be in use, and is only read. Real processes
    /// are killed, and real bytes damaged. The copy is removed afterwards. The store keeps the results, with an event.
    ///
    /// # Errors
    ///
    /// As [`Store::open`]; `Full` when there is no space for copies; `Damaged` when the store itself is damaged;
    /// `Invalid` for a lost machine without anything elsewhere; `Conflict` when the drill was stopped; `Io` when the
    /// program for the bots cannot be run. The report contains failures of a rehearsal.
    pub fn drill(path: impl AsRef<Path>, options: &DrillOptions, watch: &dyn DrillWatch) -> Result<DrillReport> {
        let (path, begun) = (std::path::absolute(path.as_ref())?, Instant::now());
        if options.only.contains(&Disaster::MachineLost) && options.rebuild.is_none() {
            return Err(rebuild::needs_another_place());
        }
        let scratch = Scratch::make(&path, options.scratch.as_deref())?;
        watch.stage("copying the store");
        let copied = scratch.copy(&path, watch)?;
        let copied_ms = millis(begun.elapsed());
        let mut stage = Stage::new(&path, scratch, options, watch)?;
        let mut scenarios = Vec::new();
        for disaster in Disaster::ALL.into_iter().filter(|own| options.means(*own)) {
            stop_if_asked(watch)?;
            watch.stage(disaster.about());
            let measured = rehearse(&mut stage, disaster);
            stop_if_asked(watch)?;
            scenarios.push(DrillScenario::new(disaster, options.targets.of(disaster), measured));
        }
        let records = stage.records();
        drop(stage);
        let store = Self::options().create(false).session(false).open(&path)?;
        store.add_log_news(copied.news);
        store.append_log_news();
        let report = DrillReport {
            store: path,
            at: crate::clock::as_stored(store.clock().now()),
            took_ms: millis(begun.elapsed()),
            records,
            copied_bytes: copied.bytes,
            copied_ms,
            writers_waited_ms: millis(copied.held),
            seed: options.seed,
            scenarios,
        };
        store.acting_for(options.actor.as_ref()).note_drill(&report.to_keep())?;
        store.close()?;
        Ok(report)
    }
}

fn rehearse(stage: &mut Stage<'_>, disaster: Disaster) -> Result<Measured> {
    match disaster {
        Disaster::QueueHalved => state::queue_halved(stage),
        Disaster::FileLost => disk::file_lost(stage),
        Disaster::MachineLost => machine::machine_lost(stage),
        Disaster::DeploymentUndone => state::deployment_undone(stage),
        Disaster::BotKilled => work::bot_killed(stage),
        Disaster::ProcessKilled => work::process_killed(stage),
        Disaster::BytesDamaged => disk::bytes_damaged(stage),
    }
}
