//! The numbers of backups and restore points of a store. They are read often, so they are counted again only after a
//! change.

use std::collections::BTreeMap;

use crate::engine::epoch::Epochs;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::recovery::backups::{Backup, Kind};
use crate::recovery::points::point::Point;

/// The numbers of backups and restore points of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// The number of backups.
    pub backups: u64,
    /// The number of backups of each kind.
    pub backups_by_kind: BTreeMap<Kind, u64>,
    /// The summed length of their contents, in bytes.
    pub backup_bytes: u64,
    /// The newest backup.
    pub latest_backup: Option<Backup>,
    /// The number of manual and automatic restore points. Points of single backups, restores and commits do not count.
    pub points: u64,
    /// The newest of these points.
    pub latest_point: Option<Point>,
    mark: Mark,
}

/// One of these numbers changes whenever a backup or a point is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    epochs: Epochs,
    points: u64,
    backups: u64,
}

impl Store {
    /// Counts the backups and restore points. The cost follows their number; [`Inventory::is_current`] returns whether
    /// an earlier result is still valid.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.restore_point("before the night")?;
    /// let inventory = store.inventory()?;
    /// assert_eq!((inventory.points, inventory.backups), (1, 3));
    /// store.backup(hivekeep::BackupRequest::new(hivekeep::Kind::Queue).json(b"{}"))?;
    /// assert!(!inventory.is_current(&store)?);
    /// assert_eq!(store.inventory()?.backups, 4);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn inventory(&self) -> Result<Inventory> {
        let mark = Mark::of(&self.view()?)?;
        let backups = self.backups(None)?;
        let mut points = self.all_points()?;
        points.retain(Point::counts);
        let mut backups_by_kind = BTreeMap::new();
        for backup in &backups {
            *backups_by_kind.entry(backup.backup_type).or_default() += 1;
        }
        Ok(Inventory {
            backups: backups.len() as u64,
            backups_by_kind,
            backup_bytes: backups.iter().map(|backup| backup.size_bytes).sum(),
            latest_backup: backups.into_iter().next(),
            points: points.len() as u64,
            latest_point: points.into_iter().next(),
            mark,
        })
    }
}

impl Inventory {
    /// Whether no backup and no point was added or removed since the count. This costs almost nothing.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn is_current(&self, store: &Store) -> Result<bool> {
        Ok(Mark::of(&store.view()?)? == self.mark)
    }
}

impl Mark {
    fn of(view: &View) -> Result<Self> {
        let rows = |table| view.stored().count(table);
        Ok(Self { epochs: view.epochs(), points: rows(Table::Points)?, backups: rows(Table::Backups)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::backups::BackupRequest;
    use crate::recovery::points::selector::Selector;
    use crate::recovery::restore::options::RestoreOptions;
    use crate::testkit::checked_store::Fixture;

    #[test]
    fn points_of_backups_and_restores_do_not_count() {
        let store = &Fixture::new().store;
        let inventory = store.inventory().unwrap();
        assert_eq!((inventory.points, inventory.backups, inventory.latest_point), (0, 0, None));
        let point = store.restore_point("one").unwrap();
        store.backup(BackupRequest::new(Kind::Queue).json(br#"{"a": [1]}"#)).unwrap();
        store.write(|tx| tx.config().put("limit", &serde_json::json!(3))).unwrap();
        store.restore(&point, RestoreOptions::new()).unwrap();
        let inventory = store.inventory().unwrap();
        assert_eq!((inventory.points, inventory.backups), (1, 4), "the point of a backup, and a safety point");
        assert_eq!(inventory.latest_point.unwrap().id, point.id);
        assert_eq!(inventory.backups_by_kind[&Kind::Queue], 2);
        assert!(inventory.backup_bytes >= 10);
    }

    #[test]
    fn it_is_current_until_a_backup_or_a_point_is_added_or_removed() {
        let store = &Fixture::new().store;
        let mut inventory = store.inventory().unwrap();
        let mut is_new = || {
            let is_new = !inventory.is_current(store).unwrap();
            inventory = store.inventory().unwrap();
            is_new
        };
        assert!(!is_new());
        store.write(|tx| tx.config().put("limit", &serde_json::json!(3))).unwrap();
        assert!(!is_new(), "a change of the state is none of points");
        let point = store.restore_point("one").unwrap();
        assert!(is_new());
        store.backup(BackupRequest::new(Kind::Queue).json(br#"{"a": [1]}"#)).unwrap();
        assert!(is_new());
        store.forget(&[Selector::from(&point)]).unwrap();
        assert!(is_new() && !is_new());
    }
}
