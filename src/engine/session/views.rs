//! The open views of this process, and their ages. The file cannot reuse pages that were freed since the oldest began.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

/// The open views of a store. Beginning and ending a view writes it; asking for the oldest reads it.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    since: BTreeMap<u64, Timestamp>,
}

/// An open view; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    views: Arc<Views>,
    number: u64,
}

impl Views {
    /// Notes that a view begins.
    pub(crate) fn begin(views: &Arc<Self>, now: Timestamp) -> Ticket {
        let mut open = views.0.lock();
        let number = open.next;
        open.next += 1;
        open.since.insert(number, now);
        Ticket { views: views.clone(), number }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().since.len() as u64
    }

    /// When the oldest open view began.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.0.lock().since.values().next().copied()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.views.0.lock().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_view_is_that_which_began_first_of_those_that_are_open() {
        let (views, at) = (Arc::<Views>::default(), |second| Timestamp::from_second(second).unwrap());
        let [first, second] = [1, 2].map(|second| Views::begin(&views, at(second)));
        assert_eq!(views.oldest(), Some(at(1)));
        drop(first);
        assert_eq!(views.oldest(), Some(at(2)));
        drop(second);
        assert_eq!(views.oldest(), None);
    }
}
