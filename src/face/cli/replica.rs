//! `replica`: the store off the machine, in a folder or a bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::duration;
use crate::face::cli::context::{Context, user};
use crate::face::cli::exit::Exit;
use crate::face::cli::input;
use crate::text::{counted, show_bytes};
use crate::{
    Actor, Error, ErrorKind, InitReplicaOptions, ReplicaLocation, ReplicaMoment, ReplicaStandby, ReplicaStatus,
    RestoreReplicaOptions, Result, StandbyChange, StandbyProgress, Store, TakeOverOptions, TakenOver, VerifiedReplica,
    show_time,
};

/// A replica: every commit off the machine within a second, and back on another one
///
/// A replica is in a folder, best on another machine, or in a bucket: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or
/// az://CONTAINER/PREFIX. Credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
/// For another server than Amazon's that speaks S3, add ?endpoint=https://HOST:PORT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica init s3://backups/hive
  hivekeep serve --replica s3://backups/hive
  hivekeep replica status s3://backups/hive
  hivekeep replica restore s3://backups/hive --to hive.redb --take-over")]
pub(super) struct ReplicaArgs {
    #[command(subcommand)]
    verb: ReplicaVerb,
}

#[derive(Debug, Subcommand)]
enum ReplicaVerb {
    Init(Init),
    Status(Status),
    Verify(Verify),
    Restore(Restore),
    TakeOver(TakeOver),
    Standby(Standby),
    Promote(Promote),
}

impl ReplicaArgs {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            ReplicaVerb::Init(init) => init.run(context),
            ReplicaVerb::Status(status) => status.run(context),
            ReplicaVerb::Verify(verify) => verify.run(context),
            ReplicaVerb::Restore(restore) => restore.run(context),
            ReplicaVerb::TakeOver(take_over) => take_over.run(context),
            ReplicaVerb::Standby(standby) => standby.run(context),
            ReplicaVerb::Promote(promote) => promote.run(context),
        }
    }
}

/// Make a replica of the store where there is none yet
///
/// The bucket first proves that of two writers only one wins; a bucket that cannot is refused. Then the state of now is
/// written. From then on the store keeps its commits until serve --replica has shipped them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica init /mnt/other/hive
  hivekeep replica init s3://backups/hive --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")]
struct Init {
    /// The folder or the bucket
    #[arg(value_name = "LOCATION")]
    location: ReplicaLocation,
    /// Encrypt the replica to this recipient, age1...; repeat for several; this cannot be changed later
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
}

impl Init {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let options = InitReplicaOptions { recipients: self.recipients };
        context.change(|store| store.init_replica(&self.location, &options))?;
        let (location, is_encrypted) = (self.location.to_string(), !options.recipients.is_empty());
        if context.out.is_json() {
            context.out.json(&json!({"replica": location, "encrypted": is_encrypted}))?;
        } else {
            context.out.line(format_args!("the replica at {location} has the state of now"))?;
        }
        context.out.message("ship to it: hivekeep serve --replica, with the same location");
        Ok(Exit::Done)
    }
}

/// The replica of a verb that reads it.
#[derive(Debug, Args)]
struct Source {
    /// The folder or the bucket
    #[arg(value_name = "LOCATION")]
    location: ReplicaLocation,
    /// Read an encrypted replica with the age identity in this file
    #[arg(long, value_name = "FILE", env = "HIVEKEEP_REPLICA_IDENTITY")]
    identity: Option<PathBuf>,
}

impl Source {
    fn identity(&self) -> Result<Option<String>> {
        self.identity.as_deref().map(input::text_file).transpose()
    }
}

/// Show what is in a replica: who writes it, its newest commit, and from when on it can be restored
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica status s3://backups/hive
  hivekeep replica status /mnt/other/hive --json")]
struct Status {
    #[command(flatten)]
    from: Source,
}

impl Status {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let status = Store::replica_status(&self.from.location, self.from.identity()?.as_deref())?;
        if context.out.is_json() {
            context.out.json(&json!(status))?;
        } else {
            shown_status(&status).iter().try_for_each(|line| context.out.line(line))?;
        }
        Ok(if status.findings.is_empty() { Exit::Done } else { Exit::Damaged })
    }
}

fn shown_status(status: &ReplicaStatus) -> Vec<String> {
    let encrypted = if status.is_encrypted { ", encrypted" } else { "" };
    let mut lines = vec![format!("store {}{encrypted}", status.store)];
    if let Some(term) = &status.term {
        let machine = term.machine.as_deref().unwrap_or("an unknown machine");
        let state = if term.is_sealed { "over" } else { "being written, or its process was killed" };
        let opened = show_time(term.opened_at);
        lines.push(format!("term {} of {machine}, opened {opened}: {state}", term.number));
    }
    if let Some(newest) = &status.newest {
        lines.push(format!("newest commit {} of {}", newest.sequence, show_time(newest.time)));
    }
    match status.restorable_from() {
        Some(from) => lines.push(format!("restorable from {}", show_time(from))),
        None => lines.push("nothing can be restored: no base is finished".to_owned()),
    }
    for base in &status.bases {
        lines.push(format!("base {} of {}: {}", base.name, show_time(base.time), show_bytes(base.bytes)));
    }
    lines.extend(status.findings.iter().map(|finding| format!("DAMAGED {finding}")));
    lines
}

/// Read back everything that a restore would need, and compare it
///
/// The exit code is 4 if anything is damaged or missing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica verify s3://backups/hive")]
struct Verify {
    #[command(flatten)]
    from: Source,
}

impl Verify {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let verified = Store::verify_replica(&self.from.location, self.from.identity()?.as_deref())?;
        if context.out.is_json() {
            context.out.json(&json!({"sound": verified.is_sound(), "report": verified}))?;
        } else {
            shown_verified(&verified).iter().try_for_each(|line| context.out.line(line))?;
        }
        Ok(if verified.is_sound() { Exit::Done } else { Exit::Damaged })
    }
}

fn shown_verified(verified: &VerifiedReplica) -> Vec<String> {
    let mut lines: Vec<_> = verified.findings.iter().map(|finding| format!("DAMAGED {finding}")).collect();
    let verdict = if verified.is_sound() { "sound" } else { "NOT SOUND" };
    let bases = counted(verified.bases, "whole base");
    let objects = counted(verified.objects, "object");
    let commits = counted(verified.commits, "commit");
    lines.push(format!("{verdict}: {bases} ({}), {objects} of the log with {commits}", show_bytes(verified.bytes)));
    lines
}

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
struct Restore {
    #[command(flatten)]
    from: Source,
    /// The new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The moment: newest, a time, the id of a restore point, or 'sequence NUMBER'
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
}

impl Becomes {
    fn apply(&self, path: &Path, context: &mut Context) -> Result<()> {
        let taken = Store::take_over_replica(path, &take_over_options(self.as_new_store, self.keep_claims))?;
        tell_taken(path, &taken, context);
        Ok(())
    }
}

fn tell_taken(path: &Path, taken: &TakenOver, context: &mut Context) {
    let claims = counted(taken.claims_returned, "claimed task");
    context.out.message(format_args!("{} is a store that is written to; ready again: {claims}", path.display()));
}

impl Restore {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let options = RestoreReplicaOptions { at: self.at, identity: self.from.identity()? };
        let restored = Store::restore_replica(&self.from.location, &self.to, &options)?;
        if context.out.is_json() {
            context.out.json(&json!(restored))?;
        } else {
            let (time, to) = (show_time(restored.time), self.to.display());
            context.out.line(format_args!("{to} has commit {} of {time}", restored.sequence))?;
        }
        for passed_over in &restored.passed_over {
            context.out.message(format_args!("a newer base could not be used: {passed_over}"));
        }
        if self.becomes.take_over && options.at == ReplicaMoment::Newest {
            // The former source may be alive: its term ends first, and what it has shipped meanwhile comes along.
            let standby = ReplicaStandby::open(&self.from.location, &self.to, options.identity.as_deref())?;
            let taken = standby.promote(&take_over_options(false, self.becomes.keep_claims))?;
            tell_taken(&self.to, &taken, context);
        } else if self.becomes.take_over || self.becomes.as_new_store {
            self.becomes.apply(&self.to, context)?;
        } else {
            context
                .out
                .message(format_args!("it refuses writes until: hivekeep replica take-over {}", self.to.display()));
        }
        if self.becomes.take_over {
            let to = self.to.display();
            context.out.message(format_args!("ship it: hivekeep --store {to} serve --replica, with the same location"));
        }
        Ok(Exit::Done)
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
struct TakeOver {
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
    fn run(self, context: &mut Context) -> Result<Exit> {
        let Self { file, as_new_store, keep_claims } = self;
        Becomes { take_over: !as_new_store, as_new_store, keep_claims }.apply(&file, context)?;
        Ok(Exit::Done)
    }
}

/// Keep a copy that follows the replica, until it is interrupted; other programs can read it meanwhile
///
/// It may be killed at any time, and goes on where it was when it is started again. While the bucket does not answer,
/// it tries on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica standby s3://backups/hive --to standby.redb
  hivekeep replica standby /mnt/other/hive --to standby.redb --every 5s --json")]
struct Standby {
    #[command(flatten)]
    from: Source,
    /// The file of the copy, which is made if there is none
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The time between two looks
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1s")]
    every: Duration,
    /// End once the copy has everything
    #[arg(long)]
    once: bool,
}

impl Standby {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let mut standby = ReplicaStandby::open(&self.from.location, &self.to, self.from.identity()?.as_deref())?;
        loop {
            match standby.step() {
                Ok(StandbyProgress { change: StandbyChange::Nothing, .. }) if self.once => break,
                Ok(StandbyProgress { change: StandbyChange::Nothing, .. }) => {}
                Ok(progress) => {
                    tell(context, &progress)?;
                    // There may be more already.
                    continue;
                }
                Err(error) if !self.once && error.kind() == ErrorKind::Io => {
                    context.out.message(format_args!("it is tried again: {error}"));
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(self.every);
        }
        standby.close()?;
        Ok(Exit::Done)
    }
}

fn tell(context: &mut Context, progress: &StandbyProgress) -> Result<()> {
    if context.out.is_json() {
        context.out.json_line(&json!(progress))?;
    } else {
        let anew = if progress.change == StandbyChange::Anew { "made anew, " } else { "" };
        context.out.line(format_args!("{anew}commit {} of {}", progress.sequence, show_time(progress.time)))?;
    }
    context.out.flush()
}

/// Let a standby be the store that writes the replica: it catches up, and the one before writes nothing any more
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica promote s3://backups/hive --to standby.redb")]
struct Promote {
    #[command(flatten)]
    from: Source,
    /// The file of the copy
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Leave claimed tasks with their bots until their leases end; otherwise they are ready again
    #[arg(long)]
    keep_claims: bool,
}

impl Promote {
    fn run(self, context: &mut Context) -> Result<Exit> {
        if !self.to.exists() {
            let to = self.to.display();
            return Err(Error::new(
                ErrorKind::NoStore,
                format!("no copy at {to}; make one with hivekeep replica restore"),
            ));
        }
        let standby = ReplicaStandby::open(&self.from.location, &self.to, self.from.identity()?.as_deref())?;
        let taken = standby.promote(&take_over_options(false, self.keep_claims))?;
        if context.out.is_json() {
            context.out.json(&json!(taken))?;
        } else {
            let (to, sequence, time) = (self.to.display(), taken.sequence, show_time(taken.time));
            context.out.line(format_args!("{to} writes from now on, behind commit {sequence} of {time}"))?;
        }
        let to = self.to.display();
        context.out.message(format_args!("ship it: hivekeep --store {to} serve --replica, with the same location"));
        Ok(Exit::Done)
    }
}

fn take_over_options(as_other_store: bool, keep_claims: bool) -> TakeOverOptions {
    TakeOverOptions { as_other_store, keep_claims, actor: Some(Actor::new(user())) }
}
