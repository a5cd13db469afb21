//! The one walk over pre-images, the rows of the table `undo`.

use std::ops::Bound;

use crate::engine::format::epoch::Epoch;
use crate::engine::format::keys::PreImageKey;
use crate::engine::format::schema::Table;
use crate::engine::records::{KeyRange, Row};
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::Result;

/// Pre-images read at a time, or fewer where they are long.
const PRE_IMAGES_PER_READ: usize = 512;

/// The keys of the pre-images in `(after, through]`.
pub(crate) fn pre_images_between(after: Epoch, through: Epoch) -> KeyRange {
    let end = match through.0.checked_add(1) {
        Some(end) => Bound::Excluded(Epoch(end).to_key().to_vec()),
        None => Bound::Unbounded,
    };
    KeyRange { start: Bound::Included(after.next().to_key().to_vec()), end, backward: false }
}

/// The rest of a walk.
struct Walk(KeyRange);

impl Walk {
    /// The next rows, and none at the end.
    fn page(&mut self, fetch: impl FnOnce(&KeyRange) -> Result<Vec<Row>>) -> Result<Option<Vec<Row>>> {
        let rows = fetch(&self.0)?;
        let Some((last, _)) = rows.last() else { return Ok(None) };
        self.0 = std::mem::replace(&mut self.0, KeyRange::all()).after(last);
        Ok(Some(rows))
    }
}

/// Rows with pre-images: those of a view, and those of a write transaction.
pub(crate) trait PreImages {
    /// Some pre-images of a range.
    fn some_pre_images(&self, range: &KeyRange) -> Result<Vec<Row>>;

    /// Calls `each` with the key and the stored frame of every pre-image in `(after, through]`,
    /// ascending by part, then by record.
    ///
    /// # Errors
    ///
    /// `Damaged` for a key that names no record, and every error that `each` returns.
    fn each_pre_image(
        &self,
        after: Epoch,
        through: Epoch,
        mut each: impl FnMut(PreImageKey<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk(pre_images_between(after, through));
        while let Some(rows) = walk.page(|range| self.some_pre_images(range))? {
            rows.iter().try_for_each(|(key, bytes)| each(PreImageKey::read(key)?, bytes))?;
        }
        Ok(())
    }
}

impl PreImages for View {
    fn some_pre_images(&self, range: &KeyRange) -> Result<Vec<Row>> {
        self.stored().part(Table::PreImages, range, PRE_IMAGES_PER_READ)
    }
}

impl PreImages for WriteTx<'_> {
    fn some_pre_images(&self, range: &KeyRange) -> Result<Vec<Row>> {
        self.stored().part(Table::PreImages, range, PRE_IMAGES_PER_READ)
    }
}

impl WriteTx<'_> {
    /// As [`PreImages::each_pre_image`], for a closure that writes. It may not see pre-images that
    /// it adds or removes on the way.
    pub(crate) fn each_pre_image_to_change(
        &mut self,
        after: Epoch,
        through: Epoch,
        mut each: impl FnMut(&mut Self, PreImageKey<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk(pre_images_between(after, through));
        while let Some(rows) = walk.page(|range| self.some_pre_images(range))? {
            rows.iter().try_for_each(|(key, bytes)| each(self, PreImageKey::read(key)?, bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::commit::Outcome;
    use crate::engine::format::frame::{self, State};
    use crate::engine::format::schema::Place;
    use crate::engine::store::Store;
    use crate::error::ErrorKind;

    #[test]
    fn a_pre_image_with_a_short_key_is_damage_to_every_walk_and_merge() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&folder.path().join("h.redb"), &[]).unwrap();
        let seal = || store.alone(|tx| tx.seal_commit().map(Outcome::Commit)).unwrap();
        let (first, second) = (seal(), seal());
        let short = [&second.to_key()[..], &[0, 0]].concat();
        let mut absent = Vec::new();
        frame::encode(&mut absent, Place::of_record(&[0, 0]), Epoch(0), State::Absent);
        store.alone(|tx| tx.insert(Table::PreImages, &short, &absent).map(Outcome::Commit)).unwrap();
        let kind = |done: Result<()>| done.unwrap_err().kind();
        assert_eq!(kind(store.view().unwrap().each_pre_image(first, Epoch::NOW, |_, _| Ok(()))), ErrorKind::Damaged);
        let walk = store.alone(|tx| tx.each_pre_image(first, Epoch::NOW, |_, _| Ok(())).map(Outcome::Commit));
        assert_eq!(kind(walk), ErrorKind::Damaged);
        let walk =
            store.alone(|tx| tx.each_pre_image_to_change(first, Epoch::NOW, |_, _, _| Ok(())).map(Outcome::Commit));
        assert_eq!(kind(walk), ErrorKind::Damaged);
        let merged = store.alone(|tx| {
            tx.mark_forgotten(second)?;
            tx.merge_some(9).map(Outcome::Commit)
        });
        assert_eq!(kind(merged.map(drop)), ErrorKind::Damaged);
        let dropped = store.alone(|tx| {
            tx.mark_forgotten(first)?;
            tx.drop_some(9).map(Outcome::Commit)
        });
        assert_eq!(kind(dropped.map(drop)), ErrorKind::Damaged);
    }
}
