//! Retention carried out: every retained point is judged, and those that the policy does not keep are forgotten.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::epoch::Epoch;
use crate::engine::point::Origin;
use crate::engine::records::Records;
use crate::engine::store::Store;
use crate::error::Result;
use crate::recovery::backups::backup_row;
use crate::recovery::events::EventKind;
use crate::recovery::points::Point;
use crate::recovery::retention::{Candidate, Class, Policy, Verdict};

/// At most so many points of single commits are kept.
const MOST_COMMITS: usize = 100_000;

impl Store {
    /// What a policy says of every point with a name, in the order of epochs. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn judge(&self, policy: &Policy) -> Result<Vec<(Point, Verdict)>> {
        let view = self.view()?;
        let mut points: BTreeMap<Epoch, Point> = view
            .all_points()?
            .into_iter()
            .filter(|point| point.id.is_some())
            .map(|point| (point.epoch, point))
            .collect();
        let mut candidates = Vec::new();
        for point in points.values() {
            let kind = match (point.origin, point.backups.as_slice()) {
                (Some(Origin::Documents | Origin::Adopted), [id]) => backup_row(&view, id)?,
                _ => None,
            };
            candidates.push(Candidate {
                epoch: point.epoch,
                at: point.sealed_at,
                class: class(point),
                kind: kind.map_or("point", |backup| backup.backup_type.as_str()).to_owned(),
                tags: point.tags.clone(),
                held: point.held,
                sound: true,
            });
        }
        let verdicts = policy.judge(&candidates, view.now());
        Ok(verdicts.into_iter().filter_map(|verdict| Some((points.remove(&verdict.epoch)?, verdict))).collect())
    }

    /// Forgets what a policy does not keep, and gives it. Held points stay.
    ///
    /// # Errors
    ///
    /// As [`Store::forget`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::Policy;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.restore_point("first")?;
    /// assert!(store.retain(&Policy::default())?.is_empty());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn retain(&self, policy: &Policy) -> Result<Vec<Point>> {
        let judged = self.judge(policy)?;
        let forgotten: Vec<_> =
            judged.into_iter().filter(|(_, verdict)| !verdict.keep).map(|(point, _)| point).collect();
        self.forget_epochs(&forgotten.iter().map(|point| point.epoch).collect::<Vec<_>>())?;
        if !forgotten.is_empty() {
            let ids: Vec<_> = forgotten.iter().flat_map(|point| &point.backups).collect();
            let points: Vec<_> = forgotten.iter().map(Point::label).collect();
            let details = serde_json::json!({"deleted_count": ids.len(), "backup_ids": ids, "restore_ids": points});
            self.write(|tx| tx.events().append(EventKind::BackupDeletedOld, details))?;
        }
        Ok(forgotten)
    }

    /// Merges away the points of single commits from before `cutoff`, and the oldest over the limit.
    pub(crate) fn trim_history(&self, cutoff: Timestamp) -> Result<()> {
        let view = self.view()?;
        let commits: Vec<_> = view.commits()?;
        let over = commits.len().saturating_sub(MOST_COMMITS);
        let old = commits.iter().enumerate().filter(|(at, (_, time))| *at < over || *time < cutoff);
        let epochs: Vec<_> = old.map(|(_, (epoch, _))| *epoch).collect();
        drop(view);
        if epochs.is_empty() { self.finish_merging() } else { self.forget_epochs(&epochs) }
    }
}

fn class(point: &Point) -> Class {
    match (point.origin, point.manual) {
        (Some(Origin::Safety), _) => Class::Safety,
        (_, true) => Class::Manual,
        (_, false) => Class::Automatic,
    }
}
