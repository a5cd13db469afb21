//! The usual queue in SQLite: WAL, synchronous=FULL, one connection for each thread, `UPDATE .. RETURNING`, and an
//! index of the tasks that are ready.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Result, ensure};
use rusqlite::{Connection, TransactionBehavior};

use crate::engines::sqlite::{connect, lock};
use crate::queue::{Queue, Ticket, Worker, payload};

const SCHEMA: &str = "
    create table if not exists queue(
        id integer primary key, priority integer, state integer, attempts integer, bot text, token integer,
        lease_until integer, payload text, result text);
    create index if not exists ready on queue(priority, id) where state = 0";
const ENQUEUE: &str = "insert into queue(priority, state, attempts, payload) values(2, 0, 0, ?1)";
const CLAIM: &str = "
    update queue set state = 1, bot = ?1, token = abs(random()), attempts = attempts + 1,
        lease_until = unixepoch() + 30
    where id in (select id from queue where state = 0 order by priority, id limit ?2)
    returning id, token, payload";
const COMPLETE: &str = "update queue set state = 2, result = 'done' where id = ?1 and token = ?2 and state = 1";

struct SqliteQueue {
    path: PathBuf,
    /// Held by the thread that writes, where they take turns.
    writing: Option<Mutex<()>>,
}

/// Threads wait for one another by the busy handler, as processes do.
pub fn open(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, None)
}

/// Threads take turns by a mutex, since the busy handler sleeps for ever longer.
pub fn open_in_turns(folder: &Path) -> Result<Box<dyn Queue>> {
    open_with(folder, Some(Mutex::default()))
}

fn open_with(folder: &Path, writing: Option<Mutex<()>>) -> Result<Box<dyn Queue>> {
    let path = folder.join("q.db");
    connect(&path)?.execute_batch(SCHEMA)?;
    Ok(Box::new(SqliteQueue { path, writing }))
}

impl Queue for SqliteQueue {
    fn worker(&self, bot: usize) -> Result<Box<dyn Worker + '_>> {
        let writing = self.writing.as_ref();
        Ok(Box::new(Working { connection: connect(&self.path)?, bot: format!("BOT-{bot}"), writing }))
    }

    fn add_done(&self, count: u64) -> Result<()> {
        let mut connection = connect(&self.path)?;
        let transaction = connection.transaction()?;
        let mut add = transaction.prepare(
            "insert into queue(priority, state, attempts, bot, payload, result) values(2, 2, 1, 'BOT-0', ?1, 'done')",
        )?;
        for _ in 0..count {
            add.execute([payload()])?;
        }
        drop(add);
        Ok(transaction.commit()?)
    }

    fn count_done(&self) -> Result<u64> {
        let count = "select count(*) from queue where state = 2";
        let done: i64 = connect(&self.path)?.query_row(count, (), |row| row.get(0))?;
        Ok(u64::try_from(done)?)
    }
}

struct Working<'a> {
    connection: Connection,
    bot: String,
    writing: Option<&'a Mutex<()>>,
}

impl Worker for Working<'_> {
    fn enqueue(&mut self, count: usize) -> Result<()> {
        let _turn = self.writing.map(lock).transpose()?;
        if count == 1 {
            self.connection.prepare_cached(ENQUEUE)?.execute([payload()])?;
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for _ in 0..count {
            transaction.prepare_cached(ENQUEUE)?.execute([payload()])?;
        }
        Ok(transaction.commit()?)
    }

    fn claim(&mut self, count: usize) -> Result<Vec<Ticket>> {
        let _turn = self.writing.map(lock).transpose()?;
        claimed(&self.connection, &self.bot, count)
    }

    fn complete(&mut self, tickets: &[Ticket]) -> Result<()> {
        let _turn = self.writing.map(lock).transpose()?;
        if let [ticket] = tickets {
            return done(&self.connection, ticket);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tickets.iter().try_for_each(|ticket| done(&transaction, ticket))?;
        Ok(transaction.commit()?)
    }

    fn complete_and_claim(&mut self, held: &Ticket) -> Result<Vec<Ticket>> {
        let _turn = self.writing.map(lock).transpose()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        done(&transaction, held)?;
        let tickets = claimed(&transaction, &self.bot, 1)?;
        transaction.commit()?;
        Ok(tickets)
    }
}

fn claimed(connection: &Connection, bot: &str, count: usize) -> Result<Vec<Ticket>> {
    let mut claim = connection.prepare_cached(CLAIM)?;
    let rows = claim.query_map((bot, i64::try_from(count)?), |row| {
        let payload: String = row.get(2)?;
        Ok((
            Ticket { id: row.get::<_, i64>(0)?.to_string(), token: row.get::<_, i64>(1)?.unsigned_abs() },
            payload.len(),
        ))
    })?;
    rows.map(|row| Ok(row?.0)).collect()
}

fn done(connection: &Connection, ticket: &Ticket) -> Result<()> {
    let changed =
        connection.prepare_cached(COMPLETE)?.execute((ticket.id.parse::<i64>()?, i64::try_from(ticket.token)?))?;
    ensure!(changed == 1, "a claimed task could not be completed: task={}", ticket.id);
    Ok(())
}
