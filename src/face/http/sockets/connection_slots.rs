//! The slots of connections: how many there are, who has them, and who loses one when all are taken.
//!
//! A connection is idle while the service waits for the head of a request, and busy until its answer has been handed
//! over. When all slots are taken, a new connection gets that of an idle one: of the address with the most
//! connections, the one that has been idle for the longest. So slow heads without end keep nobody out but
//! themselves. The last slots are kept for probes: requests that would take them are refused, as are those of an
//! address that has half of all slots.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::face::http::sockets::client::Client;

/// Timeout for the rest of a head once it has begun.
pub(in crate::face::http) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A connection that became idle just now keeps its slot: its head may be on the way.
const GRACE: Duration = Duration::from_millis(100);
/// How long a connection that must end may still find that a request has come.
const LAST_LOOK: Duration = Duration::from_millis(20);
/// How often it is looked again for a slot while all connections are busy or have just become idle.
const AGAIN: Duration = Duration::from_millis(10);
/// How often an idle connection is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The slots of all connections. Clones share them.
#[derive(Clone, Debug)]
pub(in crate::face::http) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    count: usize,
    /// The slots that only probes may be busy on.
    kept: usize,
    /// Read and written by connections as they begin, end, and change between idle and busy.
    taken: Mutex<Taken>,
    /// A slot has become free, or a connection idle.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Entry>,
    leaving: usize,
    busy: usize,
    by_client: HashMap<Client, Crowd>,
}

/// The connections of a client.
#[derive(Debug, Default)]
struct Crowd {
    count: usize,
    busy: usize,
    /// The idle ones that keep their slots, by how long they have been idle: a crowd of thousands is not searched
    /// for each connection that comes.
    idle: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry {
    client: Client,
    state: ConnectionState,
    /// Another connection has its slot, unless a request comes after all.
    leaves: bool,
    ends: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    /// Waiting for a head; since when, and when its first byte came.
    Idle {
        since: Instant,
        begun: Option<Instant>,
    },
    Busy,
}

/// The slot of a connection. Clones are of the same one; it is free again once the last is dropped.
#[derive(Clone, Debug)]
pub(in crate::face::http) struct Slot(Arc<Own>);

#[derive(Debug)]
struct Own {
    slots: Slots,
    number: u64,
    client: Client,
    ends: Arc<Notify>,
}

/// A request in progress, or the rest of its answer. The connection is idle again once it is dropped.
#[derive(Debug)]
pub(in crate::face::http) struct Busy(Slot);

impl Slots {
    pub(in crate::face::http) fn new(count: usize) -> Self {
        let shared = Shared { count, kept: count / 16, taken: Mutex::default(), freed: Notify::new() };
        Self(Arc::new(shared))
    }

    /// A slot for a new connection. Waits while all connections are busy.
    pub(in crate::face::http) async fn take(&self, client: Client) -> Slot {
        loop {
            let freed = self.0.freed.notified();
            if let Some(slot) = self.try_take(client, GRACE) {
                return slot;
            }
            let _looks_again = tokio::time::timeout(AGAIN, freed).await;
        }
    }

    fn try_take(&self, client: Client, grace: Duration) -> Option<Slot> {
        let mut taken = self.0.taken.lock();
        if taken.count() >= self.0.count {
            let number = taken.longest_idle(grace)?;
            taken.evict(number);
        }
        let (number, ends) = (taken.next, Arc::new(Notify::new()));
        taken.next += 1;
        let since = Instant::now();
        let state = ConnectionState::Idle { since, begun: None };
        taken.by_number.insert(number, Entry { client, state, leaves: false, ends: ends.clone() });
        let crowd = taken.by_client.entry(client).or_default();
        crowd.count += 1;
        crowd.idle.insert((since, number));
        Some(Slot(Arc::new(Own { slots: self.clone(), number, client, ends })))
    }

    /// Whether so few slots are free that no client may keep an idle connection.
    pub(in crate::face::http) fn are_crowded(&self) -> bool {
        self.0.taken.lock().count() > self.0.count - self.0.count / 4
    }
}

impl Taken {
    /// How many slots are taken.
    fn count(&self) -> usize {
        self.by_number.len() - self.leaving
    }

    /// The connection that has been idle for the longest, among those of the client with the most connections.
    fn longest_idle(&self, grace: Duration) -> Option<u64> {
        let oldest = self.by_client.values().filter_map(|crowd| {
            let (since, number) = crowd.idle.first().filter(|(since, _)| since.elapsed() >= grace)?;
            Some((crowd.count, Reverse(*since), *number))
        });
        oldest.max().map(|(_, _, number)| number)
    }

    /// Lets an idle connection leave.
    fn evict(&mut self, number: u64) {
        let Some(entry) = self.by_number.get_mut(&number) else { return };
        if let (ConnectionState::Idle { since, .. }, Some(crowd)) = (entry.state, self.by_client.get_mut(&entry.client))
        {
            crowd.idle.remove(&(since, number));
        }
        entry.leaves = true;
        entry.ends.notify_one();
        self.leaving += 1;
    }

    /// A request of an idle connection begins.
    fn begin(&mut self, number: u64) {
        let Some(entry) = self.by_number.get_mut(&number) else { return };
        let ConnectionState::Idle { since, .. } = std::mem::replace(&mut entry.state, ConnectionState::Busy) else {
            return;
        };
        self.leaving -= usize::from(std::mem::take(&mut entry.leaves));
        self.busy += 1;
        if let Some(crowd) = self.by_client.get_mut(&entry.client) {
            crowd.idle.remove(&(since, number));
            crowd.busy += 1;
        }
    }

    /// A connection is idle again.
    fn end(&mut self, number: u64) {
        let Some(entry) = self.by_number.get_mut(&number).filter(|entry| entry.state == ConnectionState::Busy) else {
            return;
        };
        let since = Instant::now();
        entry.state = ConnectionState::Idle { since, begun: None };
        self.busy -= 1;
        if let Some(crowd) = self.by_client.get_mut(&entry.client) {
            crowd.idle.insert((since, number));
            crowd.busy -= 1;
        }
    }

    /// A connection has ended.
    fn remove(&mut self, number: u64) {
        self.end(number);
        let Some(Entry { client, state, leaves, .. }) = self.by_number.remove(&number) else { return };
        self.leaving -= usize::from(leaves);
        let Some(crowd) = self.by_client.get_mut(&client) else { return };
        if let ConnectionState::Idle { since, .. } = state {
            crowd.idle.remove(&(since, number));
        }
        crowd.count -= 1;
        if crowd.count == 0 {
            self.by_client.remove(&client);
        }
    }
}

impl Slot {
    /// A request begins. Without a slot for it, only a probe may.
    pub(in crate::face::http) fn busy(&self, is_probe: bool) -> Option<Busy> {
        let Shared { count, kept, taken, .. } = &*self.0.slots.0;
        let mut taken = taken.lock();
        let own = taken.by_client.get(&self.0.client).map(|crowd| crowd.busy).unwrap_or_default();
        let has_half = !self.0.client.is_local() && own >= count / 2;
        if !is_probe && (taken.busy >= count - kept || has_half) {
            return None;
        }
        taken.begin(self.0.number);
        Some(Busy(self.clone()))
    }

    /// The first bytes of a head have come.
    pub(super) fn head_begins(&self) {
        let mut taken = self.0.slots.0.taken.lock();
        if let Some(Entry { state: ConnectionState::Idle { begun, .. }, .. }) = taken.by_number.get_mut(&self.0.number)
        {
            begun.get_or_insert_with(Instant::now);
        }
    }

    /// Resolves when the connection must end: another one got its slot, or its head has taken too long.
    pub(in crate::face::http) async fn must_end(&self) {
        loop {
            if tokio::time::timeout(LOOK, self.0.ends.notified()).await.is_ok() {
                tokio::time::sleep(LAST_LOOK).await;
            }
            if self.leaves_or_is_late() {
                return;
            }
        }
    }

    fn leaves_or_is_late(&self) -> bool {
        let taken = self.0.slots.0.taken.lock();
        let Some(Entry { state, leaves, .. }) = taken.by_number.get(&self.0.number) else { return true };
        *leaves || matches!(state, ConnectionState::Idle { begun: Some(begun), .. } if begun.elapsed() > HEAD_WITHIN)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let shared = &self.0.0.slots.0;
        shared.taken.lock().end(self.0.0.number);
        shared.freed.notify_one();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let shared = &self.slots.0;
        shared.taken.lock().remove(self.number);
        shared.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client::User(number)
    }

    #[test]
    fn a_new_connection_gets_the_slot_of_the_longest_idle_one_of_the_client_with_the_most() {
        let slots = Slots::new(4);
        let (one, other) = (client(1), client(2));
        let first = slots.try_take(other, Duration::ZERO).unwrap();
        let crowd: Vec<_> = (0..3).map(|_| slots.try_take(one, Duration::ZERO).unwrap()).collect();
        let busy = crowd[0].busy(false).unwrap();
        let next = slots.try_take(other, Duration::ZERO).unwrap();
        let numbers = |slots: &Slots| {
            let taken = slots.0.taken.lock();
            let stay = taken.by_number.iter().filter(|(_, entry)| !entry.leaves);
            let mut numbers: Vec<_> = stay.map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(numbers(&slots), [first.0.number, crowd[0].0.number, crowd[2].0.number, next.0.number]);
        let late = crowd[1].busy(false).unwrap();
        assert_eq!(numbers(&slots).len(), 5, "a request came after all");
        drop((crowd, busy, late));
        assert_eq!(numbers(&slots), [first.0.number, next.0.number]);
        assert_eq!(slots.0.taken.lock().leaving, 0);
        assert_eq!(slots.0.taken.lock().busy, 0);
    }

    #[test]
    fn an_address_of_another_machine_has_half_of_the_slots_at_most() {
        let slots = Slots::new(8);
        let other = Client::Address("10.0.0.1".parse().unwrap());
        let busy = |client| {
            let slot = slots.try_take(client, Duration::ZERO).unwrap();
            slot.busy(false)
        };
        let mut held: Vec<_> = (0..4).map(|_| busy(other).unwrap()).collect();
        assert!(busy(other).is_none());
        assert!(busy(client(1)).is_some());
        held.pop();
        assert!(busy(other).is_some());
        drop(held);
        assert!(slots.0.taken.lock().by_client.is_empty());
    }

    #[test]
    fn the_last_slots_are_kept_for_probes_and_nobody_gets_the_slot_of_a_busy_connection() {
        let slots = Slots::new(32);
        let all: Vec<_> = (0..32).map(|_| slots.try_take(client(1), Duration::ZERO).unwrap()).collect();
        let mut busy: Vec<_> = all.iter().filter_map(|slot| slot.busy(false)).collect();
        assert_eq!(busy.len(), 30);
        let probe = all[31].busy(true);
        assert!(probe.is_some() && all[30].busy(false).is_none());
        let last = all[30].busy(true);
        assert!(slots.try_take(client(2), Duration::ZERO).is_none());
        drop(busy.pop());
        assert!(slots.try_take(client(2), Duration::ZERO).is_some());
        drop((probe, last));
    }
}
