//! Lists, finds and views restore points.

use crate::engine::codec;
use crate::engine::epoch::Epoch;
#[cfg(feature = "transfer")]
use crate::engine::point::Commit;
use crate::engine::point::Manifest;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::{View, gone};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Hint, Result};
use crate::recovery::backups::find_backup;
use crate::recovery::points::names::names;
use crate::recovery::points::point::{Point, epoch_of};
use crate::recovery::points::resolve::{Resolved, resolve};
use crate::recovery::points::selector::Selector;

impl Store {
    /// The manual and automatic points of live state, newest first.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn points(&self) -> Result<Vec<Point>> {
        let mut points = self.view()?.named_points()?;
        points.retain(Point::is_listed);
        Ok(points)
    }

    /// Every retained point, newest first: those of [`Store::points`], safety points, and points of documents and of
    /// single commits.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Reopen`, `Io`.
    pub fn all_points(&self) -> Result<Vec<Point>> {
        self.view()?.all_points()
    }

    /// The point that a selector names, or none for [`Selector::Now`].
    ///
    /// # Errors
    ///
    /// `NotFound` when the selector names no point, `Ambiguous` when several ids begin with it.
    pub fn find_point(&self, selector: impl Into<Selector>) -> Result<Option<Point>> {
        let view = self.view()?;
        match view.resolve(&selector.into())? {
            Resolved::Now => Ok(None),
            Resolved::Point { epoch, .. } => view.point(epoch).map(Some),
        }
    }

    /// A view of the state at a restore point.
    ///
    /// # Errors
    ///
    /// `NotFound` and `Ambiguous` when the selector does not name one point, `Gone` when it was forgotten in the
    /// meantime.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// store.restore_point("first")?;
    /// let view = store.at("latest".parse::<hivekeep::Selector>()?)?;
    /// assert_eq!(view.registry().list().count(), 0);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn at(&self, selector: impl Into<Selector>) -> Result<View> {
        let selector = selector.into();
        if let Selector::Now = selector {
            return self.view();
        }
        self.view_at(self.view()?.resolve(&selector)?.epoch())
    }

    /// A point that has a manifest.
    pub(crate) fn named_point(&self, selector: &Selector) -> Result<Point> {
        match self.find_point(selector.clone())? {
            Some(point) if !point.is_of_commit() => Ok(point),
            Some(_) => Err(Error::invalid(format!("the point of a single commit cannot be held: point={selector}"))),
            None => Err(Error::invalid("now is not a restore point; make one first").with_hint(Hint::MakePoint)),
        }
    }
}

impl WriteTx<'_> {
    /// The manifest of a retained point.
    pub(crate) fn manifest(&self, epoch: Epoch) -> Result<Manifest> {
        let row = self.row(Table::Points, &epoch.to_key())?;
        codec::decode(&row.ok_or_else(|| gone(epoch))?)
    }
}

impl View {
    /// Every retained point, newest first.
    pub(crate) fn all_points(&self) -> Result<Vec<Point>> {
        let mut points = self.named_points()?;
        for row in scan_rows(self, Table::Commits, KeyRange::all()) {
            let (key, bytes) = row?;
            points.push(Point::of_commit(epoch_of(&key)?, codec::decode(&bytes)?));
        }
        points.sort_unstable_by_key(|point| std::cmp::Reverse(point.epoch));
        Ok(points)
    }

    /// Every retained point, newest first, without those of single commits; there may be 100,000 of these.
    pub(crate) fn named_points(&self) -> Result<Vec<Point>> {
        let names = names(self)?;
        let rows = scan_rows(self, Table::Points, KeyRange::all().backward());
        rows.map(|row| {
            let (key, bytes) = row?;
            Ok(Point::new(epoch_of(&key)?, codec::decode(&bytes)?, &names))
        })
        .collect()
    }

    /// A retained point.
    pub(crate) fn point(&self, epoch: Epoch) -> Result<Point> {
        if let Some(manifest) = self.manifest(epoch)? {
            return Ok(Point::new(epoch, manifest, &names(self)?));
        }
        let commit = self.row(Table::Commits, &epoch.to_key())?.ok_or_else(|| gone(epoch))?;
        Ok(Point::of_commit(epoch, codec::decode(&commit)?))
    }

    /// The present state in the form of a point without an id, which is stored nowhere.
    #[cfg(feature = "transfer")]
    pub(crate) fn unsealed_point(&self) -> Point {
        Point::of_commit(self.epochs().open, Commit { at: self.now(), partial: false })
    }

    /// The point that `latest` names, if there is one.
    pub(crate) fn latest_point(&self) -> Result<Option<Point>> {
        match self.resolve(&Selector::Latest(0)) {
            Ok(latest) => self.point(latest.epoch()).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The point that a selector names: a point, or that of a backup.
    pub(crate) fn resolve(&self, selector: &Selector) -> Result<Resolved> {
        let found = self.resolve_point(selector);
        if let (Selector::Id(id), Err(error)) = (selector, &found)
            && error.kind() == ErrorKind::NotFound
            && let Some(backup) = find_backup(self, id)?
        {
            return Ok(self.point(backup.epoch)?.resolved());
        }
        found
    }

    /// The point that a selector names, without the ids of backups.
    pub(crate) fn resolve_point(&self, selector: &Selector) -> Result<Resolved> {
        if let Selector::Id(id) = selector
            && let Some(epoch) = self.row(Table::PointIds, id.as_bytes())?
        {
            let point = self.point(epoch_of(&epoch)?)?;
            return Ok(point.resolved());
        }
        let points = match selector {
            Selector::Epoch(epoch) => return self.point(*epoch).map(|point| point.resolved()),
            Selector::At(_) | Selector::Ago(_) => self.all_points()?,
            Selector::Now | Selector::Latest(_) | Selector::Id(_) => self.named_points()?,
        };
        let points: Vec<_> = points.iter().map(Point::name).collect();
        resolve(selector, &points, self.now())
    }
}
