//! Restore points in short, for lists and for a time axis: a page costs its own rows, and the axis is counted in
//! buckets.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::engine::codec;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Commit, Manifest, Origin};
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::recovery::points::point::epoch_of;

/// The most buckets of a timeline.
const BUCKETS_MAX: usize = 2_000;

/// A restore point without the statistics of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BriefPoint {
    /// The text that names it: its id, or `epoch 7` for the point of a single commit.
    pub point: String,
    /// The number of the epoch that it sealed.
    pub epoch: Epoch,
    /// When it was made.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// Its purpose; none for the point of a single commit.
    pub origin: Option<Origin>,
    /// Whether it was requested, and not made by a scheduler or a restore.
    pub manual: bool,
    /// A description by its creator.
    pub description: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Whether it is held.
    pub held: bool,
    /// Whether a repair lost part of it.
    pub partial: bool,
}

/// The numbers of points in equal parts of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Its beginning.
    #[serde(with = "crate::clock::time")]
    pub from: Timestamp,
    /// Its end.
    #[serde(with = "crate::clock::time")]
    pub to: Timestamp,
    /// The number of equal parts.
    pub parts: u64,
    /// The parts with points in them, in order.
    pub buckets: Vec<TimelineBucket>,
}

/// The numbers of points in one part of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TimelineBucket {
    /// The number of the part, from 0.
    pub part: u64,
    /// Points of live state that somebody requested.
    pub manual: u64,
    /// Points of live state that a scheduler made.
    pub automatic: u64,
    /// Points that restores made.
    pub safety: u64,
    /// Points of documents, and adopted ones.
    pub documents: u64,
    /// Points of single commits.
    pub commits: u64,
    /// Held points among these.
    pub held: u64,
}

impl Store {
    /// At most `limit` points (at least one), newest first, from before the epoch `before`; all of them, or only the
    /// manual and automatic points of live state. A page costs its own rows.
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
    /// store.restore_point("after the night")?;
    /// let first = store.brief_points(None, false, 1)?;
    /// assert_eq!(first[0].description, "after the night");
    /// let second = store.brief_points(Some(first[0].epoch), false, 1)?;
    /// assert_eq!(second[0].description, "before the night");
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn brief_points(&self, before: Option<Epoch>, all: bool, limit: usize) -> Result<Vec<BriefPoint>> {
        self.view()?.brief_points(before, all, limit.max(1))
    }

    /// The numbers of points between two times, in at most 2,000 equal parts; from the oldest point to now unless set.
    ///
    /// # Errors
    ///
    /// `Invalid` when the end is not after the beginning; `Damaged`, `Reopen`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// store.restore_point("before the night")?;
    /// let timeline = store.timeline(None, None, 10)?;
    /// assert_eq!(timeline.buckets.iter().map(|bucket| bucket.manual).sum::<u64>(), 1);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn timeline(&self, from: Option<Timestamp>, to: Option<Timestamp>, parts: usize) -> Result<Timeline> {
        let view = self.view()?;
        let now = view.now();
        let from = match from {
            Some(from) => from,
            None => view.first_time()?.unwrap_or(now),
        };
        // A moment is a stretch too, so that the newest point lies within it.
        let to = to.unwrap_or_else(|| now.max(from).checked_add(SignedDuration::from_secs(1)).unwrap_or(now));
        if to <= from {
            let shown = (crate::clock::show_time(from), crate::clock::show_time(to));
            return Err(Error::invalid(format!("a timeline ends after it begins: from={} to={}", shown.0, shown.1)));
        }
        let parts = parts.clamp(1, BUCKETS_MAX) as u64;
        let mut buckets: BTreeMap<u64, TimelineBucket> = BTreeMap::new();
        // One point at a time, as their descriptions and tags may be long.
        for point in view.each_brief_point(None) {
            let point = point?;
            if from <= point.timestamp && point.timestamp < to {
                let part = part_of(point.timestamp, (from, to), parts);
                buckets
                    .entry(part)
                    .or_insert_with(|| TimelineBucket { part, ..TimelineBucket::default() })
                    .count(&point);
            }
        }
        Ok(Timeline { from, to, parts, buckets: buckets.into_values().collect() })
    }
}

/// The part of a stretch that a time in it belongs to.
fn part_of(time: Timestamp, (from, to): (Timestamp, Timestamp), parts: u64) -> u64 {
    let micros = |end: Timestamp| i128::from(end.as_microsecond()) - i128::from(from.as_microsecond());
    let part = micros(time) * i128::from(parts) / micros(to).max(1);
    u64::try_from(part).unwrap_or_default().min(parts.saturating_sub(1))
}

impl TimelineBucket {
    fn count(&mut self, point: &BriefPoint) {
        let own = match (point.origin, point.manual) {
            (Some(Origin::Live), true) => &mut self.manual,
            (Some(Origin::Live), false) => &mut self.automatic,
            (Some(Origin::Safety), _) => &mut self.safety,
            (Some(Origin::Documents | Origin::Adopted), _) => &mut self.documents,
            (None, _) => &mut self.commits,
        };
        *own += 1;
        self.held += u64::from(point.held);
    }
}

impl View {
    fn brief_points(&self, before: Option<Epoch>, all: bool, limit: usize) -> Result<Vec<BriefPoint>> {
        if all {
            return self.each_brief_point(before).take(limit).collect();
        }
        self.each_named(before).filter(|point| point.as_ref().map_or(true, BriefPoint::is_live)).take(limit).collect()
    }

    /// The newest point of live state.
    pub(crate) fn latest_brief_point(&self) -> Result<Option<BriefPoint>> {
        Ok(self.brief_points(None, false, 1)?.pop())
    }

    /// The earliest time of a point. After the clock was set back that is not the time of the oldest one.
    fn first_time(&self) -> Result<Option<Timestamp>> {
        self.each_brief_point(None).try_fold(None, |first: Option<Timestamp>, point| {
            let time = point?.timestamp;
            Ok(Some(first.map_or(time, |first| first.min(time))))
        })
    }

    /// Points of all kinds, newest first: those with a manifest and those of single commits, merged by their epochs.
    fn each_brief_point(&self, before: Option<Epoch>) -> impl Iterator<Item = Result<BriefPoint>> + '_ {
        let mut named = self.each_named(before).peekable();
        let mut commits = self.each_commit(before).peekable();
        let epoch = |next: Option<&Result<BriefPoint>>| {
            next.map(|point| point.as_ref().map_or(Epoch::NOW, |point| point.epoch))
        };
        std::iter::from_fn(
            move || {
                if epoch(named.peek()) >= epoch(commits.peek()) { named.next() } else { commits.next() }
            },
        )
    }

    fn each_named(&self, before: Option<Epoch>) -> impl Iterator<Item = Result<BriefPoint>> + '_ {
        scan_rows(self, Table::Points, newest_first(before)).map(|row| {
            let (key, bytes) = row?;
            Ok(BriefPoint::named(epoch_of(&key)?, codec::decode(&bytes)?))
        })
    }

    fn each_commit(&self, before: Option<Epoch>) -> impl Iterator<Item = Result<BriefPoint>> + '_ {
        scan_rows(self, Table::Commits, newest_first(before)).map(|row| {
            let (key, bytes) = row?;
            Ok(BriefPoint::of_commit(epoch_of(&key)?, &codec::decode(&bytes)?))
        })
    }
}

fn newest_first(before: Option<Epoch>) -> KeyRange {
    let range = KeyRange::all();
    before.map_or(range.clone(), |before| range.until(&before.to_key())).backward()
}

impl BriefPoint {
    fn is_live(&self) -> bool {
        self.origin.is_some_and(Origin::is_selectable)
    }

    fn named(epoch: Epoch, manifest: Manifest) -> Self {
        Self {
            point: manifest.id.0,
            epoch,
            timestamp: manifest.at,
            origin: Some(manifest.origin),
            manual: manifest.manual,
            description: manifest.description,
            tags: manifest.tags,
            held: manifest.held,
            partial: !manifest.lost.is_empty(),
        }
    }

    fn of_commit(epoch: Epoch, commit: &Commit) -> Self {
        Self {
            point: format!("epoch {epoch}"),
            epoch,
            timestamp: commit.at,
            origin: None,
            manual: false,
            description: String::new(),
            tags: BTreeMap::new(),
            held: false,
            partial: commit.partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::points::selector::Selector;
    use crate::recovery::restore::options::RestoreOptions;
    use crate::testkit::checked_store::Fixture;

    /// Seven points, a minute apart, and a restore of the first.
    fn hive() -> Fixture {
        let hive = Fixture::new();
        for number in 0..7 {
            hive.write(|tx| tx.config().put("limit", &number.into()));
            hive.store.restore_point(format!("point {number}")).unwrap();
            hive.pass(60);
        }
        hive.store.restore("latest~6".parse::<Selector>().unwrap(), RestoreOptions::new()).unwrap();
        hive
    }

    #[test]
    fn pages_list_every_point_once_newest_first_and_each_is_found_by_its_name() {
        let hive = hive();
        for (all, total) in [(false, 7), (true, 8)] {
            let (mut seen, mut before) = (Vec::new(), None);
            while let Some(last) = {
                let page = hive.store.brief_points(before, all, 3).unwrap();
                assert!(page.len() <= 3);
                before = page.last().map(|point| point.epoch);
                seen.extend(page);
                before
            } {
                assert!(seen.iter().all(|point| point.epoch >= last));
            }
            assert_eq!(seen.len(), total);
            for brief in seen {
                let selector: Selector = brief.point.parse().unwrap();
                let whole = hive.store.find_point(selector).unwrap().unwrap();
                assert_eq!((whole.epoch, whole.description), (brief.epoch, brief.description));
            }
        }
    }

    #[test]
    fn a_timeline_counts_every_point_of_its_stretch_by_kind() {
        let hive = hive();
        let sum = |timeline: &Timeline| {
            timeline.buckets.iter().fold((0, 0), |sum, bucket| (sum.0 + bucket.manual, sum.1 + bucket.safety))
        };
        let whole = hive.store.timeline(None, None, 4).unwrap();
        assert_eq!((sum(&whole), whole.parts), ((7, 1), 4));
        assert!(whole.buckets.iter().all(|bucket| bucket.part < 4));
        let second = hive.store.brief_points(None, false, 2).unwrap()[1].timestamp;
        let rest = hive.store.timeline(Some(second), None, 1).unwrap();
        assert_eq!(sum(&rest), (2, 1));
        assert_eq!(sum(&hive.store.timeline(None, Some(second), 9).unwrap()), (5, 0), "its end is not in it");
        let refused = hive.store.timeline(Some(second), Some(second), 1).unwrap_err();
        assert!(refused.to_string().starts_with("a timeline ends after it begins: from="), "{refused}");
        assert_eq!(Fixture::new().store.timeline(None, None, 0).unwrap().buckets, []);
    }
}
