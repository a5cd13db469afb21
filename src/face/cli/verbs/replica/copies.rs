//! Copies of a replica: made as of a moment, and taken over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::source::{Source, quoted};
use crate::duration;
use crate::face::cli::context::{Context, user};
use crate::face::cli::printing::exit::Exit;
use crate::text::counted;
use crate::{
    Actor, Error, ErrorKind, ReplicaLocation, ReplicaMoment, ReplicaStandby, RestoreReplicaOptions, RestoredReplica,
    Result, StandbyChange, Store, TakeOverOptions, TakenOver, show_time,
};

/// Make a new file from a replica, as the store was at a moment
///
/// Every collection is compared with its source before the file gets its name. The file can be read, and refuses
/// writes until it is taken over: with --take-over it becomes the store that writes the replica, and the former one
/// writes nothing any more once it notices; of an earlier moment, the replica gives up all that is behind it; with
/// --as-new-store it becomes a store of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica restore s3://backups/hive --to hive.redb --take-over
  hivekeep replica restore s3://backups/hive --to test.redb --at 2026-01-02T03:04:05Z --as-new-store
  hivekeep replica restore /mnt/other/hive --to look.redb --at 'sequence 4711'")]
pub(super) struct Restore {
    #[command(flatten)]
    from: Source,
    /// The new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The moment: newest, a time, '10m ago', the id of a restore point, or 'sequence NUMBER'
    #[arg(long, value_name = "MOMENT", default_value = "newest")]
    at: ReplicaMoment,
    #[command(flatten)]
    becomes: Becomes,
}

/// The role of a copy of a replica.
#[derive(Debug, Args)]
struct Becomes {
    /// Let the file be the store that writes the replica, instead of the one before
    #[arg(long)]
    take_over: bool,
    /// Let the file be a store of its own, which has nothing to do with the replica any more
    #[arg(long, conflicts_with = "take_over")]
    as_new_store: bool,
    /// Leave claimed tasks with their bots until their leases end; otherwise they are ready again
    #[arg(long)]
    keep_claims: bool,
    /// Do not wait for the end of the lease of the store before: you know that it is dead
    #[arg(long, requires = "take_over")]
    force: bool,
}

impl Becomes {
    fn options(&self) -> TakeOverOptions {
        TakeOverOptions {
            as_other_store: self.as_new_store,
            keep_claims: self.keep_claims,
            force: self.force,
            actor: Some(Actor::new(user())),
            ..Default::default()
        }
    }

    fn apply(&self, path: &Path) -> Result<TakenOver> {
        Store::take_over_replica(path, &self.options())
    }
}

/// A copy that is behind has come near after so many steps, however fast the writer is.
const STEPS_MAX: u32 = 1_000;

/// Promotes a standby, and says before that it waits for a lease, and how it is done again. Gives the length of that
/// lease too.
fn promote(
    mut standby: ReplicaStandby,
    how: &TakeOverOptions,
    again: &str,
    context: &mut Context,
) -> Result<(TakenOver, Option<Duration>)> {
    // An earlier term may have had another lease.
    for _ in 0..STEPS_MAX {
        if standby.step()?.change == StandbyChange::Nothing {
            break;
        }
    }
    let lease = standby.lease()?;
    if lease.is_some_and(|lease| !how.force && !lease.is_over) {
        tell_wait(lease.map(|lease| lease.length), again, context);
    }
    Ok((standby.promote(how)?, lease.map(|lease| lease.length)))
}

fn tell_wait(lease: Option<Duration>, again: &str, context: &mut Context) {
    if let Some(lease) = lease.map(duration::exact) {
        context.out.message(format_args!(
            "waiting for the previous writer's lease, at most {lease}; that writer has ended, and writes nothing from \
             now on: if this is interrupted, run {again}, or start that writer again"
        ));
    }
}

/// The command that promotes a copy.
fn promotion(from: &ReplicaLocation, to: &Path) -> String {
    format!("hivekeep replica promote {} --to {}", quoted(from), quoted(to.display()))
}

/// Says how the file is shipped, with the lease that the store before had.
fn tell_how_to_ship(path: &Path, to: &ReplicaLocation, lease: Option<Duration>, context: &mut Context) {
    let (path, to) = (quoted(path.display()), quoted(to));
    let lease = lease.map(|lease| format!(" --replica-lease {}", duration::exact(lease))).unwrap_or_default();
    context.out.message(format_args!("ship it: hivekeep --store {path} serve{lease} --replica {to}"));
}

fn tell_taken(path: &Path, taken: &TakenOver, context: &mut Context) {
    let claims = counted(taken.claims_returned, "claimed task");
    context.out.message(format_args!("{} now accepts writes; {claims} returned to ready", path.display()));
}

impl Restore {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = RestoreReplicaOptions { at: self.at.clone(), identity: self.from.identity()? };
        let restored = match self.becomes.take_over {
            // The former source may be alive: its term ends first. Retention keeps what the copy was made of meanwhile.
            true => ReplicaStandby::restore(&self.from.location, &self.to, &options)
                .map(|(standby, restored)| (restored, Some(standby))),
            false => Store::restore_replica(&self.from.location, &self.to, &options).map(|restored| (restored, None)),
        };
        if restored.is_err() && self.becomes.take_over && self.to.exists() {
            let (to, next) = (self.to.display(), self.take_over_later());
            context.out.message(format_args!("if {to} is of a restore that was interrupted, go on with it: {next}"));
        }
        let (restored, standby) = restored?;
        if !context.out.is_json() {
            let (time, to) = (show_time(restored.time), self.to.display());
            context.out.line(format_args!("{to} has commit {} of {time}", restored.sequence))?;
        }
        for passed_over in &restored.passed_over {
            context.out.message(format_args!("a newer base could not be used: {passed_over}"));
        }
        let taken = self.take(standby, options.identity.as_deref(), context);
        if taken.is_err() {
            self.tell_next(&restored, context);
        }
        let taken = taken?;
        let (taken, lease) = taken.map_or((None, None), |(taken, lease)| (Some(taken), lease));
        match &taken {
            Some(taken) => tell_taken(&self.to, taken, context),
            None => self.tell_next(&restored, context),
        }
        if context.out.is_json() {
            context.out.json(&json!({"restored": restored, "taken_over": taken}))?;
        }
        if self.becomes.take_over {
            tell_how_to_ship(&self.to, &self.from.location, lease, context);
        }
        Ok(Exit::Done)
    }

    /// Says how the file can be written to, and what the replica gives up for it.
    fn tell_next(&self, RestoredReplica { sequence, time, .. }: &RestoredReplica, context: &mut Context) {
        let (to, time, next) = (quoted(self.to.display()), show_time(*time), self.take_over_later());
        context.out.message("it refuses writes");
        match self.at {
            ReplicaMoment::Newest => {
                context.out.message(format_args!("to continue from it, with all that is shipped until then: {next}"));
            }
            _ => context.out.message(format_args!(
                "to continue from it and discard all commits after {sequence} of {time}: {next}"
            )),
        }
        context.out.message(format_args!("or as a store of its own: hivekeep replica take-over {to} --as-new-store"));
    }

    /// The command that lets the file take over later.
    fn take_over_later(&self) -> String {
        match self.at {
            ReplicaMoment::Newest => promotion(&self.from.location, &self.to),
            _ => format!("hivekeep replica take-over {}", quoted(self.to.display())),
        }
    }

    /// Lets the new file be written to, if it is to be. Gives the length of the lease of the store before too.
    fn take(
        &self,
        standby: Option<ReplicaStandby>,
        identity: Option<&str>,
        context: &mut Context,
    ) -> Result<Option<(TakenOver, Option<Duration>)>> {
        // Commits that the former source has shipped meanwhile come along, unless the moment is an earlier one.
        match (standby, &self.at) {
            (Some(standby), ReplicaMoment::Newest) => {
                promote(standby, &self.becomes.options(), &self.take_over_later(), context).map(Some)
            }
            (Some(standby), _) => self.go_back(standby, identity, context).map(Some),
            (None, _) if self.becomes.as_new_store => self.becomes.apply(&self.to).map(|taken| Some((taken, None))),
            (None, _) => Ok(None),
        }
    }

    /// Takes a copy of an earlier moment over, and says what the replica gives up.
    fn go_back(
        &self,
        standby: ReplicaStandby,
        identity: Option<&str>,
        context: &mut Context,
    ) -> Result<(TakenOver, Option<Duration>)> {
        let how = self.becomes.options();
        let before = Store::replica_status(&self.from.location, identity)?;
        let lease = before.term.as_ref().and_then(|term| term.lease_ms).map(Duration::from_millis);
        if before.term.is_some_and(|term| !term.is_sealed) && !how.force {
            tell_wait(lease, &self.take_over_later(), context);
        }
        let taken = standby.take_over(&how)?;
        if let Some(newest) = &taken.given_up {
            let (sequence, time) = (newest.sequence, show_time(newest.time));
            context.out.message(format_args!(
                "the replica gives up what it had behind commit {}, up to commit {sequence} of {time}",
                taken.sequence
            ));
        }
        Ok((taken, lease))
    }
}

/// Let a file that was restored from a replica be written to
///
/// Unless it is a new store, the replica gives up all that it got behind the moment of the file. To keep that, use
/// promote.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica take-over hive.redb
  hivekeep replica take-over test.redb --as-new-store")]
pub(super) struct TakeOver {
    /// The file
    file: PathBuf,
    /// Let the file be a store of its own, which has nothing to do with the replica any more
    #[arg(long)]
    as_new_store: bool,
    /// Leave claimed tasks with their bots until their leases end; otherwise they are ready again
    #[arg(long)]
    keep_claims: bool,
}

impl TakeOver {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { file, as_new_store, keep_claims } = self;
        let taken = Becomes { take_over: !as_new_store, as_new_store, keep_claims, force: false }.apply(&file)?;
        if context.out.is_json() {
            context.out.json(&json!(taken))?;
        }
        tell_taken(&file, &taken, context);
        if !as_new_store {
            let (sequence, time) = (taken.sequence, show_time(taken.time));
            context.out.message(format_args!(
                "once it is shipped, the replica gives up all that it has behind commit {sequence} of {time}"
            ));
        }
        Ok(Exit::Done)
    }
}

pub(super) fn tell_promoted(
    context: &mut Context,
    from: &ReplicaLocation,
    to: &Path,
    taken: &TakenOver,
    lease: Option<Duration>,
) -> Result<Exit> {
    if context.out.is_json() {
        context.out.json_line(&json!(taken))?;
    } else {
        let (file, sequence, time) = (to.display(), taken.sequence, show_time(taken.time));
        context.out.line(format_args!("{file} writes from now on, behind commit {sequence} of {time}"))?;
    }
    tell_how_to_ship(to, from, lease, context);
    Ok(Exit::Done)
}

/// Let a standby be the store that writes the replica: it catches up, and the one before writes nothing any more
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica promote s3://backups/hive --to standby.redb")]
pub(super) struct Promote {
    #[command(flatten)]
    from: Source,
    /// The file of the copy
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Leave claimed tasks with their bots until their leases end; otherwise they are ready again
    #[arg(long)]
    keep_claims: bool,
    /// Do not wait for the end of the lease of the store before: you know that it is dead
    #[arg(long)]
    force: bool,
}

impl Promote {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        if !self.to.exists() {
            let to = self.to.display();
            return Err(Error::new(
                ErrorKind::NoStore,
                format!("no copy at {to}; make one with hivekeep replica restore"),
            ));
        }
        let standby = ReplicaStandby::open(&self.from.location, &self.to, self.from.identity()?.as_deref())?;
        let Self { keep_claims, force, .. } = self;
        let how = TakeOverOptions { keep_claims, force, actor: Some(Actor::new(user())), ..Default::default() };
        let again = promotion(&self.from.location, &self.to);
        let (taken, lease) = promote(standby, &how, &again, context)?;
        tell_promoted(context, &self.from.location, &self.to, &taken, lease)
    }
}
