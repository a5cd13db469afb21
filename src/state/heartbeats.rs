//! Heartbeats of bots, gathered: they say that a bot lives, and are not worth a sync each.

use jiff::Timestamp;

use crate::clock::as_stored;
use crate::engine::buffered::{BufferedRows, Next};
use crate::engine::codec;
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::state::ids::BotId;
use crate::state::registry::{Heartbeat, unknown};

impl Store {
    /// Records a heartbeat of a bot. Returns the time.
    ///
    /// Heartbeats are gathered and written together, so that those of thousands of bots cost one commit a second: by
    /// [`upkeep`](Store::upkeep), which a [`Scheduler`](crate::Scheduler) does every second, by a heartbeat that comes
    /// when a second is over, and when the store is closed or dropped. Views of this process show them at once. They
    /// are not durable before they are written: a crash takes them back, and other processes do not see them.
    ///
    /// # Errors
    ///
    /// `NotFound` when no such bot is registered; `Forbidden` when the actor is another bot; `Conflict` when the store
    /// was opened for reading only; as [`Store::write`] when this one writes those of all, which are then tried again.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Bot, BotId, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::open(dir.path().join("hive.redb"))?;
    /// let id = BotId::new("BOT-222")?;
    /// store.write(|tx| tx.registry().put(&Bot::new(id.clone())))?;
    /// let at = store.heartbeat(&id)?;
    /// assert_eq!(store.view()?.registry().get(&id)?.unwrap().last_heartbeat, Some(at));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn heartbeat(&self, bot: &BotId) -> Result<Timestamp> {
        self.refuse_unless_writable()?;
        self.refuse_other_bot(bot)?;
        if self.view()?.get(CollectionId::REGISTRY, bot.as_bytes())?.is_none() {
            return Err(unknown(bot));
        }
        let at = as_stored(self.clock().now());
        match self.buffered()?.add(at, bot.as_bytes(), codec::encode(&Heartbeat { at })?) {
            Next::Begin => self.at_close(Box::new(|tx| {
                // A damaged bot must not make a clean end look like a crash.
                if let Err(error) = tx.write_heartbeats() {
                    tracing::warn!(%error, "the last heartbeats could not be written");
                }
                Ok(())
            })),
            Next::Wait => {}
            Next::Write => self.write_heartbeats()?,
        }
        Ok(at)
    }

    /// Writes the heartbeats that were gathered.
    pub(crate) fn write_heartbeats(&self) -> Result<()> {
        if self.buffered()?.is_empty() {
            return Ok(());
        }
        let written = self.write(|tx| tx.write_heartbeats())?;
        self.buffered()?.written(&written);
        Ok(())
    }
}

impl WriteTx<'_> {
    /// Writes the buffered heartbeats, and returns them. Bots that have been removed since are skipped. Damaged bots
    /// are skipped too, so that they do not block the others.
    fn write_heartbeats(&mut self) -> Result<BufferedRows> {
        let rows = self.context.buffered.rows();
        for (bot, heartbeat) in &rows {
            match self.get(CollectionId::REGISTRY, bot) {
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                known => known.and_then(|_| self.put_row(Table::Liveness, bot, heartbeat))?,
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::indexes::INDEXES;
    use crate::state::registry::Bot;
    use crate::testkit::checked_store::{Fixture, time};

    fn id(number: u32) -> BotId {
        BotId::new(format!("BOT-{number}")).unwrap()
    }

    /// A hive with three bots, and another process that looks at it.
    fn hive() -> (Fixture, Store) {
        let hive = Fixture::new();
        hive.write(|tx| (0..3).try_for_each(|number| tx.registry().put(&Bot::new(id(number)))));
        let other = Store::options().open_with(hive.store.path(), INDEXES).unwrap();
        (hive, other)
    }

    fn heard(store: &Store, number: u32) -> Option<Timestamp> {
        store.view().unwrap().registry().get(&id(number)).unwrap().unwrap().last_heartbeat
    }

    #[test]
    fn heartbeats_are_seen_at_once_and_those_of_a_second_are_one_commit() {
        let (hive, other) = hive();
        let commits = hive.store.commits().count();
        for number in 0..3 {
            assert_eq!(hive.store.heartbeat(&id(number)).unwrap(), time(0));
            assert_eq!((heard(&hive.store, number), heard(&other, number)), (Some(time(0)), None));
        }
        assert_eq!(hive.store.commits().count(), commits);
        hive.pass(1);
        hive.store.heartbeat(&id(1)).unwrap();
        assert_eq!(hive.store.commits().count(), commits + 1);
        assert_eq!([0, 1, 2].map(|number| heard(&other, number)), [0, 1, 0].map(|second| Some(time(second))));
        hive.store.heartbeat(&id(2)).unwrap();
        hive.store.write_heartbeats().unwrap();
        hive.store.write_heartbeats().unwrap();
        assert_eq!(hive.store.commits().count(), commits + 2);
        assert_eq!(heard(&other, 2), Some(time(1)));
    }

    #[test]
    fn a_bot_alone_is_heard_of_with_its_next_heartbeat_also_when_the_clock_was_set_back() {
        let (hive, other) = hive();
        for (second, written) in [(100, None), (130, Some(130)), (160, Some(130)), (150, Some(150)), (151, Some(150))] {
            hive.clock.set(time(second));
            hive.store.heartbeat(&id(0)).unwrap();
            assert_eq!(heard(&other, 0), written.map(time));
        }
    }

    #[test]
    fn buffered_rows_are_written_when_the_store_is_closed() {
        let (hive, other) = hive();
        hive.store.heartbeat(&id(0)).unwrap();
        hive.store.heartbeat(&id(1)).unwrap();
        hive.store.write(|tx| tx.registry().remove(&id(1))).unwrap();
        hive.store.close_file().unwrap();
        assert_eq!(heard(&other, 0), Some(time(0)));
    }

    #[test]
    fn a_direct_heartbeat_and_a_removed_bot_replace_the_buffered_heartbeat() {
        let (hive, _other) = hive();
        for number in 0..2 {
            hive.store.heartbeat(&id(number)).unwrap();
        }
        hive.write(|tx| tx.registry().heartbeat(&id(0), time(5)));
        hive.write(|tx| tx.registry().remove(&id(1)));
        hive.write(|tx| tx.registry().put(&Bot::new(id(1))));
        hive.store.write_heartbeats().unwrap();
        assert_eq!((heard(&hive.store, 0), heard(&hive.store, 1)), (Some(time(5)), None));
    }

    #[test]
    fn a_stranger_s_heartbeat_and_one_that_cannot_be_written_are_refused() {
        let (hive, _other) = hive();
        assert_eq!(hive.store.heartbeat(&id(7)).unwrap_err().kind(), ErrorKind::NotFound);
        let reader = Store::options().read_only(true).open_with(hive.store.path(), INDEXES).unwrap();
        assert_eq!(reader.heartbeat(&id(0)).unwrap_err().kind(), ErrorKind::Conflict);
    }
}
