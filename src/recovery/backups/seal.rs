//! Backups to list, and the point that is sealed with them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::backup::{Backup, BackupOf, Kind};
use super::content::live_summary;
use crate::engine::codec;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, NewPoint, Origin, PointId};
use crate::engine::records::Records as _;
use crate::engine::schema::Table;
use crate::engine::write::WriteTx;
use crate::error::Result;
use crate::state::documents::{Prepared, PythonSummary};

/// A backup to list.
#[derive(Clone, Debug)]
pub(crate) struct NewBackup {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) source: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) data: Option<Prepared>,
    /// For an adopted backup: its own time, the text of that time, and the checksum of its file.
    pub(crate) at: Option<Timestamp>,
    pub(crate) original_time: Option<String>,
    pub(crate) file_checksum: Option<String>,
}

/// A point to seal, with its backups.
pub(crate) struct NewSealed {
    pub(crate) backups: Vec<NewBackup>,
    pub(crate) manual: bool,
    pub(crate) description: String,
    pub(crate) tags: BTreeMap<String, String>,
}

impl NewBackup {
    /// One of the backups of a point.
    pub(crate) fn of_part(kind: Kind, data: Option<Prepared>) -> Self {
        Self { data, ..Self::of_live(kind, kind.source_in_point()) }
    }

    /// A backup of the present live state, without tags.
    pub(super) fn of_live(kind: Kind, source: impl Into<String>) -> Self {
        Self {
            id: PointId::new().0,
            kind,
            source: source.into(),
            tags: BTreeMap::new(),
            data: None,
            at: None,
            original_time: None,
            file_checksum: None,
        }
    }
}

impl WriteTx<'_> {
    /// Stores the documents among some backups, seals the point with an id, an origin and a time, and lists the
    /// backups.
    pub(crate) fn seal_backups_as(
        &mut self,
        id: PointId,
        origin: Origin,
        at: Option<Timestamp>,
        new: NewSealed,
    ) -> Result<(Epoch, Manifest)> {
        let now = self.now();
        let at = at.unwrap_or(now);
        let epoch = self.epochs().open;
        let ids = new.backups.iter().map(|backup| backup.id.clone()).collect();
        for new in new.backups {
            let backup = self.list_backup(new, epoch, at)?;
            self.put_row(Table::Backups, backup.backup_id.as_bytes(), &codec::encode(&backup)?)?;
        }
        self.seal(NewPoint {
            id,
            at,
            origin,
            manual: new.manual,
            backups: ids,
            description: new.description,
            tags: new.tags,
            undoes: None,
        })
    }

    fn list_backup(&mut self, new: NewBackup, epoch: Epoch, at: Timestamp) -> Result<Backup> {
        let (size_bytes, item_count, checksum) = match &new.data {
            None => live_summary(self, new.kind)?,
            Some(data) => {
                self.documents().put_prepared(new.kind.as_str(), &new.source, data)?;
                let PythonSummary { bytes, checksum } = data.summary().clone();
                (bytes, data.items(), checksum)
            }
        };
        let file_checksum = new.file_checksum.filter(|file| *file != checksum);
        Ok(Backup {
            backup_id: new.id,
            backup_type: new.kind,
            timestamp: new.at.unwrap_or(at),
            source: new.source,
            size_bytes,
            item_count,
            checksum,
            tags: new.tags,
            of: if new.data.is_some() { BackupOf::Documents } else { BackupOf::Live },
            file_checksum,
            original_time: new.original_time,
            epoch,
        })
    }
}
