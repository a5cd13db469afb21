//! The drill: one rehearsal after the other.

use std::path::Path;
use std::time::Instant;

use super::options::{DrillOptions, DrillWatch, stop_if_asked};
use super::report::{DrillReport, DrillScenario, Measured, millis};
use super::scratch::Scratch;
use super::stage::Stage;
use super::targets::Disaster;
use super::{disk, machine, rebuild, state, work};
use crate::engine::store::Store;
use crate::error::Result;

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
