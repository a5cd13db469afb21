//! Limits the concurrent connections, and how many of them may wait for a task, so that waiting bots never block the
//! service for all other clients.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::face::http::sockets::connection_slots::Slots;

/// Maximum number of connections, if the process may open enough files.
const CONNECTIONS: usize = 2_048;
/// File descriptors that are reserved for everything else: the store, its copies, commands.
const OTHER_DESCRIPTORS: usize = 128;
/// Minimum number of connections, however few file descriptors there are.
const FEWEST: usize = 16;

/// Semaphores for connections and waiting claims. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::face::http) struct ConnectionLimit {
    slots: Slots,
    /// One permit for each waiting claim; half as many as connections.
    waiting: Arc<Semaphore>,
    /// The same for clients that have closed their half and may be gone; an eighth.
    waiting_ended: Arc<Semaphore>,
}

/// A permit; released when it is dropped.
pub(in crate::face::http) type Permit = OwnedSemaphorePermit;

impl ConnectionLimit {
    /// As many connections as this process may have.
    pub(in crate::face::http) fn of_this_process() -> Self {
        Self::new(beside_all_else(descriptors()))
    }

    pub(in crate::face::http) fn new(connections: usize) -> Self {
        Self {
            slots: Slots::new(connections),
            waiting: Arc::new(Semaphore::new(connections / 2)),
            waiting_ended: Arc::new(Semaphore::new(connections / 8)),
        }
    }

    /// The slots of connections.
    pub(in crate::face::http) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// A permit to wait, if one is free.
    pub(in crate::face::http) fn to_wait(&self) -> Option<Permit> {
        self.waiting.clone().try_acquire_owned().ok()
    }

    /// The same for a client that has closed its half and may be gone.
    pub(in crate::face::http) fn to_wait_ended(&self) -> Option<Permit> {
        self.waiting_ended.clone().try_acquire_owned().ok()
    }

    /// Whether so few permits are free that no client may keep an idle connection.
    pub(in crate::face::http) fn are_crowded(&self) -> bool {
        self.slots.are_crowded()
    }
}

/// How many of a number of file descriptors are for connections.
fn beside_all_else(descriptors: usize) -> usize {
    descriptors.saturating_sub(OTHER_DESCRIPTORS).clamp(FEWEST, CONNECTIONS)
}

/// How many descriptors the process may have. Where it may have more than it has, it takes as many as it can use.
#[cfg(unix)]
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = (CONNECTIONS + OTHER_DESCRIPTORS) as u64;
    let limit = getrlimit(Resource::Nofile);
    let reachable = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let current = limit.current.unwrap_or(wanted);
    let raised = || setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), ..limit }).is_ok();
    let may_have = if current < reachable && raised() { reachable } else { current };
    usize::try_from(may_have).unwrap_or(usize::MAX)
}

/// How many descriptors the process may have.
#[cfg(not(unix))]
fn descriptors() -> usize {
    CONNECTIONS + OTHER_DESCRIPTORS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::http::sockets::client::Client;

    #[test]
    fn connections_leave_file_descriptors_for_everything_else() {
        for (descriptors, connections) in [(0, FEWEST), (256, 128), (1_024, 896), (usize::MAX, CONNECTIONS)] {
            assert_eq!(beside_all_else(descriptors), connections, "{descriptors}");
        }
        assert!(descriptors() >= FEWEST);
    }

    #[test]
    fn half_of_the_connections_may_wait_and_the_last_quarter_is_never_idle() {
        let limit = ConnectionLimit::new(8);
        let waiting: Vec<_> = std::iter::from_fn(|| limit.to_wait()).collect();
        assert_eq!(waiting.len(), 4);
        drop(waiting);
        assert!(limit.to_wait().is_some());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let taken: Vec<_> = (0..7)
            .map(|taken| {
                assert_eq!(limit.are_crowded(), taken > 6, "{taken}");
                runtime.block_on(limit.slots().take(Client::Others))
            })
            .collect();
        assert!(limit.are_crowded());
        drop(taken);
        assert!(!limit.are_crowded());
    }
}
