//! Steps that change the live state.

use serde_json::{Value, json};

use super::super::choices::Choices;
use super::super::content::{CONFIG, THINGS};
use super::super::step::Shape;
use crate::clock::Clock;
use crate::error::Result;
use crate::recovery::backups::{BackupRequest, Kind};
use crate::state::audit::NewEntry;
use crate::state::chat::NewMessage;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, Retry, TaskState};
use crate::state::registry::Bot;

use super::{Acted, Fleet, KEYS, LEASE, LONG, fail};

impl Fleet {
    pub(super) fn change_values(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let mut changes = Vec::new();
        for _ in 0..=choices.below(4) {
            let (collection, key) = (*choices.of(&[CONFIG, THINGS]), *choices.of(&KEYS));
            let value = (!choices.once_in(3)).then(|| self.value(choices));
            match &value {
                Some(value) => now.values.insert((collection, key.to_owned()), value.clone()),
                None => now.values.remove(&(collection, key.to_owned())),
            };
            changes.push((collection, key, value));
        }
        let write = |tx: &mut crate::WriteTx<'_>| {
            for (collection, key, value) in &changes {
                match (*collection, value) {
                    (CONFIG, Some(value)) => tx.config().put(key, value)?,
                    (CONFIG, None) => drop(tx.config().remove(key)?),
                    (_, Some(value)) => tx.collection(THINGS)?.put(key, value)?,
                    (_, None) => drop(tx.collection::<Value>(THINGS)?.remove(key)?),
                }
            }
            Ok(())
        };
        match choices.once_in(4) {
            true => self.store.load(write)?,
            false => self.store.write(write)?,
        }
        Ok(self.acted("change values", Shape::One, now))
    }

    pub(super) fn value(&self, choices: &mut Choices) -> Value {
        let length = match choices.below(8) {
            0 if self.mode.long => LONG,
            0 => 9000,
            1 => 700,
            _ => 20,
        };
        let letter = ["x", "y", "z"][choices.below(3)];
        json!(letter.repeat(length + choices.below(5)))
    }

    /// A closure that changes much and then fails leaves no trace.
    pub(super) fn fail_on_purpose(&mut self) -> Result<Acted> {
        fail(&self.store).map(|()| self.acted("fail on purpose", Shape::One, self.now()))
    }

    pub(super) fn work(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let id = TaskId::new(format!("task {}", now.tasks.len()))?;
        let bot = BotId::new(*choices.of(&["ant", "bee", "cat"]))?;
        let session = if choices.once_in(2) { self.store.session() } else { None };
        let (max, verb) = (1 + choices.below(2), choices.below(5));
        let owner = session.map_or(ClaimOwner::Nobody, ClaimOwner::Session);
        let options = ClaimOptions { lease: LEASE, max, owner, ..ClaimOptions::default() };
        let claimed = self.store.write(|tx| {
            tx.queue().enqueue(NewTask::new("work").id(id.clone()).max_attempts(1000))?;
            let claims = tx.queue().claim(&bot, &options)?;
            for claim in &claims {
                match verb {
                    0 => drop(tx.queue().complete(&claim.id, claim.token, Value::Null)?),
                    1 => drop(tx.queue().release(&claim.id, claim.token)?),
                    2 => drop(tx.queue().fail(&claim.id, claim.token, "no", Retry::Never)?),
                    3 => drop(tx.queue().extend(&claim.id, claim.token, LEASE)?),
                    _ => {}
                }
            }
            Ok(claims)
        })?;
        now.tasks.insert(id.as_str().to_owned(), (TaskState::Ready, None));
        for claim in claimed {
            let state = match verb {
                0 => (TaskState::Done, None),
                1 => (TaskState::Ready, None),
                2 => (TaskState::Failed, None),
                _ => (TaskState::Claimed, session),
            };
            now.tasks.insert(claim.id.as_str().to_owned(), state);
        }
        Ok(self.acted("work", Shape::One, now))
    }

    pub(super) fn talk(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let text = format!("message {}", now.messages.len());
        let purges = choices.once_in(4);
        self.store.write(|tx| {
            tx.chat().append(NewMessage::new("talk", "user", text.clone()))?;
            tx.audit().append(NewEntry::new("said", "ant"))?;
            if purges {
                let time = tx.context.clock.now();
                tx.audit().purge(time)?;
            }
            Ok(())
        })?;
        now.messages.push(text);
        Ok(self.acted("talk", Shape::One, now))
    }

    pub(super) fn register(&mut self, choices: &mut Choices) -> Result<Acted> {
        let id = BotId::new(*choices.of(&["ant", "bee", "cat"]))?;
        if choices.once_in(3) {
            self.store.mark_shutdown()?;
            self.store.take_mark_back()?;
            return Ok(self.acted("mark a shutdown", Shape::Several, self.now()));
        }
        let at = self.clock.now();
        self.store.write(|tx| {
            tx.registry().put(&Bot::new(id.clone()))?;
            tx.registry().heartbeat(&id, at)
        })?;
        Ok(self.acted("register", Shape::One, self.now()))
    }

    pub(super) fn change_document(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let source = *choices.of(&["one", "two"]);
        let name = ("list".to_owned(), source.to_owned());
        if choices.once_in(4) {
            self.store.write(|tx| tx.documents().remove("list", source))?;
            now.documents.remove(&name);
        } else {
            let document = some_document(choices);
            self.store.write(|tx| tx.documents().put("list", source, &document))?;
            now.documents.insert(name, document.to_string());
        }
        Ok(self.acted("change a document", Shape::One, now))
    }

    pub(super) fn back_up(&mut self, choices: &mut Choices) -> Result<Acted> {
        let mut now = self.now();
        let kind = *choices.of(&[Kind::Registry, Kind::Queue]);
        if choices.once_in(3) {
            self.store.backup(BackupRequest::new(kind))?;
        } else {
            let document = json!({ "of": some_document(choices) });
            self.store.backup(BackupRequest::new(kind).data(document.clone()).source("bot"))?;
            now.documents.insert((kind.as_str().to_owned(), "bot".to_owned()), document.to_string());
        }
        Ok(self.acted("back up", Shape::One, now))
    }
}

fn some_document(choices: &mut Choices) -> Value {
    (0..choices.below(9)).map(|_| json!({"bot": choices.below(9), "on": choices.once_in(2)})).collect()
}
