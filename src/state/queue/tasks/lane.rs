//! The lanes of ready tasks.

use std::collections::BTreeSet;

use crate::engine::records::KeyRange;
use crate::error::Result;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::tasks::row_key::{AND, BEHIND_NAMES, END, Key, QUEUE, READY, behind_name, wrong};
use crate::state::queue::tasks::task::Priority;

/// Ready tasks that the same bots may claim: they have the same assignee, or none, and require the same capabilities. A
/// claim looks only at the heads of the lanes that are open to its bot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::state::queue) struct Lane(Key);

impl Lane {
    /// The lane of tasks with that assignee and those capabilities.
    pub(in crate::state::queue) fn of(assignee: Option<&BotId>, capabilities: &BTreeSet<String>) -> Self {
        let head = Self::lanes_of(assignee);
        let all = capabilities.iter().fold(head, |key, capability| key.bytes(capability.as_bytes()).byte(AND));
        Self(all.byte(END))
    }

    /// The lane of a row of a ready task.
    pub(in crate::state::queue) fn of_row(row: &[u8]) -> Result<Self> {
        let [QUEUE, READY, rest @ ..] = row else { return Err(wrong(row)) };
        let behind = behind_name(rest).and_then(behind_name).ok_or_else(|| wrong(row))?;
        let lane = row.get(..row.len() - behind.len()).unwrap_or_default();
        Ok(Self(Key(lane.to_vec())))
    }

    /// The assignee, if there is one, and the required capabilities.
    pub(in crate::state::queue) fn asks_for(&self) -> Result<(Option<BotId>, BTreeSet<String>)> {
        let wrong = || wrong(&self.0.0);
        let name = |bytes: &[u8]| str::from_utf8(bytes).map(str::to_owned).map_err(|_| wrong());
        let [QUEUE, READY, rest @ ..] = self.0.0.as_slice() else { return Err(wrong()) };
        let asked = behind_name(rest).ok_or_else(wrong)?;
        let assignee = rest.get(..rest.len() - asked.len() - 1).unwrap_or_default();
        let assignee = if assignee.is_empty() { None } else { Some(BotId::new(name(assignee)?).map_err(|_| wrong())?) };
        let asked = asked.strip_suffix(&[END]).ok_or_else(wrong)?;
        let asked = asked.split(|byte| *byte == AND).filter(|asked| !asked.is_empty()).map(name);
        Ok((assignee, asked.collect::<Result<_>>()?))
    }

    /// The start of the rows after its own.
    pub(in crate::state::queue) fn behind(&self) -> Vec<u8> {
        let mut end = self.0.0.clone();
        end.pop();
        Key(end).byte(AND).0
    }

    /// The beginning of the keys of an assignee's lanes.
    pub(in crate::state::queue) fn lanes_of(assignee: Option<&BotId>) -> Key {
        Key::of(READY).name(assignee.map(BotId::as_bytes).unwrap_or_default())
    }

    /// Whether `row`, of a lane under `head`, is in a lane that is open to a bot with the capabilities `able`;
    /// otherwise the start of the next lane that can be open.
    pub(in crate::state::queue) fn find(head: &Key, row: &[u8], able: &BTreeSet<String>) -> Result<FoundLane> {
        let rest = row.strip_prefix(head.0.as_slice()).ok_or_else(|| wrong(row))?;
        let end = rest.iter().position(|byte| *byte == END).ok_or_else(|| wrong(row))?;
        let asked = rest.get(..end).unwrap_or_default();
        let mut key = head.clone();
        for capability in asked.split(|byte| *byte == AND).filter(|name| !name.is_empty()) {
            let name = str::from_utf8(capability).map_err(|_| wrong(row))?;
            if !able.contains(name) {
                let next = able.range::<str, _>((std::ops::Bound::Excluded(name), std::ops::Bound::Unbounded)).next();
                return Ok(FoundLane::Closed {
                    next: match next {
                        Some(next) => key.bytes(next.as_bytes()).0,
                        None => key.byte(BEHIND_NAMES).0,
                    },
                });
            }
            key = key.bytes(capability).byte(AND);
        }
        let next = key.clone().byte(AND).0;
        Ok(FoundLane::Open { lane: Self(key.byte(END)), next })
    }

    /// The rows of the lane, in the order of claims.
    pub(in crate::state::queue) fn rows(&self) -> KeyRange {
        self.0.clone().range()
    }

    /// The rows of one priority from that sequence on.
    pub(in crate::state::queue) fn rows_from(&self, priority: Priority, sequence: u64) -> KeyRange {
        self.0.clone().byte(priority as u8).range().from(&self.clone().place(priority, sequence).0)
    }

    /// Its bytes in a cursor; [`of_row`](Self::of_row) reads them back.
    pub(in crate::state::queue) fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// The priority and the sequence number of a row, and its task.
    pub(in crate::state::queue) fn place_of(&self, row: &[u8]) -> Result<(u8, u64, TaskId)> {
        let rest = row.strip_prefix(self.0.0.as_slice()).and_then(|rest| rest.split_first());
        let (priority, rest) = rest.ok_or_else(|| wrong(row))?;
        let (sequence, id) = rest.split_first_chunk::<8>().ok_or_else(|| wrong(row))?;
        Ok((*priority, u64::from_be_bytes(*sequence), TaskId::from_key(id)?))
    }

    pub(in crate::state::queue) fn place(self, priority: Priority, sequence: u64) -> Key {
        self.0.byte(priority as u8).number(sequence)
    }
}

/// The lane of a ready task's row, for a bot with given capabilities.
pub(in crate::state::queue) enum FoundLane {
    /// The bot may claim from the lane.
    Open {
        /// The lane.
        lane: Lane,
        /// The start of the rows of the lanes after it.
        next: Vec<u8>,
    },
    /// The bot lacks a capability.
    Closed {
        /// The start of the rows of the next lane that can be open to it.
        next: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lane_is_open_to_bots_that_can_all_that_it_asks_for() {
        let head = Lane::lanes_of(None);
        let row = |asked: &[&str]| Lane::of(None, &names(asked)).place(Priority::P0, 7).0;
        for (asked, able, open) in [
            (&[][..], &[][..], true),
            (&["a"], &[], false),
            (&["a"], &["a", "b"], true),
            (&["a", "c"], &["a", "b"], false),
            (&["a", "b"], &["a", "b"], true),
        ] {
            let found = Lane::find(&head, &row(asked), &names(able)).unwrap();
            assert_eq!(matches!(found, FoundLane::Open { .. }), open, "{asked:?} for {able:?}");
        }
    }

    #[test]
    fn the_way_to_the_next_lane_passes_over_none_that_is_open() {
        let all = ["", "a", "a b", "a b c", "a c", "ab", "b", "b c", "c", "é"]
            .map(|lane| lane.split(' ').filter(|name| !name.is_empty()).map(str::to_string).collect::<BTreeSet<_>>());
        let head = Lane::lanes_of(None);
        let mut rows: Vec<_> = all.iter().map(|lane| Lane::of(None, lane).place(Priority::P1, 1).0).collect();
        rows.sort();
        for able in &all {
            let (mut open, mut from) = (Vec::new(), Vec::new());
            while let Some(row) = rows.iter().find(|row| **row >= from) {
                from = match Lane::find(&head, row, able).unwrap() {
                    FoundLane::Open { lane, next } => {
                        open.push(lane);
                        next
                    }
                    FoundLane::Closed { next } => next,
                };
                assert!(from > *row, "the way goes forward");
            }
            let expected: Vec<_> = all.iter().filter(|lane| lane.is_subset(able)).collect();
            assert_eq!(open.len(), expected.len(), "{able:?}");
            for lane in expected {
                assert!(open.contains(&Lane::of(None, lane)));
            }
        }
    }
}
