//! A standby: a copy that follows a replica, and may promote itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::copies::tell_promoted;
use super::source::Source;
use crate::duration;
use crate::face::cli::context::{Context, user};
use crate::face::cli::exit::Exit;
use crate::{
    Actor, Error, ErrorKind, ReplicaStandby, Result, StandbyChange, StandbyLease, StandbyProgress, TakeOverOptions,
    show_time,
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
        if self.promote && ReplicaStandby::was_promoted(&self.to)? {
            let to = self.to.display();
            context.out.message(format_args!("{to} was promoted before; it is written to, and follows nobody"));
            return Ok(Exit::Done);
        }
        let mut standby = ReplicaStandby::open(&self.from.location, &self.to, identity.as_deref())?;
        let how = TakeOverOptions {
            keep_claims: self.keep_claims,
            if_silent: true,
            actor: Some(Actor::new(user())),
            ..Default::default()
        };
        if self.promote {
            refuse_unwritable(&standby, context)?;
        }
        let (mut told, mut tries, mut idle) = (None, Tries::default(), 0_u32);
        loop {
            let step = standby.step().and_then(|progress| match self.promote {
                true => standby.lease().map(|lease| (progress, lease)),
                false => Ok((progress, None)),
            });
            if step.is_ok() {
                tries.succeeded();
            }
            if let Ok((progress, lease)) = &step
                && self.promote
                && told.replace(progress.term) != Some(progress.term)
            {
                tell_lease(context, *lease);
            }
            match step {
                Ok((_, Some(lease))) if lease.is_over => {
                    context.out.message("the writer did not renew its lease; promoting");
                    match standby.promote(&how) {
                        Ok(taken) => {
                            return tell_promoted(context, &self.from.location, &self.to, &taken, Some(lease.length));
                        }
                        // Another one may have been faster.
                        Err(error) if error.kind() == ErrorKind::Conflict || tries.may_help(&error) => {
                            tries.tell(&error, context);
                        }
                        Err(error) => return Err(error),
                    }
                    standby = self.open_again(identity.as_deref(), &mut tries, context)?;
                }
                Ok((StandbyProgress { change: StandbyChange::Nothing, .. }, _)) if self.once => break,
                Ok((StandbyProgress { change: StandbyChange::Nothing, .. }, _)) => {}
                Ok((progress, _)) => {
                    tell(context, &progress)?;
                    idle = 0;
                    // There may be more already.
                    continue;
                }
                Err(error) if !self.once && tries.may_help(&error) => tries.tell(&error, context),
                Err(error) => return Err(error),
            }
            std::thread::sleep(self.pause(idle));
            idle = idle.saturating_add(1);
        }
        standby.close()?;
        Ok(Exit::Done)
    }

    /// The pause behind so many looks in a row that found nothing. A writer ships every second, so its next object is
    /// not far.
    fn pause(&self, idle: u32) -> Duration {
        if idle < SOON { self.every / 2 } else { self.every }
    }

    /// Opens the copy once the bucket answers.
    fn open_again(&self, identity: Option<&str>, tries: &mut Tries, context: &mut Context) -> Result<ReplicaStandby> {
        loop {
            match ReplicaStandby::open(&self.from.location, &self.to, identity) {
                Err(error) if tries.may_help(&error) => tries.tell(&error, context),
                opened => return opened,
            }
            std::thread::sleep(self.every);
        }
    }
}

/// So many looks behind something new come after half the time.
const SOON: u32 = 3;
/// A failure that lasts is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The tries of a standby.
#[derive(Debug, Default)]
struct Tries {
    /// Whether one has succeeded: then the location and the credentials were right.
    has_succeeded: bool,
    /// The failure that was said last, and when.
    said: Option<(String, Instant)>,
}

impl Tries {
    fn succeeded(&mut self) {
        (self.has_succeeded, self.said) = (true, None);
    }

    /// Whether a later try may succeed: a key that was exchanged, a clock that is set, a disk that was full.
    fn may_help(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Io => true,
            ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Full => self.has_succeeded,
            _ => false,
        }
    }

    /// Says why it is tried again, unless that was said just now.
    fn tell(&mut self, error: &Error, context: &mut Context) {
        let text = error.to_string();
        if !self.said.as_ref().is_some_and(|(said, at)| *said == text && at.elapsed() < SAY_AGAIN) {
            context.out.message(format_args!("retrying: {text}"));
            self.said = Some((text, Instant::now()));
        }
    }
}

/// Refuses credentials that could not promote the copy, before that is needed.
fn refuse_unwritable(standby: &ReplicaStandby, context: &mut Context) -> Result<()> {
    match standby.try_write() {
        Err(error) if error.kind() == ErrorKind::Io => {
            context.out.message(format_args!("cannot verify write access to the replica: {error}"));
            Ok(())
        }
        tried => tried,
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

fn tell_lease(context: &mut Context, lease: Option<StandbyLease>) {
    match lease.map(|lease| duration::exact(lease.length)) {
        Some(length) => context.out.message(format_args!("this copy is promoted after {length} without a sign")),
        None => context.out.message(
            "this copy is not promoted by itself: the store that writes has no lease; give it one with serve \
             --replica-lease",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_has_worked_tries_on_while_the_bucket_refuses_it_and_while_its_disk_is_full() {
        let mut tries = Tries::default();
        let of = |kind| Error::new(kind, "no");
        let later = [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Full];
        assert!(tries.may_help(&of(ErrorKind::Io)));
        assert!(!later.iter().any(|kind| tries.may_help(&of(*kind))), "a mistake at the start is told");
        tries.succeeded();
        assert!(later.iter().all(|kind| tries.may_help(&of(*kind))));
        assert!(![ErrorKind::Damaged, ErrorKind::Conflict].iter().any(|kind| tries.may_help(&of(*kind))));
    }
}
