//! Whether the service does its work, check by check. Details of the operating system stay in the log: anybody may ask.

use std::time::Duration;

use crate::duration;
use crate::error::{Error, ErrorKind, Result};
use crate::service::instance::Instance;

/// A file that is closed for less long, until it is opened again, is no reason to end the process.
const NOT_LIVE_AFTER: Duration = Duration::from_secs(1);

/// One thing that has to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    pub(crate) detail: Option<String>,
}

impl HealthCheck {
    fn of(name: &'static str, error: Option<String>) -> Self {
        Self { name, ok: error.is_none(), detail: error }
    }
}

impl Instance {
    /// Whether the process is of use: its store's file is open, or has just been closed by a failure.
    ///
    /// # Errors
    ///
    /// `Reopen` once the file has been closed for a while.
    pub(crate) fn live(&self) -> Result<()> {
        match self.keeper().state().closed_for.filter(|closed| *closed >= NOT_LIVE_AFTER) {
            Some(closed) => Err(Error::new(ErrorKind::Reopen, still_closed(closed))),
            None => Ok(()),
        }
    }

    /// Every check, run now.
    pub(crate) fn health_checks(&self) -> Vec<HealthCheck> {
        let (health, store) = (self.health(), self.store());
        let closed = self.keeper().state().closed_for.map(still_closed);
        let readable = || store.view().and_then(|view| view.queue().counts()).and_then(|_| store.refuse_moved()).err();
        let unreadable = |error: Error| format!("the store cannot be used: kind={}", error.kind().as_str());
        let failed = |error: Option<String>, what: &str| error.map(|_| format!("{what}; the service's log says why"));
        vec![
            HealthCheck::of("store", closed.or_else(|| readable().map(unreadable))),
            HealthCheck::of("backup", failed(health.backup_error, "the last automatic backup failed")),
            HealthCheck::of("retention", failed(health.retention_error, "the last retention failed")),
            self.archive_check(),
            self.replica_check(),
            HealthCheck::of("upkeep", failed(health.upkeep_error, "the last upkeep of leases and sessions failed")),
            HealthCheck::of("schedules", failed(health.schedules_error, "a schedule could not fire")),
            HealthCheck::of("disk", self.room().for_point(store).err().map(|error| error.to_string())),
            HealthCheck::of("event_log", failed(store.event_log_error(), "events cannot be written to their log")),
            HealthCheck::of("last_check", self.check_jobs().last_problem()),
        ]
    }

    /// Whether the replica has everything that it should have by now.
    fn replica_check(&self) -> HealthCheck {
        let name = "replica";
        match self.replication().check(self.store()) {
            None => HealthCheck::of(name, None),
            Some((ok, detail)) => {
                let cause = self.replication().cause().map(|cause| format!(": {cause}")).unwrap_or_default();
                HealthCheck { name, ok, detail: Some(format!("{detail}{cause}")) }
            }
        }
    }

    /// Whether there is an archive outside of the store that is as young as it should be.
    fn archive_check(&self) -> HealthCheck {
        let name = "archive";
        if self.store().is_left_alone() {
            return HealthCheck::of(name, None);
        }
        if self.archive_error().is_some() {
            let why = "the last automatic archive failed; the service's log says why";
            return HealthCheck::of(name, Some(why.to_owned()));
        }
        // That the store cannot be read is another check's business.
        let Ok(Some((outside, late))) = self.outside() else { return HealthCheck::of(name, None) };
        let age = duration::show(duration::since(outside.last.state_at, self.store().clock().now()));
        let since = if outside.changed_since { "something has changed since" } else { "nothing has changed since" };
        let detail = Some(format!("the newest archive is of the state of {age} ago, and {since}"));
        HealthCheck { name, ok: !late, detail }
    }
}

fn still_closed(closed: Duration) -> String {
    format!("a failure has closed the store's file, and it is being opened again: closed_s={}", closed.as_secs())
}
