//! Which keys are read, and in which direction.

use std::ops::{Bound, RangeBounds};

use crate::engine::format::digest::from_hex;
use crate::engine::format::schema::CollectionId;
use crate::error::{Error, Result};

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// A range of keys and the direction in which it is read.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) start: Bound<Vec<u8>>,
    pub(crate) end: Bound<Vec<u8>>,
    pub(crate) backward: bool,
}

impl KeyRange {
    /// Every key.
    pub(crate) fn all() -> Self {
        Self { start: Bound::Unbounded, end: Bound::Unbounded, backward: false }
    }

    /// The keys of a range of texts.
    pub(crate) fn of_texts<'k>(texts: &impl RangeBounds<&'k str>) -> Self {
        let bytes = |bound: Bound<&&'k str>| bound.map(|text| text.as_bytes().to_vec());
        Self { start: bytes(texts.start_bound()), end: bytes(texts.end_bound()), backward: false }
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        Self { start: Bound::Included(prefix.to_vec()), end: prefix_end(prefix), backward: false }
    }

    /// From the last key to the first.
    #[must_use]
    pub(crate) fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// The rest of the range once `key` has been read.
    #[must_use]
    pub(crate) fn after(mut self, key: &[u8]) -> Self {
        let bound = Bound::Excluded(key.to_vec());
        if self.backward {
            self.end = bound
        } else {
            self.start = bound
        }
        self
    }

    /// The rest of the range behind a page of it, whose last key in hexadecimal digits is the cursor.
    ///
    /// # Errors
    ///
    /// `Invalid` for a cursor that no page has given: its key is not in this range, or does not `fit`.
    pub(crate) fn resume(self, cursor: &str, fits: impl Fn(&[u8]) -> bool) -> Result<Self> {
        let key = from_hex(cursor).filter(|key| self.holds(key) && fits(key));
        Ok(self.after(&key.ok_or_else(|| foreign_cursor(cursor))?))
    }

    /// Whether a key lies in the range.
    fn holds(&self, key: &[u8]) -> bool {
        let bounds = (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice));
        RangeBounds::<[u8]>::contains(&bounds, key)
    }

    /// Only keys before `key`.
    #[must_use]
    pub(crate) fn until(mut self, key: &[u8]) -> Self {
        self.end = Bound::Excluded(key.to_vec());
        self
    }

    /// Only `key` and those behind it.
    #[must_use]
    pub(crate) fn from(mut self, key: &[u8]) -> Self {
        self.start = Bound::Included(key.to_vec());
        self
    }

    /// The same keys of one collection, as rows of `live`.
    pub(crate) fn within(&self, collection: CollectionId) -> Self {
        let all = Self::prefix(&collection.0.to_be_bytes());
        let row = |bound: &Bound<Vec<u8>>, otherwise: Bound<Vec<u8>>| match bound {
            Bound::Unbounded => otherwise,
            bound => bound.as_ref().map(|key| collection.row_key(key)),
        };
        Self { start: row(&self.start, all.start), end: row(&self.end, all.end), backward: self.backward }
    }

    /// Whether the rows lie in the range and follow one another in its direction.
    pub(crate) fn holds_in_order(&self, rows: &[Row]) -> bool {
        self.holds_keys_in_order(rows.iter().map(|(key, _)| key.as_slice()))
    }

    /// The same for their keys alone.
    pub(crate) fn holds_keys_in_order<'k>(&self, keys: impl DoubleEndedIterator<Item = &'k [u8]> + Clone) -> bool {
        let ends = [keys.clone().next(), keys.clone().next_back()].into_iter().flatten();
        ends.into_iter().all(|key| self.holds(key))
            && keys.is_sorted_by(|one, next| if self.backward { one > next } else { one < next })
    }

    /// Whether no key can be in it, which redb's ranges must not be asked.
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                start >= end
            }
            _ => false,
        }
    }
}

/// The error for a cursor that no page of the list has given.
pub(crate) fn foreign_cursor(cursor: &str) -> Error {
    let cursor = cursor.escape_debug();
    Error::invalid(format!("a cursor must come from the previous page of the same list: cursor={cursor}"))
}

/// The bound just behind every key that begins with `prefix`.
fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;

    #[test]
    fn the_end_of_a_prefix_is_behind_every_key_that_begins_with_it() {
        assert_eq!(prefix_end(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff"), Bound::Excluded(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff\xff"), Bound::Unbounded);
        assert_eq!(prefix_end(b""), Bound::Unbounded);
    }

    #[test]
    fn rows_that_would_lead_back_are_not_in_order() {
        let rows = |keys: &str| keys.bytes().map(|key| (vec![key], Vec::new())).collect::<Vec<_>>();
        let forward = KeyRange::all().after(b"b");
        assert!(forward.holds_in_order(&rows("")) && forward.holds_in_order(&rows("cde")));
        for wrong in ["bcd", "ced", "cc", "a", "cda"] {
            assert!(!forward.holds_in_order(&rows(wrong)), "{wrong}");
        }
        let backward = KeyRange::all().backward().after(b"d");
        assert!(backward.holds_in_order(&rows("cba")));
        for wrong in ["dcb", "bc", "e"] {
            assert!(!backward.holds_in_order(&rows(wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_range_that_holds_no_key_says_so() {
        assert!(KeyRange::prefix(b"a").until(b"a").is_empty());
        assert!(!KeyRange::prefix(b"a").is_empty());
        assert!(!KeyRange::all().is_empty());
    }

    #[test]
    fn a_cursor_goes_on_behind_its_key_and_one_of_another_range_is_refused() {
        let range = KeyRange::prefix(b"q\x04");
        let rest = range.clone().resume(&hex(b"q\x04\xff"), |_| true).unwrap();
        assert_eq!((rest.start, rest.end), (Bound::Excluded(b"q\x04\xff".to_vec()), range.end.clone()));
        for wrong in ["0", "zz", "é", "+1", "7103", "7105", "00", ""] {
            let error = range.clone().resume(wrong, |_| true).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Invalid, "{wrong}");
        }
        assert!(range.resume("7104ff", |key| key.len() < 3).is_err());
    }
}
