//! Taking from elsewhere what a damaged file has lost. The other place has every change up to a place, and the file has
//! those behind it. So the newest change of each lost row is known, if all of these can be read.
//!
//! Records from there are kept only for collections that then have the count, the bytes and the digest that they had
//! before the damage. Other rows are kept only if no change can be missing.

use super::elsewhere::{Elsewhere, TakesChanges, record_of};
use super::salvage::Reader;
use crate::engine::feed::{KeptFeed, is_local};
use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::frame::{self, State};
use crate::engine::format::row_change::{RowChange, changes};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::history::tally::{Contents, stats_of};
use crate::engine::meta;
use crate::engine::redb_file::scratch::Offered;
use crate::engine::wal::Layer;
use crate::error::Result;

fn add(sums: &mut Contents, row: &[u8], frame: &[u8]) -> Result<()> {
    let place = Place::of_record(row);
    let sum = sums.entry(place.collection).or_default();
    if let Some(payload) = frame::decode(place, frame)?.payload() {
        sum.merge(&stats_of(place.key, payload));
    }
    Ok(())
}

impl TakesChanges for Reader<'_> {
    fn begin(&mut self) -> Result<()> {
        Ok(self.sink.forget_offered()?)
    }

    fn take_change(&mut self, change: &RowChange<'_>) -> Result<()> {
        let RowChange { table, key, value, .. } = *change;
        // W1: the log has a newer value.
        if !self.lost.holds(table, key) || self.log.find(table, key).is_some() {
            return Ok(());
        }
        value.map_or(Ok(()), |value| frame::decode(table.place(key), value).map(drop))?;
        Ok(self.sink.offer(table, key, value)?)
    }
}

impl Reader<'_> {
    /// Takes from elsewhere what is lost, and can be proved.
    ///
    /// # Errors
    ///
    /// The errors of the other place.
    pub(super) fn heal(&mut self, elsewhere: &dyn Elsewhere) -> Result<()> {
        let feed = self.sink.found_row(Table::Meta, meta::FEED)?;
        let position = self.sink.found_row(Table::Meta, meta::FEED_POSITION)?;
        let feed = KeptFeed::read(feed.as_deref(), position.as_deref());
        // A damaged page may be an older one, whose rows are sound: then commits in between would be missing.
        let is_sure = |key| !self.lost.holds(Table::Meta, key);
        let feed = feed.filter(|_| is_sure(meta::FEED) && is_sure(meta::FEED_POSITION));
        let position = feed.as_ref().map(|feed| feed.position.as_slice());
        elsewhere.each_change(position, self)?;
        self.healed.complete = match &feed {
            None => {
                self.healed.notes.push("the file does not tell how far its replica has it".into());
                false
            }
            Some(feed) => self.offer_tail(feed)?,
        };
        self.prove_collections()?;
        self.take_offered()?;
        self.drop_removed()
    }

    /// The commits that the replica does not have; says whether all of them are there.
    fn offer_tail(&mut self, feed: &KeptFeed) -> Result<bool> {
        let mut after = feed.shipped_key();
        if !feed.is_kept() || self.lost.holds_behind(Table::Meta, &after, meta::OUTBOX) {
            self.healed.notes.push("commits that the replica does not have are not kept, or damaged".into());
            return Ok(false);
        }
        loop {
            let rows = self.sink.found_rows(Table::Meta, meta::OUTBOX, &after)?;
            let Some((last, _)) = rows.last() else { return Ok(true) };
            after.clone_from(last);
            for (key, bytes) in &rows {
                let commit = meta::payload(Table::Meta, key, bytes)?;
                changes(&commit).try_for_each(|change| self.take_change(&change?))?;
            }
        }
    }

    /// Finds the collections whose records, with those from elsewhere, are what they were.
    fn prove_collections(&mut self) -> Result<()> {
        self.healed.all_proved = true;
        for (collection, sum) in self.sums()? {
            if self.stats_before(collection)? == Some(sum) {
                self.healed.collections.insert(collection);
            } else {
                let name = collection.built_in_name().map_or_else(|| format!("#{}", collection.0), str::to_owned);
                self.healed.notes.push(format!("its records cannot be proved: collection={name}"));
                self.healed.all_proved = false;
            }
        }
        Ok(())
    }

    /// Count, bytes and digest of every collection, with the records from elsewhere.
    fn sums(&self) -> Result<Contents> {
        let mut sums = Contents::new();
        let known = self.sink.found_rows(Table::Meta, meta::STATS, meta::STATS)?;
        sums.extend(known.iter().filter_map(|(key, _)| Some((meta::stats_collection(key)?, Stats::default()))));
        self.sink.each_newest(|row, frame| {
            let is_replaced = self.lost.holds(Table::Live, row) && self.sink.is_offered(Table::Live, row)?;
            if is_replaced { Ok(()) } else { add(&mut sums, row, frame) }
        })?;
        let mut last = None;
        loop {
            let offered = self.sink.offered_after(last.as_ref())?;
            for Offered { table, key, frame } in &offered {
                match (table, frame) {
                    (Table::Live, Some(frame)) => add(&mut sums, key, frame)?,
                    (Table::Meta, _) => {
                        meta::stats_collection(key).map(|collection| sums.entry(collection).or_default());
                    }
                    _ => {}
                }
            }
            last = offered.into_iter().next_back();
            if last.is_none() {
                return Ok(sums);
            }
        }
    }

    /// Count, bytes and digest of a collection before the damage; none when nobody knows them.
    fn stats_before(&self, collection: CollectionId) -> Result<Option<Stats>> {
        let key = meta::stats_key(collection);
        let offered = if self.healed.complete { self.sink.offered(Table::Meta, &key)? } else { None };
        let stored = match offered {
            Some(offered) => offered.frame,
            None => self.sink.found_row(Table::Meta, &key)?,
        };
        let Some(stored) = stored else { return Ok(self.healed.complete.then(Stats::default)) };
        codec::decode(&meta::payload(Table::Meta, &key, &stored)?).map(Some)
    }

    /// Puts in the place of lost rows what was proved.
    fn take_offered(&mut self) -> Result<()> {
        let mut last = None;
        loop {
            let offered = self.sink.offered_after(last.as_ref())?;
            for Offered { table, key, frame } in &offered {
                if self.healed.covers(*table, key) && self.take_one(*table, key, frame.as_deref())? {
                    *self.healed.rows.entry(*table).or_default() += 1;
                }
            }
            last = offered.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    /// Drops rows that a damaged page still shows although they were removed: nobody has them who knows every change.
    /// Records are proved by their digests, and rows that say something about the file are nowhere else.
    fn drop_removed(&mut self) -> Result<()> {
        if !self.healed.complete {
            return Ok(());
        }
        for table in Table::ALL.into_iter().filter(|table| record_of(*table, &[]).is_none()) {
            let mut after = Vec::new();
            loop {
                let rows = self.sink.found_rows(table, &[], &after)?;
                let Some((last, _)) = rows.last() else { break };
                after.clone_from(last);
                for (key, _) in &rows {
                    let is_in_doubt = self.lost.holds(table, key) && !is_local(table, key);
                    if is_in_doubt && self.log.find(table, key).is_none() && !self.sink.is_offered(table, key)? {
                        self.sink.replace_row(table, key, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether this changed anything.
    fn take_one(&mut self, table: Table, key: &[u8], frame: Option<&[u8]>) -> Result<bool> {
        match table {
            // They follow from others.
            Table::Index | Table::PointIds => Ok(false),
            Table::Live | Table::Tombstones => {
                let found = self.sink.newest(key)?;
                if found.as_ref().map(|(_, found)| found.as_slice()) == frame {
                    return Ok(false);
                }
                if let Some(frame) = frame {
                    return self.take(table, key, frame, false).map(|()| true);
                }
                // The state that was found may be that of the other one of the two tables.
                let Some((birth, found)) = found else { return Ok(false) };
                let is_absent = matches!(frame::decode(Place::of_record(key), &found)?.state, State::Absent);
                if is_absent == (table == Table::Tombstones) {
                    self.sink.forget(key, birth)?;
                    return Ok(true);
                }
                Ok(false)
            }
            Table::PreImages => {
                let (Some(frame), Some(record)) = (frame, record_of(table, key)) else { return Ok(false) };
                let birth = frame::decode(table.place(key), frame)?.birth;
                let is_known = self.sink.is_found(record, birth)?;
                self.take(table, key, frame, false).map(|()| !is_known)
            }
            table => {
                frame.map_or(Ok(()), |frame| meta::payload(table, key, frame).map(drop))?;
                Ok(self.sink.replace_row(table, key, frame)?)
            }
        }
    }
}
