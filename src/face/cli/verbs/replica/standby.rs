//! A standby: a copy that follows a replica, and may promote itself.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::copies::tell_promoted;
use super::source::Source;
use crate::duration;
use crate::face::cli::context::{Context, user};
use crate::face::cli::printing::exit::Exit;
use crate::{
    Actor, Error, ReplicaStandby, Result, StandbyChange, StandbyEnd, StandbyEvent, StandbyLease, StandbyOptions,
    StandbyProgress, TakeOverOptions, show_time,
};

/// Keep a copy that follows the replica, until it is interrupted; other programs can read it meanwhile
///
/// It may be killed at any time, and goes on where it was when it is started again. While the bucket does not answer,
/// or refuses credentials that it took before, it tries on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica standby s3://backups/hive --to standby.redb
  hivekeep replica standby /mnt/other/hive --to standby.redb --every 5s --json
  hivekeep replica standby s3://backups/hive --to standby.redb --promote")]
pub(super) struct Standby {
    #[command(flatten)]
    from: Source,
    /// The file of the copy, which is made if there is none
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The time between two looks; half of it while something new comes
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1s")]
    every: Duration,
    /// End once the copy has everything
    #[arg(long)]
    once: bool,
    /// Promote the copy, and end, once the store that writes has given no sign for the time of its lease (see serve
    /// --replica-lease)
    #[arg(long, conflicts_with = "once")]
    promote: bool,
    /// With --promote, leave claimed tasks with their bots until their leases end; otherwise they are ready again
    #[arg(long, requires = "promote")]
    keep_claims: bool,
}

impl Standby {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        let identity = self.from.identity()?;
        let promote = self.promote.then(|| TakeOverOptions {
            keep_claims: self.keep_claims,
            actor: Some(Actor::new(user())),
            ..Default::default()
        });
        let options = StandbyOptions { every: self.every, once: self.once, promote };
        let (from, to, mut last) = (&self.from.location, &self.to, LastFailure::default());
        let ended = ReplicaStandby::run(from, to, identity.as_deref(), &options, |event| {
            tell(context, event, &mut last).map(ControlFlow::Continue)
        });
        match ended? {
            StandbyEnd::Stopped | StandbyEnd::Complete => Ok(Exit::Done),
            StandbyEnd::Promoted { taken, lease } => tell_promoted(context, from, to, &taken, Some(lease)),
            StandbyEnd::WasPromoted => {
                let to = to.display();
                context.out.message(format_args!("{to} was promoted before; it accepts writes, and follows nobody"));
                Ok(Exit::Done)
            }
        }
    }
}

/// A failure that lasts is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The failure that was said last, and when.
#[derive(Debug, Default)]
struct LastFailure(Option<(String, Instant)>);

impl LastFailure {
    /// Says a failure, unless it was said just now.
    fn tell(&mut self, error: &Error, context: &mut Context) {
        let text = error.to_string();
        if !self.0.as_ref().is_some_and(|(said, at)| *said == text && at.elapsed() < SAY_AGAIN) {
            context.out.message(format_args!("retrying: {text}"));
            self.0 = Some((text, Instant::now()));
        }
    }
}

fn tell(context: &mut Context, event: StandbyEvent<'_>, last: &mut LastFailure) -> Result<()> {
    match event {
        StandbyEvent::Retrying(error) => {
            last.tell(error, context);
            return Ok(());
        }
        StandbyEvent::Unverified(error) => {
            context.out.message(format_args!("cannot verify write access to the replica: {error}"));
        }
        StandbyEvent::Promoting(_) => context.out.message("the writer did not renew its lease; promoting"),
        StandbyEvent::Lease(lease) => tell_lease(context, lease),
        StandbyEvent::Moved(progress) => tell_progress(context, &progress)?,
        StandbyEvent::Idle => {}
    }
    *last = LastFailure::default();
    Ok(())
}

fn tell_progress(context: &mut Context, progress: &StandbyProgress) -> Result<()> {
    if context.out.is_json() {
        context.out.json_line(&json!(progress))?;
    } else {
        let anew = if progress.change == StandbyChange::Anew { "made anew, " } else { "" };
        context.out.line(format_args!("{anew}commit {} of {}", progress.sequence, show_time(progress.time)))?;
    }
    context.out.flush()
}

fn tell_lease(context: &mut Context, lease: Option<StandbyLease>) {
    match lease.map(|lease| duration::exact(lease.length)) {
        Some(length) => context.out.message(format_args!("this copy is promoted after {length} without a sign")),
        None => context.out.message(
            "this copy is not promoted by itself: the store that writes has no lease; give it one with serve \
             --replica-lease",
        ),
    }
}
