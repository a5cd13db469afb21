//! The verb `replica`: the list of verbs, and those without a file of their own.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::copies::{Promote, Restore, TakeOver};
use super::drill::Drill;

use super::orphans::Orphans;
use super::source::{Source, quoted};
use super::standby::Standby;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::text::{counted, show_bytes};
use crate::{InitReplicaOptions, ReplicaLocation, ReplicaStatus, Result, Store, VerifiedReplica, duration, show_time};

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
pub(in crate::face::cli) struct ReplicaArgs {
    #[command(subcommand)]
    verb: ReplicaVerb,
}

#[derive(Debug, Subcommand)]
enum ReplicaVerb {
    Init(Init),
    Status(Status),
    Verify(Verify),
    Drill(Drill),
    Restore(Restore),
    TakeOver(TakeOver),
    Standby(Standby),
    Promote(Promote),
    Orphans(Orphans),
}

impl ReplicaArgs {
    /// The reason why the verb needs the file of the store; none if it needs no store.
    pub(in crate::face::cli) fn needs_file(&self) -> Option<&'static str> {
        match self.verb {
            ReplicaVerb::Init(_) => Some("it writes into the file that it has a replica"),
            ReplicaVerb::Orphans(_) => Some("it compares the file with another one"),
            _ => None,
        }
    }

    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            ReplicaVerb::Init(init) => init.run(context),
            ReplicaVerb::Status(status) => status.run(context),
            ReplicaVerb::Verify(verify) => verify.run(context),
            ReplicaVerb::Drill(drill) => drill.run(context),
            ReplicaVerb::Restore(restore) => restore.run(context),
            ReplicaVerb::TakeOver(take_over) => take_over.run(context),
            ReplicaVerb::Standby(standby) => standby.run(context),
            ReplicaVerb::Promote(promote) => promote.run(context),
            ReplicaVerb::Orphans(orphans) => orphans.run(context),
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
    pub(super) location: ReplicaLocation,
    /// Encrypt the replica to this recipient, age1...; repeat for several; this cannot be changed later
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
}

impl Init {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let options = InitReplicaOptions { recipients: self.recipients };
        context.change(|store| store.init_replica(&self.location, &options))?;
        let (location, is_encrypted) = (self.location.to_string(), !options.recipients.is_empty());
        if context.out.is_json() {
            context.out.json(&json!({"replica": location, "encrypted": is_encrypted}))?;
        } else {
            context.out.line(format_args!("the replica at {location} has the state of now"))?;
        }
        let (store, location) = (quoted(context.path.display()), quoted(location));
        context.out.message(format_args!("ship to it: hivekeep --store {store} serve --replica {location}"));
        Ok(Exit::Done)
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
    pub(super) from: Source,
}

impl Status {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
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
        let how = match (term.is_restore, term.is_promotion) {
            (true, _) => " by a restore",
            (_, true) => " by a promotion",
            _ => "",
        };
        lines.push(format!("term {} of {machine}, opened {opened}{how}: {state}", term.number));
        if let Some(lease) = term.lease_ms.filter(|_| !term.is_sealed) {
            let lease = duration::exact(Duration::from_millis(lease));
            lines.push(format!("lease of {lease}: after so long without a sign, a standby may take over"));
        }
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
    pub(super) from: Source,
}

impl Verify {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
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
