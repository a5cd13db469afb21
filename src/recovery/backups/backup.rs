//! A backup as it is stored and listed, and its kind.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::codec::{self, Stored};
use crate::engine::epoch::Epoch;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::error::{Error, ErrorKind, Result};

/// The kind of state in a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The bots.
    Registry,
    /// The tasks.
    Queue,
    /// The tasks of each bot.
    BotAssignments,
    /// The whole state; as JSON, the three above.
    Full,
}

/// The source of a backup's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupOf {
    /// The live state.
    Live,
    /// A document that a caller provided.
    Documents,
}

/// A backup, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id: a UUID.
    pub backup_id: String,
    /// The kind of state in it.
    pub backup_type: Kind,
    /// When it was made. For an adopted backup: when the other program made it.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// Its creator, as the creator named itself.
    pub source: String,
    /// For documents: the length of their text. For live state: the length of the payloads of its records.
    pub size_bytes: u64,
    /// For documents: the summed length of the fields that are arrays or objects. For live state: the number of its
    /// records.
    pub item_count: u64,
    /// The SHA-256, in hexadecimal. For documents: of the text that Python's `json.dumps(data, indent=2)` returns. For
    /// live state: of its canonical manifest.
    pub checksum: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// The source of its content.
    pub of: BackupOf,
    /// For an adopted file whose bytes differ from that text: the SHA-256 of the file.
    pub file_checksum: Option<String>,
    /// For an adopted backup: its time, in the text of the other program.
    pub original_time: Option<String>,
    /// The point that holds its content.
    pub epoch: Epoch,
}

impl Stored for Backup {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "a backup";
}

impl Kind {
    /// The three kinds of the backups of a point.
    pub(crate) const PARTS: [Self; 3] = [Self::Registry, Self::Queue, Self::BotAssignments];

    /// The name, in lower case with underscores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Queue => "queue",
            Self::BotAssignments => "bot_assignments",
            Self::Full => "full",
        }
    }

    /// The collection that holds its records; none for all.
    pub(super) fn collection(self) -> Option<CollectionId> {
        match self {
            Self::Registry => Some(CollectionId::REGISTRY),
            Self::Queue => Some(CollectionId::QUEUE),
            Self::BotAssignments => Some(CollectionId::ASSIGNMENTS),
            Self::Full => None,
        }
    }

    /// The source of a backup that is part of a point.
    pub(super) fn source_in_point(self) -> &'static str {
        match self {
            Self::Registry => "registry-backup",
            Self::Queue => "queue-backup",
            Self::BotAssignments => "assignments-backup",
            Self::Full => "full-backup",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Parses a name, in any case.
    fn from_str(text: &str) -> Result<Self> {
        let kinds = [Self::Registry, Self::Queue, Self::BotAssignments, Self::Full];
        kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid(format!(
                "unknown kind of backup; use registry, queue, bot_assignments or full: kind={}",
                text.escape_debug()
            ))
        })
    }
}

/// The row of a backup.
pub(crate) fn backup_row<R: Records>(records: &R, id: &str) -> Result<Option<Backup>> {
    records.row(Table::Backups, id.as_bytes())?.map(|bytes| codec::decode(&bytes)).transpose()
}

/// The backup with that id, or the only one whose id begins with it.
pub(crate) fn find_backup<R: Records>(records: &R, id: &str) -> Result<Option<Backup>> {
    if let Some(backup) = backup_row(records, id)? {
        return Ok(Some(backup));
    }
    let found = records.rows(Table::Backups, &KeyRange::prefix(id.as_bytes()), 2)?;
    match found.as_slice() {
        [] => Ok(None),
        [(_, bytes)] if id.len() >= 4 => Ok(Some(codec::decode(bytes)?)),
        _ => Err(Error::new(
            ErrorKind::Ambiguous,
            format!("several backup ids begin with this; type more of the id: id={id}"),
        )),
    }
}

/// The details of a backup in events.
pub(crate) fn backup_details(backup: &Backup) -> Value {
    json!({
        "backup_id": backup.backup_id, "type": backup.backup_type, "size_bytes": backup.size_bytes,
        "checksum": backup.checksum,
    })
}

pub(crate) fn no_backup(id: &str) -> Error {
    Error::not_found(format!("Backup {id} not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_backup_are_fixed_and_are_decoded_again() {
        let backup = Backup {
            backup_id: "i".into(),
            backup_type: Kind::BotAssignments,
            timestamp: Timestamp::from_microsecond(1).unwrap(),
            source: "s".into(),
            size_bytes: 2,
            item_count: 3,
            checksum: "c".into(),
            tags: BTreeMap::from([("k".into(), "v".into())]),
            of: BackupOf::Documents,
            file_checksum: Some("f".into()),
            original_time: Some("o".into()),
            epoch: Epoch(4),
        };
        let bytes = codec::encode(&backup).unwrap();
        assert_eq!(bytes, b"\x01\x01i\x02\x02\x01s\x02\x03\x01c\x01\x01k\x01v\x01\x01\x01f\x01\x01o\x04");
        assert_eq!(codec::decode::<Backup>(&bytes).unwrap(), backup);
    }

    #[test]
    fn a_kind_is_parsed_in_any_case() {
        assert_eq!("Bot_Assignments".parse::<Kind>().unwrap(), Kind::BotAssignments);
        assert_eq!("tasks".parse::<Kind>().unwrap_err().kind(), ErrorKind::Invalid);
    }
}
