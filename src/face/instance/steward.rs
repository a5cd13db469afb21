//! What a service does beside its scheduler's work: it asks whether there is room before a backup, counts failures, and
//! runs a command of the operator's and tells a URL for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::clock::{Clock, show_time};
use crate::engine::store::Store;
use crate::error::Result;
use crate::face::instance::Setup;
use crate::face::instance::room::Room;
use crate::face::instance::webhook::Webhook;
use crate::face::shell::shell;
use crate::recovery::scheduler::{Attendant, Work};

/// Looks after one store.
#[derive(Debug)]
pub(crate) struct Steward {
    store: PathBuf,
    clock: Arc<dyn Clock>,
    room: Room,
    command: Option<String>,
    webhook: Option<Webhook>,
    failures: [AtomicU64; Work::ALL.len()],
}

impl Steward {
    pub(crate) fn new(store: &Store, room: Room, setup: &Setup) -> Self {
        Self {
            store: absolute(store.path()),
            clock: store.clock().clone(),
            room,
            command: setup.on_failure.clone(),
            webhook: setup.failure_url.clone(),
            failures: Default::default(),
        }
    }

    /// How often a sort of work has failed since the service began.
    pub(crate) fn failures(&self, work: Work) -> u64 {
        self.failures.get(work as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Runs the operator's command in a thread of its own, so that nothing waits for it.
    fn run_command(&self, work: Work, error: &str) {
        let Some(command) = &self.command else { return };
        let mut shell = shell(command);
        shell
            .env("HIVEKEEP_FAILED", work.as_str())
            .env("HIVEKEEP_ERROR", error)
            .env("HIVEKEEP_FAILED_STORE", &self.store);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        let run = move || match shell.status() {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(%status, "the command for failures failed itself"),
            Err(error) => tracing::warn!(%error, "the command for failures could not be run"),
        };
        if let Err(error) = std::thread::Builder::new().name("hivekeep-on-failure".into()).spawn(run) {
            tracing::warn!(%error, "the command for failures could not be run");
        }
    }
}

impl Attendant for Steward {
    fn before_backup(&self, store: &Store) -> Result<()> {
        self.room.for_point(store)
    }

    fn failed(&self, work: Work, error: &str) {
        if let Some(count) = self.failures.get(work as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.run_command(work, error);
        if let Some(webhook) = &self.webhook {
            let store = self.store.to_string_lossy();
            webhook.tell(&json!({
                "timestamp": show_time(self.clock.now()),
                "event": format!("{}_failed", work.as_str()),
                "details": {"error": error, "store": store},
            }));
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
