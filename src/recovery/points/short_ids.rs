//! The shortest ids that people can type.

use crate::engine::records::{KeyRange, scan_rows};
use crate::engine::schema::Table;
use crate::engine::view::View;
use crate::error::Result;

/// The least length of a short id.
const SHORTEST: usize = 8;
/// The length of a UUID with its dashes. Ids of other programs are shown whole, as a prefix cannot name them.
const UUID_LEN: usize = 36;

/// The ids of a store. Each is shown as short as it is unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortIds {
    /// Every id of a point, in order. A prefix is searched among the points first.
    points: Vec<String>,
    /// The same with the ids of backups.
    all: Vec<String>,
}

impl View {
    /// The ids of all points and backups, to show each in its shortest form that can be typed.
    ///
    /// # Errors
    ///
    /// `Damaged`, `Io`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb"))?;
    /// let point = store.restore_point("before the night")?;
    /// let ids = store.view()?.short_ids()?;
    /// let short = ids.shorten(&point.id.0);
    /// assert_eq!(short.len(), 8);
    /// assert_eq!(store.find_point(short.parse::<hivekeep::Selector>()?)?.unwrap(), point);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn short_ids(&self) -> Result<ShortIds> {
        let ids = |table| -> Result<Vec<String>> {
            let rows = scan_rows(self, table, KeyRange::all());
            rows.filter_map(|row| row.map(|(id, _)| String::from_utf8(id).ok()).transpose()).collect()
        };
        Ok(ShortIds::new(ids(Table::PointIds)?, ids(Table::Backups)?))
    }
}

impl ShortIds {
    /// Takes ids that are known already.
    pub(crate) fn new(mut points: Vec<String>, backups: Vec<String>) -> Self {
        points.sort_unstable();
        let mut all = [points.clone(), backups].concat();
        all.sort_unstable();
        all.dedup();
        Self { points, all }
    }

    /// The shortest prefix that distinguishes an id from every other; the whole id if it is unknown.
    pub fn shorten<'i>(&self, id: &'i str) -> &'i str {
        let place = |ids: &[String]| ids.binary_search_by(|known| known.as_str().cmp(id)).ok();
        let of = |ids| place(ids).map(|at| (ids, at));
        let Some((ids, at)) = of(&*self.points).or_else(|| of(&*self.all)) else { return id };
        let alike = |other: Option<&String>| {
            other.map_or(0, |other| other.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count())
        };
        let before = at.checked_sub(1).and_then(|before| ids.get(before));
        let mut length = SHORTEST.max(1 + alike(before).max(alike(ids.get(at + 1))));
        // A dash at the end distinguishes nothing.
        length += usize::from(id.as_bytes().get(length - 1) == Some(&b'-'));
        if id.len() == UUID_LEN { id.get(..length).unwrap_or(id) } else { id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(points: &[&str], backups: &[&str]) -> ShortIds {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        ShortIds::new(owned(points), owned(backups))
    }

    #[test]
    fn an_id_is_shown_as_short_as_it_is_unique_and_with_eight_characters_at_least() {
        let [one, two, three] = [
            "019a1b2c-3d4e-7000-8000-000000000001",
            "019a1b2c-3d4e-7100-8000-000000000002",
            "67006b98-460f-425f-ac8d-c624ce4b9dc0",
        ];
        let ids = ids(&[one, two, three, "nightly-backup-of-another-program"], &[]);
        assert_eq!([one, two, three].map(|id| ids.shorten(id)), ["019a1b2c-3d4e-70", "019a1b2c-3d4e-71", "67006b98"]);
        assert_eq!(ids.shorten("nightly-backup-of-another-program"), "nightly-backup-of-another-program");
        let gone = "00000000-0000-0000-0000-000000000000";
        assert_eq!(ids.shorten(gone), gone, "an id that is not there cannot be told from others");
    }

    #[test]
    fn the_short_id_of_a_backup_differs_from_points_too_but_that_of_a_point_need_not_differ_from_backups() {
        let [point, backup] = ["019a1b2c-3d4e-7000-8000-000000000004", "019a1b2c-3d4e-7000-8000-000000000003"];
        let ids = ids(&[point], &[backup]);
        assert_eq!((ids.shorten(point), ids.shorten(backup)), ("019a1b2c", backup));
    }
}
