//! Taking a turn at the log, and giving it up.
//!
//! W14: only who has the turn appends, changes names of files, or commits to redb. A process keeps it for its callers
//! who are inside, and gives it up behind their sync, or when it was long and another process waits.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::beginning::recover::{Files, Settle, settle};
use super::super::disk::search::{Damage, UnsavedRows, find, find_open};
use super::super::disk::writer::{Stage, Writer};
use super::super::encoding::row::Wal;
use super::super::writing::checkpoint::refuse_less;
use super::super::writing::log::{Log, OpenedLog};
use super::super::writing::past::begin_write;
use crate::engine::commit::locks::{MutexGuard, yield_now};
use crate::engine::opening::context::Context;
use crate::engine::redb_file::Handle;
use crate::engine::wal::disk::bytes::turn_is_kept;
use crate::engine::wal::disk::shared::{ONLY, OwnTurns, Turns};
use crate::engine::wal::disk::shared_page::{End, State};
use crate::error::{Error, Hint, Result};

/// The length of a turn: after it, other processes go first.
const TURN: Duration = Duration::from_millis(5);

/// A caller at the log, until it is answered. The last one gives the turn up.
pub(crate) struct LogVisit<'l> {
    log: &'l Log,
    turns: &'l Turns,
}

impl Drop for LogVisit<'_> {
    fn drop(&mut self) {
        // W12: the turn of a forked child is its parent's.
        if !self.turns.process.has_forked() && self.turns.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.log.leave();
        }
    }
}

impl Log {
    /// Comes to the log, to write; nothing where nobody shares it.
    pub(crate) fn visit(&self) -> Option<LogVisit<'_>> {
        let turns = self.turns.as_ref()?;
        turns.inside.fetch_add(1, Ordering::SeqCst);
        Some(LogVisit { log: self, turns })
    }

    /// Makes sure that this process has the turn, where several share the log, and has read what was written before it.
    ///
    /// # Errors
    ///
    /// `Locked` when another process has had it all the time since the caller arrived; `Reopen` after a failed sync;
    /// every error of the disk.
    pub(crate) fn take_turn(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        if self.is_shared() && writer.turn.is_none() {
            context.place.refuse_elsewhere()?;
        }
        self.take_turn_anywhere(writer, handle, context, arrived)
    }

    /// The same of a file that may have lost its name, for a close: it gets its log all the same.
    pub(in crate::engine::wal) fn take_turn_anywhere(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        let Some(own) = self.own_turns() else { return Ok(()) };
        self.refuse_failed()?;
        if let Some(begun) = writer.turn {
            if begun.elapsed() < TURN || !context.writer_line.may_be_waited_for() {
                return Ok(());
            }
            // Its own callers wait for the same sync.
            self.wait_for_seen(writer.number)?;
            self.end_turn(writer);
            self.refuse_failed()?;
            context.writer_line.leave_to_others();
        }
        let streak = writer.streak.at_the_next_write();
        let mut waiting = context.writer_line.wait_behind_others(streak);
        loop {
            let is_late = arrived.elapsed() >= context.lock_timeout;
            if (is_late || waiting.is_next()) && own.bytes.try_take()? {
                break;
            }
            if is_late {
                return Err(turn_is_kept(&context.writer_line, context.lock_timeout));
            }
            waiting.a_moment();
        }
        drop(waiting);
        writer.turn = Some(Instant::now());
        let taken = self.arrive(own, writer, handle, context, arrived);
        taken.inspect_err(|_| self.abandon_turn(writer))
    }

    /// Goes on where the turn before has ended.
    fn arrive(
        &self,
        own: &OwnTurns,
        writer: &mut Writer,
        handle: &Handle,
        context: &Context,
        arrived: Instant,
    ) -> Result<()> {
        let Some(turns) = &self.turns else { return Ok(()) };
        let page = own.page.read()?;
        let mut written = own.written.lock();
        let seen = written.0;
        *written = (page.sequence, page.commits);
        drop(written);
        self.lengths.go_on_at(page.next_length.into());
        let mut end = page.end;
        let has_ended = page.state == State::Free && page.sequence >= seen;
        if !has_ended || !self.ends_at(turns, &end, handle, &mut writer.base)? {
            end = End::without_log(self.take_over(&end, handle, context, arrived)?.max(end.number));
            self.count_commit();
            writer.base = None;
        }
        let mut followed = turns.followed.lock();
        // W17: no entry behind the end of a turn is read; there is none.
        self.catch_up(&mut followed, &end, handle)?;
        if followed.end != end {
            return Err(Error::damaged("the log is not where the process before has left it; open the store again"));
        }
        // W15: before the first change of a turn.
        own.tell(State::Held, end, self.counted(), self.lengths.next())?;
        followed.is_in_turn = true;
        let section = followed.section.clone();
        let opened = followed.opened.as_ref().filter(|opened| end.id == Some(opened.id));
        let has_lost_its_name = opened.is_some_and(|opened| opened.has_lost_its_name(&*self.folder));
        let mut appended = self.appended.lock();
        appended.file = section.as_ref().map(|section| section.file.clone());
        (appended.end, appended.commits) = (end, self.counted());
        drop((appended, followed));
        writer.go_on_at(end, section);
        // Processes that come now would read another file, or none.
        if has_lost_its_name { self.empty(writer, handle, context, arrived) } else { Ok(()) }
    }

    /// W16: ends the turn of a process that died in it or has failed. Its entries may not be on the disk, so nothing is
    /// appended behind them: those that fit go into redb, which carries their rows, and the next log has another id.
    /// `told` is the end that the shared page names. Gives the newest number.
    fn take_over(&self, told: &End, handle: &Handle, context: &Context, arrived: Instant) -> Result<u64> {
        // After a failed write, redb refuses all further work, also reading. Some pages are written in any case.
        refuse_less(context.place.path(), 0)?;
        let is_in_place = context.place.is_in_place();
        let files = if is_in_place { Files::Remove } else { Files::Keep };
        let begin = || begin_write(handle, context, arrived);
        let find = |wal: &Wal, is_fed: bool| {
            let found = self.find_left(told, wal, is_fed)?;
            // The file may be mostly empty.
            refuse_less(context.place.path(), found.maps.iter().map(|map| map.bytes() as u64).sum())?;
            Ok(found)
        };
        let (wal, found, news) = settle(handle, &*self.folder, files, Settle::TakeOver, &begin, &find)?;
        context.log_news.lock().add(news);
        match found {
            OpenedLog::Unsaved { error: Some(error), .. } => {
                Err(error.context("the log of a process that ended in its turn cannot be moved into the file"))
            }
            _ => {
                tracing::info!("the turn of a process that did not end it was ended");
                Ok(wal.map_or(0, |wal| wal.number))
            }
        }
    }

    /// The rows of a log that is left in use: by its name or, where that leads to none that has all that was told, from
    /// where this process has it open.
    fn find_left(&self, told: &End, wal: &Wal, is_fed: bool) -> Result<UnsavedRows> {
        let is_whole = |found: UnsavedRows| refuse_less_than_told(told, wal, &found).map(|()| found);
        let named = match self.folder.open(ONLY) {
            Ok(Some(_)) => find(&*self.folder, wal, is_fed, Damage::Refused).and_then(is_whole),
            Ok(None) => Err(self.missing()),
            Err(error) => Err(error),
        };
        let followed = self.turns.as_ref().and_then(|turns| turns.followed.lock().opened.clone());
        match followed.filter(|opened| named.is_err() && opened.id == wal.id) {
            Some(opened) => find_open(&*opened.file, wal, is_fed).and_then(is_whole).or(named),
            None => named,
        }
    }

    /// Gives the turn up unless somebody is inside.
    fn leave(&self) {
        let Some(turns) = &self.turns else { return };
        // A caller who is inside does it later.
        while turns.inside.load(Ordering::SeqCst) == 0 {
            if let Some(mut writer) = self.try_lock() {
                if turns.inside.load(Ordering::SeqCst) == 0 {
                    self.end_turn(&mut writer);
                }
                return;
            }
            yield_now();
        }
    }

    /// W15: ends the turn, once all of it is on the disk.
    fn end_turn(&self, writer: &mut Writer) {
        let (Some(turns), Some(own), Some(begun)) = (&self.turns, self.own_turns(), writer.turn) else { return };
        if self.has_failed() || self.wait(writer.number).is_err() {
            return self.abandon_turn(writer);
        }
        if let Err(error) = self.tell_of_end(own, turns, writer, begun) {
            drop(self.failed(error));
            self.abandon_turn(writer);
        }
    }

    /// W18: tells the other processes of what is on the disk, before anybody is answered. W15: if that is all of the
    /// turn, and no other caller is inside, it ends the turn in the same breath.
    pub(in crate::engine::wal) fn tell_of_synced(&self, end: End, commits: u64) -> Result<()> {
        if let (Some(turns), Some(own)) = (&self.turns, self.own_turns())
            && turns.inside.load(Ordering::SeqCst) == 1
            && let Some(mut writer) = self.try_lock()
            && let Some(begun) = writer.turn.filter(|_| writer.end() == end && !self.has_failed())
        {
            return self.tell_of_end(own, turns, &mut writer, begun);
        }
        self.tell(end, commits)
    }

    /// W15: ends a turn of which all is on the disk.
    fn tell_of_end(&self, own: &OwnTurns, turns: &Turns, writer: &mut Writer, begun: Instant) -> Result<()> {
        let end = writer.end();
        own.tell(State::Free, end, self.counted(), self.lengths.next())?;
        let mut followed = turns.followed.lock();
        (followed.end, followed.section, followed.is_in_turn) = (end, writer.section(), false);
        followed.opened = followed.opened.take().filter(|opened| Some(opened.id) == end.id);
        drop(followed);
        (writer.turn, writer.base) = (None, None);
        writer.streak.wrote_since(begun);
        own.bytes.give_up();
        Ok(())
    }

    /// W19: lets go of a turn that has failed. The shared page says on that it has not ended, and its views begin anew
    /// at what the others see.
    fn abandon_turn(&self, writer: &mut Writer) {
        let (Some(turns), Some(own)) = (&self.turns, self.own_turns()) else { return };
        let mut followed = turns.followed.lock();
        self.forget_sections(&mut followed, 0);
        followed.is_in_turn = false;
        drop(followed);
        (writer.turn, writer.base) = (None, None);
        writer.stage = Stage::Empty;
        own.bytes.give_up();
    }

    /// Lets go of the turn and of the store: this process writes no more to the log.
    pub(crate) fn depart(&self) {
        if let Some(own) = self.own_turns() {
            own.bytes.give_up();
            own.bytes.leave();
        }
    }
}

/// W18: entries up to the end that was told are on the disk. If fewer are found, one of them is damaged, although
/// nothing in the log shows it.
fn refuse_less_than_told(told: &End, wal: &Wal, found: &UnsavedRows) -> Result<()> {
    if told.id != Some(wal.id) || found.number >= told.number {
        return Ok(());
    }
    let (found, told) = (found.number, told.number);
    let message = format!(
        "an entry of the log is damaged or missing, and it was on the disk; close the store in all processes, keep the \
         files of the log, and repair the store: found={found} told={told}"
    );
    Err(Error::damaged(message).with_hint(Hint::RepairStore))
}
