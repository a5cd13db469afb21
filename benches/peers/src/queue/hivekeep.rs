//! Hivekeep's queue: with its default options, for one process alone, with a shared log, and with one-phase commits.

use std::path::Path;
use std::time::Duration;

use ::hivekeep::{
    Bot, BotId, Claim, ClaimOptions, Clock, NewTask, Options, Sharing, Store, SystemClock, TaskState, Token,
};
use anyhow::Result;

use crate::queue::{Queue, Ticket, Worker, payload};

/// More than is ever claimed at once.
const MOST: u32 = 1000;
/// Tasks that are put in by one transaction.
const TOGETHER: u64 = 20_000;

pub fn open(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, Store::options())
}

pub fn open_alone(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, Store::options().sharing(Sharing::Exclusive))
}

pub fn open_shared_log(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, Store::options().sharing(Sharing::SharedLog))
}

pub fn open_one_phase(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, Store::options().sharing(Sharing::Exclusive).one_phase_commits(true))
}

fn open_with(folder: &Path, options: Options) -> Result<Box<dyn Queue>> {
    Ok(Box::new(options.open(folder.join("h.redb"))?))
}

impl Queue for Store {
    fn worker(&self, bot: usize) -> Result<Box<dyn Worker + '_>> {
        let id = BotId::new(format!("BOT-{bot}"))?;
        let mut bot = Bot::new(id.clone());
        bot.max_concurrent = Some(MOST);
        self.write(|tx| tx.registry().put(&bot))?;
        Ok(Box::new(Working { store: self, bot: id }))
    }

    fn add_done(&self, count: u64) -> Result<()> {
        let at = SystemClock.now();
        let mut left = count;
        while left > 0 {
            let some = left.min(TOGETHER);
            self.load(|tx| {
                (0..some).try_for_each(|_| {
                    tx.queue().enqueue(NewTask::new(payload()).done(at, None, "done".into())).map(drop)
                })
            })?;
            left -= some;
        }
        Ok(())
    }

    fn count_done(&self) -> Result<u64> {
        Ok(self.view()?.queue().counts()?.of(TaskState::Done))
    }

    fn add_point(&self) -> Result<()> {
        self.restore_point("behind")?;
        Ok(())
    }
}

struct Working<'a> {
    store: &'a Store,
    bot: BotId,
}

impl Worker for Working<'_> {
    fn enqueue(&mut self, count: usize) -> Result<()> {
        self.store.write(|tx| (0..count).try_for_each(|_| tx.queue().enqueue(NewTask::new(payload())).map(drop)))?;
        Ok(())
    }

    fn claim(&mut self, count: usize) -> Result<Vec<Ticket>> {
        let options = ClaimOptions { max: count, ..ClaimOptions::default() };
        let claims = self.store.write(|tx| tx.queue().claim(&self.bot, &options))?;
        Ok(claims.into_iter().map(ticket).collect())
    }

    fn complete(&mut self, tickets: &[Ticket]) -> Result<()> {
        self.store.write(|tx| {
            tickets
                .iter()
                .try_for_each(|ticket| tx.queue().complete(&ticket.id.parse()?, Token(ticket.token), "done").map(drop))
        })?;
        Ok(())
    }

    fn complete_and_claim(&mut self, held: &Ticket) -> Result<Vec<Ticket>> {
        let (id, options) = (held.id.parse()?, ClaimOptions::default());
        let ended = self.store.complete_and_claim(&id, Token(held.token), "done", &options, Duration::ZERO)?;
        Ok(ended.claims.into_iter().map(ticket).collect())
    }
}

fn ticket(claim: Claim) -> Ticket {
    Ticket { id: claim.id.to_string(), token: claim.token.0 }
}
