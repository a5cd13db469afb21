//! The records of a point, read for as long as it takes. The view is renewed on the way, so that the file can use again
//! what was freed meanwhile.

use crate::engine::records::{KeyRange, Records, Row};
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::recovery::points::Point;

/// Records read at a time.
const PAGE: usize = 256;
/// A view is renewed after so many pages.
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
    pub(super) fn new(store: &'s Store, point: Point) -> Result<Self> {
        let view = store.view_at(point.epoch)?;
        Ok(Self { store, point, view, pages: 0 })
    }

    /// What is being read.
    pub(super) fn point(&self) -> &Point {
        &self.point
    }

    /// A view of the point.
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// The records of a collection behind a key.
    pub(super) fn page(&mut self, collection: CollectionId, after: Option<&[u8]>) -> Result<Vec<Row>> {
        self.renew()?;
        let range = after.map_or_else(KeyRange::all, |key| KeyRange::all().after(key));
        self.view.page(collection, &range, PAGE)
    }

    /// Renews the view from time to time. When the point has been forgotten, the old view, which still has it, is kept
    /// to the end instead; so a point being archived needs no hold.
    fn renew(&mut self) -> Result<()> {
        self.pages += 1;
        if self.pages < PAGES {
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
