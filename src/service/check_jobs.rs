//! Checks of everything that were asked for: one runs at a time, and its progress can be asked for. The check of the
//! audit trail alone is answered at once, and read anew once a minute at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock;
use crate::engine::check::CheckReport;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::upkeep::work::{Attendant, Work};
use crate::state::audit::AuditReport;

/// The most jobs that are remembered.
const REMEMBERED: usize = 16;
/// A report of the audit trail is given again for this long, so that readers who ask on and on take no core.
const AUDIT_REPORT_AGE: Duration = Duration::from_secs(60);

/// The jobs of this service, newest first.
#[derive(Debug, Default)]
pub(crate) struct CheckJobs {
    jobs: Mutex<VecDeque<Arc<CheckJob>>>,
    audit: Mutex<Option<AuditCheck>>,
    /// Damaged rows that were healed since the service began.
    healed: AtomicU64,
}

/// A check of the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct AuditCheck {
    pub(crate) at: Timestamp,
    pub(crate) report: Arc<AuditReport>,
    began: Instant,
}

/// A check, while it runs and after it has ended.
#[derive(Debug)]
pub(crate) struct CheckJob {
    pub(crate) id: String,
    pub(crate) started_at: Timestamp,
    done: AtomicU64,
    of: AtomicU64,
    healed: AtomicU64,
    /// Written once, by the thread that checks.
    ended: Mutex<Option<Arc<EndedCheck>>>,
}

/// How a check has ended.
#[derive(Debug)]
pub(crate) struct EndedCheck {
    pub(crate) at: Timestamp,
    pub(crate) report: Result<CheckReport>,
}

impl CheckJobs {
    /// The job that runs, or a new one, which the caller must run; says whether it is new.
    pub(crate) fn start(&self, now: Timestamp) -> (Arc<CheckJob>, bool) {
        let mut jobs = self.jobs.lock();
        if let Some(running) = jobs.iter().find(|job| job.ended().is_none()) {
            return (running.clone(), false);
        }
        let job = Arc::new(CheckJob {
            id: clock::new_id().to_string(),
            started_at: now,
            done: AtomicU64::new(0),
            of: AtomicU64::new(0),
            healed: AtomicU64::new(0),
            ended: Mutex::new(None),
        });
        jobs.push_front(job.clone());
        jobs.truncate(REMEMBERED);
        (job, true)
    }

    /// The job with that id, while it is remembered.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<CheckJob>> {
        self.jobs.lock().iter().find(|job| job.id == id).cloned()
    }

    /// Verifies the audit trail, unless that was done within a minute. The caller asks for one at a time.
    pub(crate) fn audit(&self, store: &Store) -> Result<AuditCheck> {
        if let Some(last) = self.audit.lock().as_ref().filter(|last| last.began.elapsed() < AUDIT_REPORT_AGE) {
            return Ok(last.clone());
        }
        let (at, began) = (store.clock().now(), Instant::now());
        let check = AuditCheck { at, report: Arc::new(store.view()?.audit().verify()?), began };
        *self.audit.lock() = Some(check.clone());
        Ok(check)
    }

    /// Counts the rows that a heal has healed.
    pub(super) fn count_healed(&self, healed: Result<u64>) -> Result<u64> {
        let rows = healed?;
        self.healed.fetch_add(rows, Ordering::Relaxed);
        Ok(rows)
    }

    /// How many damaged rows were healed since the service began.
    pub(crate) fn healed(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    /// The problem that the last finished job found, if any.
    pub(super) fn last_problem(&self) -> Option<String> {
        self.jobs.lock().iter().find_map(|job| job.ended())?.problem()
    }
}

impl CheckJob {
    /// Checks everything, keeps the report in the store and in the job, and reports the findings to the attendant. If
    /// something is found, `heal` may heal some rows and says how many; then everything is checked again.
    pub(crate) fn run(&self, store: &Store, attendant: &dyn Attendant, heal: &dyn Fn() -> Result<u64>) {
        let check = || {
            store.check_with(|done, of| {
                self.done.fetch_max(done, Ordering::Relaxed);
                self.of.store(of, Ordering::Relaxed);
            })
        };
        let mut report = check();
        if report.as_ref().is_ok_and(|report| !report.is_sound()) {
            match heal() {
                Ok(0) => {}
                Ok(rows) => {
                    self.healed.store(rows, Ordering::Relaxed);
                    tracing::warn!(rows, "damaged rows were healed from the replica");
                    report = check();
                }
                Err(error) => tracing::warn!(%error, "damaged rows cannot be healed from the replica"),
            }
        }
        if let Ok(report) = &report {
            store.note_check_if_possible(report);
        }
        let ended = EndedCheck { at: store.clock().now(), report };
        if let Some(problem) = ended.problem() {
            tracing::error!(work = Work::Check.as_str(), error = problem, "work failed");
            attendant.failed(Work::Check, &problem);
        }
        *self.ended.lock() = Some(Arc::new(ended));
    }

    /// How many rows are verified, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }

    /// How many damaged rows it got back from the replica.
    pub(crate) fn healed(&self) -> u64 {
        self.healed.load(Ordering::Relaxed)
    }

    /// How it has ended; none while it runs.
    pub(crate) fn ended(&self) -> Option<Arc<EndedCheck>> {
        self.ended.lock().clone()
    }
}

impl EndedCheck {
    fn problem(&self) -> Option<String> {
        match &self.report {
            Ok(report) if report.is_sound() => None,
            Ok(report) => Some(format!("the last check found damage; look at its findings: found={}", report.found)),
            Err(error) => Some(format!("the last check could not be carried out: kind={}", error.kind().as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::schema::{CollectionId, Table};
    use crate::testkit::checked_store::{Fixture, time};

    #[test]
    fn one_check_runs_at_a_time_and_the_last_few_are_remembered() {
        let hive = Fixture::new();
        let jobs = CheckJobs::default();
        let (first, is_new) = jobs.start(time(0));
        assert!(is_new && first.ended().is_none());
        assert!(!jobs.start(time(1)).1, "the first one still runs");
        first.run(&hive.store, &(), &|| Ok(0));
        assert!(first.ended().unwrap().report.as_ref().unwrap().is_sound());
        assert_eq!((jobs.last_problem(), first.progress().0), (None, first.progress().1));
        for _ in 0..REMEMBERED {
            let (job, is_new) = jobs.start(time(2));
            assert!(is_new);
            job.run(&hive.store, &(), &|| Ok(0));
        }
        assert!(jobs.find(&first.id).is_none());
    }

    #[test]
    fn healed_rows_are_counted_over_all_checks() {
        let jobs = CheckJobs::default();
        assert_eq!(jobs.count_healed(Ok(2)).ok(), Some(2));
        assert!(jobs.count_healed(Err(crate::Error::conflict("no replica"))).is_err());
        assert_eq!(jobs.count_healed(Ok(3)).ok(), Some(3));
        assert_eq!(jobs.healed(), 5);
    }

    #[test]
    fn damage_is_healed_and_checked_again_and_stays_a_finding_where_it_cannot_be() {
        let hive = Fixture::new();
        hive.store.write(|tx| tx.config().put("a", &serde_json::json!(1))).unwrap();
        let key = CollectionId::CONFIG.row_key(b"a");
        let sound = hive.store.view().unwrap().stored().get(Table::Live, &key).unwrap().unwrap();
        let put = |bytes: &[u8]| {
            hive.store.alone(|tx| tx.insert(Table::Live, &key, bytes).map(Outcome::Commit)).unwrap();
        };
        let run = |heal: &dyn Fn() -> Result<u64>| {
            put(b"no frame");
            let job = CheckJobs::default().start(time(0)).0;
            job.run(&hive.store, &(), heal);
            (job.ended().unwrap().report.as_ref().unwrap().is_sound(), job.healed())
        };
        assert_eq!(run(&|| Ok(0)), (false, 0));
        assert_eq!(run(&|| Err(crate::Error::conflict("no replica"))), (false, 0));
        let heal = || {
            put(&sound);
            Ok(1)
        };
        assert_eq!(run(&heal), (true, 1));
    }
}
