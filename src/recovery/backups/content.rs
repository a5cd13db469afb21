//! The content of a backup, and its size and checksum.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::backup::{Backup, BackupOf, Kind};
use crate::engine::digest::hex;
use crate::engine::records::Records;
use crate::engine::view::View;
use crate::error::{Error, Hint, Result};
use crate::json;
use crate::recovery::points::names::names;

/// The bytes, records and checksum of live state. The checksum is the SHA-256 of the compact JSON of the kind's
/// collections by name. It covers their digests and costs the same at any size.
pub(super) fn live_summary<R: Records>(records: &R, kind: Kind) -> Result<(u64, u64, String)> {
    let names = names(records)?;
    let collections: Vec<_> = match kind.collection() {
        Some(collection) => vec![collection],
        None => names.ids().collect(),
    };
    let (mut bytes, mut items, mut canonical) = (0, 0, BTreeMap::new());
    for collection in collections {
        let stats = records.stats(collection)?;
        if kind != Kind::Full || stats.count > 0 {
            bytes += stats.bytes;
            items += stats.count;
            canonical.insert(names.of(collection), stats);
        }
    }
    let canonical = serde_json::to_vec(&canonical).map_err(|source| Error::invalid("a name").with_source(source))?;
    Ok((bytes, items, sha256(&canonical)))
}

/// The content of a backup; none if it does not match the checksum.
pub(crate) fn content(view: &View, backup: &Backup) -> Result<Option<Value>> {
    match backup.of {
        BackupOf::Live => live_data(view, backup),
        BackupOf::Documents => document_data(view, backup),
    }
}

fn live_data(view: &View, backup: &Backup) -> Result<Option<Value>> {
    let is_it = live_summary(view, backup.backup_type)?.2 == backup.checksum;
    is_it.then(|| kind_data(view, backup.backup_type)).transpose()
}

/// The live state of a kind as `get KIND --json` shows it: bots and tasks by id, the tasks of each bot, or all three by
/// name.
fn kind_data(view: &View, kind: Kind) -> Result<Value> {
    let mut data = Map::new();
    let mut seen = 0;
    match kind {
        Kind::Registry => {
            for bot in view.registry().list() {
                let bot = bot?;
                data.insert(bot.id.to_string(), to_json(&bot)?);
                seen += 1;
            }
        }
        Kind::Queue => {
            for task in view.queue().list() {
                let task = task?;
                data.insert(task.id.to_string(), to_json(&task)?);
                seen += 1;
            }
        }
        Kind::BotAssignments => {
            for assignment in view.assignments().list() {
                let assignment = assignment?;
                let tasks = data.entry(assignment.bot.to_string()).or_insert_with(|| Value::Array(Vec::new()));
                tasks.as_array_mut().into_iter().for_each(|tasks| tasks.push(assignment.task.to_string().into()));
                seen += 1;
            }
        }
        Kind::Full => {
            for part in Kind::PARTS {
                data.insert(part.as_str().into(), kind_data(view, part)?);
            }
        }
    }
    if let Some(collection) = kind.collection()
        && seen != view.stats(collection)?.count
    {
        return Err(
            Error::damaged(format!("records are missing; check the store: type={kind}")).with_hint(Hint::CheckStore)
        );
    }
    Ok(Value::Object(data))
}

fn to_json<T: Serialize>(record: &T) -> Result<Value> {
    serde_json::to_value(record)
        .map_err(|source| Error::damaged("a record cannot be shown as JSON").with_source(source))
}

fn document_data(view: &View, backup: &Backup) -> Result<Option<Value>> {
    let data = view.documents().get(backup.backup_type.as_str(), &backup.source)?;
    Ok(data.filter(|data| sha256(json::python_text(data).as_bytes()) == backup.checksum))
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn damaged(backup: &Backup) -> Error {
    Error::damaged(format!(
        "the content of a backup does not match its checksum; check the store: id={} type={}",
        backup.backup_id, backup.backup_type
    ))
    .with_hint(Hint::CheckStore)
}
