//! How backups and restore points look in the answers that clients of the replaced service know.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{Backup, BackupOf, Kind, Point};

/// A backup in a list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    backup_id: String,
    backup_type: Kind,
    #[serde(with = "crate::time")]
    timestamp: Timestamp,
    source: String,
    size_bytes: u64,
    item_count: u64,
    checksum: String,
    tags: BTreeMap<String, String>,
    of: BackupOf,
}

/// A restore point.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    restore_id: String,
    #[serde(with = "crate::time")]
    timestamp: Timestamp,
    backups: Vec<String>,
    description: String,
    manual: bool,
}

/// A restore point with the backups in it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Details {
    #[serde(flatten)]
    point: Shown,
    backup_details: Vec<Listed>,
}

impl From<Backup> for Listed {
    fn from(backup: Backup) -> Self {
        Self {
            backup_id: backup.backup_id,
            backup_type: backup.backup_type,
            timestamp: backup.timestamp,
            source: backup.source,
            size_bytes: backup.size_bytes,
            item_count: backup.item_count,
            checksum: backup.checksum,
            tags: backup.tags,
            of: backup.of,
        }
    }
}

impl From<Point> for Shown {
    fn from(point: Point) -> Self {
        Self {
            restore_id: point.id.0,
            timestamp: point.timestamp,
            backups: point.backups,
            description: point.description,
            manual: point.manual,
        }
    }
}

impl From<(Point, Vec<Backup>)> for Details {
    fn from((point, backups): (Point, Vec<Backup>)) -> Self {
        Self { point: point.into(), backup_details: backups.into_iter().map(Listed::from).collect() }
    }
}
