//! Steps that concern the file and the process.

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::content::{CALLERS, CONFIG, THINGS};
use super::super::step::Shape;
use crate::error::Result;
use crate::state::ids::SessionId;

use super::{Acknowledged, Acted, CALLS, Fleet, fail, open, return_task};

impl Fleet {
    pub(super) fn compact(&mut self) -> Result<Acted> {
        match self.known.model.points.len().is_multiple_of(2) {
            true => self.store.lay_log_down()?,
            false => self.store.rest_log()?,
        }
        self.store.compact()?;
        Ok(self.acted("compact", Shape::One, self.now()))
    }

    /// Several threads of all processes write at the same time, and share commits with one whose closures fail.
    pub(super) fn share_commits(&mut self) -> Result<Acted> {
        let mut now = self.now();
        let Some(before) = now.of_callers() else { return self.level_callers() };
        let (store, disk, told) = (&self.store, &self.disk, Mutex::new(Vec::new()));
        let stores: Vec<_> = self.stores().collect();
        let call = |caller: usize| {
            let store = stores[caller % stores.len()];
            let first = before.get(caller).copied().unwrap_or_default() + 1;
            for number in first..first + CALLS {
                store.write(|tx| {
                    tx.config().put(CALLERS[caller], &json!(number))?;
                    tx.collection(THINGS)?.put(CALLERS[caller], &json!(number))
                })?;
                told.lock().push(Acknowledged { at: disk.recorded(), caller, number });
            }
            Ok(())
        };
        let call = &call;
        let done: Vec<Result<()>> = std::thread::scope(|scope| {
            let mut threads: Vec<_> = (0..CALLERS.len()).map(|caller| scope.spawn(move || call(caller))).collect();
            threads.push(scope.spawn(move || (0..CALLS).try_for_each(|_| fail(store))));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        self.acknowledged.append(&mut told.into_inner());
        done.into_iter().collect::<Result<()>>()?;
        for (caller, number) in CALLERS.iter().zip(&before) {
            for collection in [CONFIG, THINGS] {
                now.values.insert((collection, (*caller).to_owned()), json!(number + CALLS));
            }
        }
        Ok(self.acted("share commits", Shape::Callers, now))
    }

    /// A restore of one collection took back half of what the callers had written: they begin anew.
    pub(super) fn level_callers(&mut self) -> Result<Acted> {
        self.store.write(|tx| {
            for caller in CALLERS {
                tx.config().remove(caller)?;
                tx.collection::<Value>(THINGS)?.remove(caller)?;
            }
            Ok(())
        })?;
        let now = self.now().without_callers();
        Ok(self.acted("level the callers", Shape::One, now))
    }

    pub(super) fn reopen(&mut self) -> Result<Acted> {
        self.store.close()?;
        (self.file, self.store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
        self.store.begin_session()?;
        Ok(self.acted("close and open", Shape::Reopened, self.now()))
    }

    /// The process dies without a word; what it claimed for itself goes back.
    pub(super) fn kill(&mut self) -> Result<Acted> {
        let dead = Vec::from_iter(self.store.session());
        self.die_alone();
        (self.file, self.store) = open(&self.disk, &self.path, &self.clock, self.mode)?;
        self.begin_after(&dead)
    }

    /// Begins a session in a store that was just opened. The claims of sessions that have died go back.
    pub(crate) fn begin_after(&mut self, dead: &[SessionId]) -> Result<Acted> {
        let mut now = self.now();
        // A mark of a clean shutdown, which a step that failed has left, would excuse them.
        self.store.take_mark_back()?;
        self.store.begin_session()?;
        let of_dead = |task: &&mut (_, Option<SessionId>)| task.1.is_some_and(|session| dead.contains(&session));
        now.tasks.values_mut().filter(of_dead).for_each(return_task);
        Ok(self.acted("kill and open", Shape::Reopened, now))
    }
}
