//! The records of a point, for a long read. The view is renewed on the way, so that the file can reuse pages that were
//! freed meanwhile.

use crate::engine::records::{KeyRange, Records, Row, next_page};
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::recovery::points::point::Point;

/// The number of pages after which a view is renewed.
const PAGES: u32 = 256;

/// A point that is being read.
pub(super) struct Source<'s> {
    store: &'s Store,
    point: Point,
    view: View,
    pages: u32,
}

impl<'s> Source<'s> {
    /// # Errors
    ///
    /// `Gone` when the point is not retained.
    pub(in crate::transfer::archive) fn new(store: &'s Store, point: Point) -> Result<Self> {
        let view = store.view_at(point.epoch)?;
        Ok(Self { store, point, view, pages: 0 })
    }

    /// The present state, which no point keeps: one view of it is read to the end.
    pub(super) fn of_now(store: &'s Store, view: View) -> Self {
        Self { store, point: view.unsealed_point(), view, pages: 0 }
    }

    /// The point.
    pub(in crate::transfer::archive) fn point(&self) -> &Point {
        &self.point
    }

    /// A view of the point.
    pub(in crate::transfer::archive) fn view(&self) -> &View {
        &self.view
    }

    /// The next page of a collection, with this many records and the rest of the range. Pages of long records have
    /// fewer.
    pub(in crate::transfer::archive) fn page(
        &mut self,
        collection: CollectionId,
        rest: &mut Option<KeyRange>,
        limit: &mut usize,
    ) -> Result<Vec<Row>> {
        self.renew()?;
        next_page(rest, limit, |range, limit| self.view.part(collection, range, limit))
    }

    /// Renews the view from time to time. If the point has been forgotten, it keeps the old view, which still contains
    /// the point. So a point that is being archived needs no hold.
    fn renew(&mut self) -> Result<()> {
        self.pages += 1;
        if self.pages < PAGES || self.view.is_now() {
            return Ok(());
        }
        self.pages = 0;
        match self.store.view_at(self.point.epoch) {
            Ok(view) => self.view = view,
            Err(error) if error.kind() == ErrorKind::Gone => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::records::FIRST_PAGE;
    use crate::recovery::points::selector::Selector;

    #[test]
    fn long_records_are_read_a_few_at_a_time_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        let put = |tx: &mut crate::WriteTx<'_>| {
            let long = serde_json::Value::String("x".repeat(2 << 20));
            (0..12).try_for_each(|number| tx.config().put(&format!("{number:02}"), &long))
        };
        store.write(put).unwrap();
        let epoch = store.restore_point("long").unwrap();
        let point = store.find_point(Selector::from(&epoch)).unwrap().unwrap();
        let mut source = Source::new(&store, point).unwrap();
        let (mut rest, mut limit, mut read) = (Some(KeyRange::all()), FIRST_PAGE, 0);
        while rest.is_some() {
            let page = source.page(CollectionId::CONFIG, &mut rest, &mut limit).unwrap();
            assert!(page.len() <= 3, "{} records of 2 MiB", page.len());
            read += page.len();
        }
        assert_eq!(read, 12);
    }
}
