//! The content of a store, read through its public verbs, and the content that a model expects.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::Value;

use crate::engine::epoch::Epoch;
use crate::engine::feed::is_local;
use crate::engine::records::KeyRange;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::points::point::Point;
use crate::state::ids::SessionId;
use crate::state::queue::TaskState;

/// The collection of a user's own.
pub(crate) const THINGS: &str = "things";
/// A built-in one.
pub(crate) const CONFIG: &str = "config";
/// Writers that share a commit have a key each, which is put into both collections together.
pub(crate) const CALLERS: [&str; 4] = ["caller 0", "caller 1", "caller 2", "caller 3"];

/// The versioned part of a state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FleetContent {
    /// By collection and key.
    pub(crate) values: BTreeMap<(&'static str, String), Value>,
    /// By kind and source, as text.
    pub(crate) documents: BTreeMap<(String, String), String>,
    pub(crate) messages: Vec<String>,
    /// With the session that a claim was made in.
    pub(crate) tasks: BTreeMap<String, (TaskState, Option<SessionId>)>,
}

impl FleetContent {
    /// Reads everything that a view shows.
    pub(crate) fn read(view: &View) -> Result<Self> {
        let mut content = Self::default();
        for entry in view.config().list() {
            let (key, value) = entry?;
            content.values.insert((CONFIG, key), value);
        }
        for entry in view.collection::<Value>(THINGS)?.list() {
            let (key, value) = entry?;
            content.values.insert((THINGS, key), value);
        }
        for id in view.documents().list() {
            let id = id?;
            let text = view.documents().text(id.kind(), id.source())?.unwrap_or_default();
            content.documents.insert((id.kind().to_owned(), id.source().to_owned()), text);
        }
        for message in view.chat().all() {
            content.messages.push(message?.content);
        }
        for task in view.queue().list() {
            let task = task?;
            let session = task.holder.and_then(|holder| holder.session);
            content.tasks.insert(task.id.as_str().to_owned(), (task.state, session));
        }
        Ok(content)
    }

    /// The writes of each caller that shares commits, when all of them are whole.
    pub(crate) fn of_callers(&self) -> Option<Vec<u64>> {
        let of = |collection, key: &str| self.values.get(&(collection, key.to_owned())).map_or(Some(0), Value::as_u64);
        let whole = |key: &&str| of(CONFIG, key).filter(|number| of(THINGS, key) == Some(*number));
        CALLERS.iter().map(whole).collect()
    }

    /// The same without what the callers that share commits have written.
    pub(crate) fn without_callers(&self) -> Self {
        let mut rest = self.clone();
        rest.values.retain(|(_, key), _| !CALLERS.contains(&key.as_str()));
        rest
    }
}

/// The expected content of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) now: FleetContent,
    pub(crate) points: BTreeMap<Epoch, FleetContent>,
}

impl Model {
    /// Reads all that a store holds, now and at every retained point.
    pub(crate) fn read(store: &Store) -> Result<Self> {
        let now = FleetContent::read(&store.view()?)?;
        let at = |point: Point| Ok((point.epoch, FleetContent::read(&store.view_at(point.epoch)?)?));
        let points = store.all_points()?.into_iter().map(at).collect::<Result<_>>()?;
        Ok(Self { now, points })
    }

    /// The same as if every claim had been made outside of a session.
    pub(crate) fn without_sessions(mut self) -> Self {
        let tasks = self.points.values_mut().chain([&mut self.now]).flat_map(|content| content.tasks.values_mut());
        tasks.for_each(|(_, session)| *session = None);
        self
    }
}

/// A hash of every row of every table, byte by byte, but for what a store holds of its log.
pub(crate) fn fingerprint(view: &View) -> Result<u64> {
    const ROWS_PER_READ: usize = 1024;
    let mut hasher = DefaultHasher::new();
    for table in Table::ALL {
        let mut range = KeyRange::all();
        loop {
            let page = view.stored().page(table, &range, ROWS_PER_READ)?;
            page.iter().filter(|(key, _)| !is_local(table, key)).for_each(|row| row.hash(&mut hasher));
            match page.last() {
                Some((last, _)) if page.len() == ROWS_PER_READ => range = range.after(last),
                _ => break,
            }
        }
    }
    Ok(hasher.finish())
}
