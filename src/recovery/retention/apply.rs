//! Holds, releases and forgets points, and applies retention.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::codec;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, Origin};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::recovery::backups::backup_row;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::point::Point;
use crate::recovery::points::resolve::Resolved;
use crate::recovery::points::selector::Selector;
use crate::recovery::retention::policy::{Candidate, Class, Policy, Verdict};

impl Store {
    /// Holds a point, so that retention does not forget it until [`Store::release`].
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Invalid` for the point of a single commit, which cannot be held.
    pub fn hold(&self, selector: impl Into<Selector>) -> Result<Point> {
        self.set_held(&selector.into(), true)
    }

    /// Releases a held point, so that retention may forget it again.
    ///
    /// # Errors
    ///
    /// As [`Store::hold`].
    pub fn release(&self, selector: impl Into<Selector>) -> Result<Point> {
        self.set_held(&selector.into(), false)
    }

    fn set_held(&self, selector: &Selector, held: bool) -> Result<Point> {
        let point = self.named_point(selector)?;
        self.write(|tx| {
            let manifest = tx.manifest(point.epoch)?;
            if manifest.held == held {
                return Ok(());
            }
            tx.put_manifest(point.epoch, &Manifest { held, ..manifest })?;
            let kind = if held { EventKind::PointHeld } else { EventKind::PointReleased };
            tx.events().append(kind, serde_json::json!({"restore_id": point.id}))?;
            let action = if held { "point_hold" } else { "point_release" };
            tx.note(action, Some(&point.to_string()))
        })?;
        Ok(Point { held, ..point })
    }

    /// Forgets points and frees the rows that only they need. Rows that other points need stay. The work is split into
    /// short transactions, so that no writer waits long.
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Conflict` when one of the points is held. Then nothing is forgotten.
    pub fn forget(&self, selectors: &[Selector]) -> Result<Vec<Point>> {
        let view = self.view()?;
        let mut points = BTreeMap::new();
        for selector in selectors {
            // A point may have other backups than the one that an id names.
            match view.resolve_point(selector)? {
                Resolved::Now => return Err(Error::invalid("now is not a restore point; name a point to forget")),
                Resolved::Point { epoch, .. } => points.insert(epoch, view.point(epoch)?),
            };
        }
        drop(view);
        let epochs: Vec<_> = points.keys().copied().collect();
        self.refuse_held(&epochs)?;
        let names: Vec<_> = points.values().map(ToString::to_string).collect();
        let store = self.doing("point_forget", Some(names.join(", ")));
        store.forget_in_steps(&epochs, |tx, some| tx.forget_some(some, OfHeld::Refuse).map(drop))?;
        Ok(points.into_values().collect())
    }

    /// The verdicts of a policy about every named point, in the order of epochs. This changes nothing.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn judge(&self, policy: &Policy) -> Result<Vec<(Point, Verdict)>> {
        let view = self.view()?;
        let points = view.named_points()?;
        let mut points: BTreeMap<Epoch, Point> = points.into_iter().map(|point| (point.epoch, point)).collect();
        let mut candidates = Vec::new();
        for point in points.values() {
            candidates.push(Candidate {
                epoch: point.epoch,
                at: point.sealed_at,
                class: class(point),
                kind: kind(&view, point)?,
                tags: point.tags.clone(),
                held: point.held,
                sound: !point.partial,
            });
        }
        let verdicts = policy.judge(&candidates, view.now());
        Ok(verdicts.into_iter().filter_map(|verdict| Some((points.remove(&verdict.epoch)?, verdict))).collect())
    }

    /// Forgets the points that a policy does not keep, and returns them. Held points stay, including those that are
    /// held in the meantime. It also merges away old commits of the history of every commit, once they are older than
    /// its window.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Full`, `Io`.
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
        let judged = self.judge(policy)?.into_iter();
        let mut points: Vec<_> = judged.filter(|(_, verdict)| !verdict.keep).map(|(point, _)| point).collect();
        let epochs: Vec<_> = points.iter().map(|point| point.epoch).collect();
        let mut forgotten = Vec::new();
        let store = self.doing("point_forget", Some(format!("by the policy: {policy}")));
        store.forget_in_steps(&epochs, |tx, some| {
            forgotten.append(&mut tx.forget_some(some, OfHeld::Keep)?);
            Ok(())
        })?;
        store.trim_history()?;
        points.retain(|point| forgotten.contains(&point.epoch));
        Ok(points)
    }
}

/// The treatment of points that turn out to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfHeld {
    Refuse,
    Keep,
}

impl WriteTx<'_> {
    /// Removes points from the list of retained ones, newest first, and appends the event. Returns the points that were
    /// still retained.
    fn forget_some(&mut self, epochs: &[Epoch], held: OfHeld) -> Result<Vec<Epoch>> {
        let (mut forgotten, mut points, mut backups) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in epochs.iter().rev() {
            if let Some(bytes) = self.row(Table::Points, &epoch.to_key())? {
                let manifest: Manifest = codec::decode(&bytes)?;
                if manifest.held && held == OfHeld::Keep {
                    continue;
                }
                points.push(manifest.id);
                backups.extend(manifest.backups);
            } else if self.row(Table::Commits, &epoch.to_key())?.is_none() {
                continue;
            }
            self.mark_forgotten(*epoch)?;
            forgotten.push(*epoch);
        }
        if !points.is_empty() {
            let count = backups.len();
            let details = serde_json::json!({"deleted_count": count, "backup_ids": backups, "restore_ids": points});
            self.events().append(EventKind::BackupDeletedOld, details)?;
        }
        Ok(forgotten)
    }
}

/// The kind of a point. Only points of the same kind replace each other, so that one with less content never makes the
/// last one with more content superfluous. A point of live state contains all of it.
fn kind(view: &View, point: &Point) -> Result<String> {
    if !matches!(point.origin, Some(Origin::Documents | Origin::Adopted)) {
        return Ok("point".to_owned());
    }
    let mut kinds = BTreeSet::new();
    for id in &point.backups {
        kinds.extend(backup_row(view, id)?.map(|backup| backup.backup_type.as_str()));
    }
    Ok(if kinds.is_empty() { "nothing".to_owned() } else { kinds.into_iter().collect::<Vec<_>>().join("+") })
}

fn class(point: &Point) -> Class {
    match (point.origin, point.manual) {
        (Some(Origin::Safety), _) => Class::Safety,
        (_, true) => Class::Manual,
        (_, false) => Class::Automatic,
    }
}
