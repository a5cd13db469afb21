//! The service's work beside its scheduler: it checks the free space before a backup, counts failures, and
//! runs a command of the operator's and tells a URL for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use serde_json::json;

use crate::clock::{Clock, show_time};
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::upkeep::work::{Attendant, Work};
use crate::service::free_space::FreeSpace;
use crate::service::setup::Setup;
use crate::service::shell::shell;
use crate::service::webhook::Webhook;

/// Looks after one store.
#[derive(Debug)]
pub(crate) struct Steward {
    store: PathBuf,
    clock: Arc<dyn Clock>,
    orders: RwLock<Orders>,
    failures: [AtomicU64; Work::ALL.len()],
    /// The reason why the service must end, if it must. Written once, by the thread that keeps the store open.
    end: OnceLock<ServiceEnd>,
}

/// The reason why a service ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceEnd {
    /// The store could not be opened again for too long.
    Closed(String),
    /// The store was a copy, and another program has promoted it.
    Promoted,
    /// The store was a copy, and a standby has put a new one in its place.
    Replaced,
}

/// Its settings. Read for every failure, written when the settings are reloaded.
#[derive(Debug)]
struct Orders {
    room: FreeSpace,
    command: Option<String>,
    webhook: Option<Webhook>,
}

impl Orders {
    fn of(setup: &Setup) -> Self {
        let (command, webhook) = (setup.on_failure.clone(), setup.failure_url.clone());
        Self { room: FreeSpace::new(setup.min_free), command, webhook }
    }
}

impl Steward {
    pub(crate) fn new(store: &Store, setup: &Setup) -> Self {
        Self {
            store: absolute(store.path()),
            clock: store.clock().clone(),
            orders: RwLock::new(Orders::of(setup)),
            failures: Default::default(),
            end: OnceLock::new(),
        }
    }

    /// Does as `setup` says from now on.
    pub(crate) fn renew(&self, setup: &Setup) {
        *self.orders.write() = Orders::of(setup);
    }

    /// The reason why the service must end, if it must.
    pub(crate) fn end(&self) -> Option<&ServiceEnd> {
        self.end.get()
    }

    /// How often a sort of work has failed since the service began.
    pub(crate) fn failures(&self, work: Work) -> u64 {
        self.failures.get(work as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Notifies the command and the URL of the settings.
    fn tell(&self, work: Work, error: &str) {
        self.run_command(work, error);
        let webhook = self.orders.read().webhook.clone();
        if let Some(webhook) = webhook {
            let store = self.store.to_string_lossy();
            webhook.tell(&json!({
                "timestamp": show_time(self.clock.now()),
                "event": format!("{}_failed", work.as_str()),
                "details": {"error": error, "store": store},
            }));
        }
    }

    /// Runs the operator's command in a thread of its own, so that nothing waits for it.
    fn run_command(&self, work: Work, error: &str) {
        let Some(command) = self.orders.read().command.clone() else { return };
        let mut shell = shell(&command);
        shell
            .env("HIVEKEEP_FAILED", work.as_str())
            .env("HIVEKEEP_ERROR", error)
            .env("HIVEKEEP_FAILED_STORE", &self.store);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        let run = move || match shell.status() {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(%status, "the command for failures has failed"),
            Err(error) => tracing::warn!(%error, "the command for failures could not be run"),
        };
        if let Err(error) = std::thread::Builder::new().name("hivekeep-on-failure".into()).spawn(run) {
            tracing::warn!(%error, "the command for failures could not be run");
        }
    }
}

impl Attendant for Steward {
    fn before_backup(&self, store: &Store) -> Result<()> {
        self.orders.read().room.for_point(store)
    }

    fn failed(&self, work: Work, error: &str) {
        if let Some(count) = self.failures.get(work as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.tell(work, error);
    }

    fn gave_up(&self, error: &str) {
        self.end.get_or_init(|| ServiceEnd::Closed(error.to_owned()));
        self.tell(Work::Reopen, error);
    }

    fn copy_promoted(&self) {
        self.end.get_or_init(|| ServiceEnd::Promoted);
    }

    fn copy_replaced(&self) {
        self.end.get_or_init(|| ServiceEnd::Replaced);
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
