//! Appends, lists and purges entries.

use jiff::Timestamp;

use super::entry::{AskedBy, Entry, NewEntry};
use super::trail::{EntryHash, Link, Trail, missing};
use crate::engine::codec;
use crate::engine::records::{Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::ids::BotId;
use crate::state::page::{Page, sequence_key};

/// The most entries that one call of purge removes, so that no writer waits for long.
const PURGED_AT_ONCE: u64 = 1000;
/// The most entries after an entry from the future that are searched for one with a plausible time.
const AHEAD_AT_MOST: usize = 10_000;

/// The audit trail. A view of a point shows the present trail.
#[derive(Debug)]
pub struct Audit<R> {
    pub(super) records: R,
}

impl View {
    /// The present audit trail, even in a view of a point.
    pub fn audit(&self) -> Audit<&Self> {
        Audit { records: self }
    }
}

impl WriteTx<'_> {
    /// The audit trail, to read and to append to. Entries are committed together with the other changes of the
    /// transaction, or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{NewEntry, Page};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.write(|tx| tx.audit().append(NewEntry::new("deploy", "BOT-222")))?;
    /// let view = store.view()?;
    /// assert_eq!(view.audit().list(Page::newest(10))?[0].actor, "BOT-222");
    /// assert!(view.audit().verify()?.findings.is_empty());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn audit(&mut self) -> Audit<&mut Self> {
        Audit { records: self }
    }
}

#[expect(private_bounds, reason = "only views and transactions can be read from")]
impl<R: Records> Audit<R> {
    /// The entry with that number.
    ///
    /// # Errors
    ///
    /// `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn get(&self, sequence: u64) -> Result<Option<Entry>> {
        let payload = self.records.row(Table::Audit, &sequence_key(sequence))?;
        payload.map(|payload| codec::decode(&payload)).transpose()
    }

    /// A page of entries.
    ///
    /// # Errors
    ///
    /// `Damaged` when an entry's bytes differ from the written ones, `Io`.
    pub fn list(&self, page: Page) -> Result<Vec<Entry>> {
        let rows = self.records.rows(Table::Audit, &page.range(&[]), page.limit())?;
        rows.into_iter().map(|(_, payload)| codec::decode(&payload)).collect()
    }

    /// The number and hash of the newest entry; number 0 while there was none.
    ///
    /// If you store it elsewhere, it proves later that no entry up to it was changed, even by somebody who can write to
    /// the store.
    ///
    /// # Errors
    ///
    /// `Damaged` when its bytes differ from the written ones, `Io`.
    pub fn head(&self) -> Result<Link> {
        Ok(Trail::read(&self.records)?.head)
    }
}

impl Audit<&mut WriteTx<'_>> {
    /// Appends an entry. Returns its number.
    ///
    /// # Errors
    ///
    /// `Invalid` when something is longer than its [limit](crate#limits), `Damaged` when the end of the chain is not
    /// what was written, `Io`; `Forbidden` for an entry of another bot than the one that writes it.
    pub fn append(&mut self, entry: NewEntry) -> Result<u64> {
        let asked_by = self.records.actor().map(AskedBy::told);
        if asked_by.as_ref().is_some_and(|asked_by| asked_by.bot.is_some()) {
            self.records.refuse_other_bot(&BotId::new(entry.actor.as_str())?)?;
        }
        self.append_for(entry, asked_by)
    }

    pub(super) fn append_for(&mut self, entry: NewEntry, asked_by: Option<AskedBy>) -> Result<u64> {
        entry.check()?;
        // A1: its number is the next one, and it has the hash of the entry before.
        let mut chain = Trail::read(&self.records)?;
        let recorded = self.records.now();
        let entry = Entry {
            sequence: chain.head.sequence.saturating_add(1),
            at: entry.at.unwrap_or(recorded),
            recorded,
            action: entry.action,
            actor: entry.actor,
            target: entry.target,
            level: entry.level,
            result: entry.result,
            details: entry.details,
            original: entry.original,
            previous: chain.head.hash,
            asked_by,
        };
        let payload = codec::encode(&entry)?;
        self.records.put_row(Table::Audit, &sequence_key(entry.sequence), &payload)?;
        chain.head = Link { sequence: entry.sequence, hash: EntryHash::of(&payload) };
        chain.write(self.records)?;
        Ok(entry.sequence)
    }

    /// Removes the oldest entries that were recorded before `time`, at most 1,000 of them. Returns their number; call
    /// it again until it returns 0. The remaining entries can still be verified. An entry from the future was recorded
    /// while the clock was ahead, so it is removed together with the next entry that was not.
    ///
    /// # Errors
    ///
    /// `Damaged` when an entry is missing or its bytes differ from the written ones, `Io`.
    pub fn purge(&mut self, time: Timestamp) -> Result<u64> {
        let mut chain = Trail::read(&self.records)?;
        let mut count = 0;
        while count < PURGED_AT_ONCE && chain.purged.sequence < chain.head.sequence {
            let sequence = chain.purged.sequence.saturating_add(1);
            if chain.is_lost(sequence) {
                // The entry behind a lost one is not chained to it.
                chain.purged.sequence = sequence;
                count += 1;
                continue;
            }
            let payload = self.records.row(Table::Audit, &sequence_key(sequence))?;
            let payload = payload.ok_or_else(|| missing(sequence))?;
            let recorded = codec::decode::<Entry>(&payload)?.recorded;
            if recorded >= time && !self.is_older_than_it_says(sequence, recorded, time)? {
                break;
            }
            self.records.remove_row(Table::Audit, &sequence_key(sequence))?;
            chain.purged = Link { sequence, hash: EntryHash::of(&payload) };
            count += 1;
        }
        if count > 0 {
            chain.write(self.records)?;
        }
        Ok(count)
    }

    /// Whether an entry was recorded while the clock was ahead, and a later one was recorded before `time`.
    fn is_older_than_it_says(&self, sequence: u64, recorded: Timestamp, time: Timestamp) -> Result<bool> {
        let now = self.records.now();
        if recorded <= now {
            return Ok(false);
        }
        let later = Page::oldest(AHEAD_AT_MOST).after(sequence).range(&[]);
        for row in scan_rows(&self.records, Table::Audit, later).take(AHEAD_AT_MOST) {
            let later = codec::decode::<Entry>(&row?.1)?.recorded;
            if later <= now {
                return Ok(later < time);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::error::{Error, ErrorKind};
    use crate::state::audit::Level;
    use crate::testkit::checked_store::Fixture;

    /// A store with so many entries, one recorded each second.
    pub(in crate::state::audit) fn entries(count: u64) -> Fixture {
        let test = Fixture::new();
        for n in 1..=count {
            test.write(|tx| tx.audit().append(NewEntry::new(format!("action {n}"), "tester")));
            test.pass(1);
        }
        test
    }

    /// The findings of its verification.
    pub(in crate::state::audit) fn findings(test: &Fixture) -> Vec<String> {
        test.view().audit().verify().unwrap().findings.iter().map(ToString::to_string).collect()
    }

    fn numbers(view: &View, page: Page) -> Vec<u64> {
        view.audit().list(page).unwrap().iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn an_entry_is_stored_in_these_bytes() {
        let entry = Entry {
            sequence: 7,
            at: Timestamp::from_microsecond(5).unwrap(),
            recorded: Timestamp::from_microsecond(6).unwrap(),
            action: "a".into(),
            actor: "b".into(),
            target: Some("t".into()),
            level: Level::Warning,
            result: None,
            details: serde_json::json!({"n": 1}),
            original: Some("o".into()),
            previous: EntryHash::default(),
            asked_by: None,
        };
        let bytes = codec::encode(&entry).unwrap();
        assert_eq!(
            bytes,
            [b"\x01\x07\x0a\x0c\x01a\x01b\x01\x01t\x01\x00\x07{\"n\":1}\x01\x01o", &[0; 32][..]].concat()
        );
        assert_eq!(codec::decode::<Entry>(&bytes).unwrap(), entry);
        let asked_by = AskedBy {
            actor: "k".into(),
            bot: Some("b".into()),
            address: Some("::1".into()),
            request_id: None,
            told: true,
        };
        let asked = Entry { asked_by: Some(asked_by), ..entry };
        let newer = codec::encode(&asked).unwrap();
        assert_eq!(newer, [b"\x02", &bytes[1..], b"\x01\x01k\x01\x01b\x01\x03::1\x00\x01"].concat());
        assert_eq!(codec::decode::<Entry>(&newer).unwrap(), asked);
    }

    #[test]
    fn entries_are_numbered_and_paged_from_either_end() {
        let test = entries(5);
        let view = test.view();
        assert_eq!(numbers(&view, Page::newest(2)), [5, 4]);
        assert_eq!(numbers(&view, Page::newest(2).before(4)), [3, 2]);
        assert_eq!(numbers(&view, Page::oldest(9).after(3)), [4, 5]);
        let second = view.audit().get(2).unwrap().unwrap();
        assert_eq!((second.action.as_str(), second.actor.as_str(), second.level), ("action 2", "tester", Level::Info));
        assert_eq!(second.at, second.recorded);
        assert_eq!(view.audit().get(6).unwrap(), None);
    }

    #[test]
    fn an_entry_that_was_taken_over_keeps_its_own_time_and_text() {
        let test = Fixture::new();
        let at: Timestamp = "2025-10-16T12:00:00Z".parse().unwrap();
        let original = Some("{\"ts\": 1}".to_owned());
        test.write(|tx| {
            tx.audit().append(NewEntry {
                at: Some(at),
                original: original.clone(),
                ..NewEntry::new("session_start", "bot")
            })
        });
        let entry = test.view().audit().get(1).unwrap().unwrap();
        assert_eq!((entry.at, entry.original), (at, original));
        assert!(entry.recorded > at);
    }

    #[test]
    fn a_closure_that_fails_appends_nothing_and_uses_no_number() {
        let test = entries(1);
        let failed = test.store.write(|tx| {
            tx.audit().append(NewEntry::new("never", "tester"))?;
            Err::<(), _>(Error::conflict("changed my mind"))
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(test.write(|tx| tx.audit().append(NewEntry::new("next", "tester"))), 2);
        assert_eq!(test.view().audit().verify().unwrap().findings, []);
    }

    #[test]
    fn the_trail_is_the_same_whatever_point_is_viewed() {
        let test = entries(1);
        let point = test.seal();
        test.write(|tx| tx.audit().append(NewEntry::new("later", "tester")));
        assert_eq!(numbers(&test.view_at(point), Page::newest(9)), [2, 1]);
    }

    #[test]
    fn purging_removes_the_oldest_by_the_time_they_were_recorded_and_leaves_a_sound_chain() {
        let test = entries(5);
        let old = NewEntry { at: Some(Timestamp::UNIX_EPOCH), ..NewEntry::new("taken over", "tester") };
        test.write(|tx| tx.audit().append(old));
        let third = test.view().audit().get(3).unwrap().unwrap().recorded;
        assert_eq!(test.write(|tx| tx.audit().purge(third)), 2);
        assert_eq!(test.write(|tx| tx.audit().purge(third)), 0);
        assert_eq!(numbers(&test.view(), Page::oldest(9)), [3, 4, 5, 6]);
        let report = test.view().audit().verify().unwrap();
        assert_eq!((report.entries, report.findings), (4, vec![]));
        assert_eq!(test.write(|tx| tx.audit().purge(Timestamp::MAX)), 4);
        assert_eq!(test.write(|tx| tx.audit().append(NewEntry::new("after all", "tester"))), 7);
        assert_eq!(test.view().audit().verify().unwrap().findings, []);
    }

    #[test]
    fn an_entry_recorded_by_a_clock_that_was_ahead_goes_with_those_around_it() {
        let test = entries(2);
        let year = std::time::Duration::from_secs(365 * 86_400);
        let right = test.clock.now();
        test.clock.advance(year);
        test.write(|tx| tx.audit().append(NewEntry::new("ahead", "tester")));
        test.write(|tx| tx.audit().append(NewEntry::new("ahead, too", "tester")));
        test.clock.set(right);
        test.write(|tx| tx.audit().append(NewEntry::new("right again", "tester")));
        test.pass(1);
        // Later entries may go no sooner, and before any came, nobody can tell.
        assert_eq!(test.write(|tx| tx.audit().purge(right)), 2);
        assert_eq!(test.write(|tx| tx.audit().purge(test.clock.now())), 3);
        test.clock.advance(year);
        test.write(|tx| tx.audit().append(NewEntry::new("ahead", "tester")));
        test.clock.set(right);
        assert_eq!(test.write(|tx| tx.audit().purge(right)), 0);
        assert_eq!(test.view().audit().verify().unwrap().findings, []);
    }

    #[test]
    fn one_call_of_purge_removes_no_more_than_it_says() {
        let test = Fixture::new();
        test.write(|tx| (0..=PURGED_AT_ONCE).try_for_each(|_| tx.audit().append(NewEntry::new("a", "b")).map(drop)));
        let later = test.clock.now() + jiff::SignedDuration::from_secs(1);
        assert_eq!(test.write(|tx| tx.audit().purge(later)), PURGED_AT_ONCE);
        assert_eq!(test.write(|tx| tx.audit().purge(later)), 1);
    }
}
