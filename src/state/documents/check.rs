//! Checks whether the rows of documents fit together (T1): each row has its parent, contains what its place requires,
//! and the number of rows is the one that the document states. The check goes row by row. It keeps only hashes of the
//! names in the objects around a row in memory.

use std::collections::HashSet;

use super::id::DocumentId;
use super::rows::{self, ORDER, Shape, VERSION};
use crate::engine::schema::CollectionId;
use crate::engine::view::View;
use crate::error::Result;
use crate::json::{self, MAX_DEPTH};

/// A callback for each finding: the key of the row in `documents`, and a message.
type Find<'f> = dyn FnMut(&[u8], String) + 'f;

/// Reports every row because of which a document cannot be read, or would be read as another one:
///
/// 1. Every key is the key of a document, and is at most as deep as JSON may be nested.
/// 2. Every document has its own row, and every other row has its parent.
/// 3. A row has rows below it exactly if it contains only an opening bracket. Otherwise it contains JSON.
/// 4. A row in an object has a name that is unique there.
/// 5. The document's own row states the number of rows below it.
///
/// Another check finds rows that are damaged themselves. Here they are only counted.
///
/// # Errors
///
/// `Damaged` when the pages of the file are damaged.
pub(crate) fn check_documents(view: &View, find: &mut Find<'_>) -> Result<()> {
    let mut checking = Checking { find, document: None };
    view.each_readable(CollectionId::DOCUMENTS, &mut |key, payload| {
        checking.row(key, payload);
        Ok(())
    })?;
    checking.finish();
    Ok(())
}

struct Checking<'f, 'g> {
    find: &'f mut Find<'g>,
    document: Option<Document>,
}

/// The document whose rows are being checked.
struct Document {
    id: DocumentId,
    /// The stated number of rows below its own, if it can be read, and the actual number.
    says: Option<u64>,
    found: u64,
    /// The last row and its ancestors, the document's own first.
    path: Vec<Level>,
}

struct Level {
    key: Vec<u8>,
    /// None when the row is missing or cannot be read.
    shape: Option<Shape>,
    below: u64,
    /// Hashes of the names of the members of an object.
    names: HashSet<u128>,
}

impl Level {
    fn new(key: &[u8], shape: Option<Shape>) -> Self {
        Self { key: key.to_vec(), shape, below: 0, names: HashSet::new() }
    }
}

impl Checking<'_, '_> {
    fn row(&mut self, key: &[u8], payload: Option<&[u8]>) {
        let Ok((id, path)) = rows::split_key(key) else {
            return (self.find)(key, "a row of documents has the key of no document".into());
        };
        let own = key.get(..key.len() - path.len()).unwrap_or_default();
        let same = |document: &Document| document.id == id;
        if !self.document.as_ref().is_some_and(same) {
            self.finish();
            let (says, shape) = if path.is_empty() { self.own_row(&id, key, payload) } else { (None, None) };
            if !path.is_empty() {
                (self.find)(
                    own,
                    format!("a document's own row is missing; the document cannot be read: document={id}"),
                );
            }
            self.document = Some(Document { id, says, found: 0, path: vec![Level::new(own, shape)] });
        }
        if !path.is_empty() {
            self.row_below(key, own.len(), payload);
        }
    }

    /// Reads a document's own row.
    fn own_row(&mut self, id: &DocumentId, key: &[u8], payload: Option<&[u8]>) -> (Option<u64>, Option<Shape>) {
        let Some(payload) = payload else { return (None, None) };
        if payload.first().is_some_and(|version| *version > VERSION) {
            (self.find)(key, format!("a newer version wrote a document; use that version: document={id}"));
            return (None, None);
        }
        let Some((says, text)) = rows::split_own_row(payload) else {
            (self.find)(key, format!("a document's own row says neither its version nor its rows: document={id}"));
            return (None, None);
        };
        self.text(id, key, text, 0);
        (Some(says), Some(Shape::of(text)))
    }

    /// Checks a row below the document's own, whose key has `own` bytes.
    fn row_below(&mut self, key: &[u8], own: usize, payload: Option<&[u8]>) {
        self.close(|level| !key.starts_with(&level.key));
        let Some(mut document) = self.document.take() else { return };
        let depth = (key.len() - own) / ORDER;
        if depth > MAX_DEPTH {
            let id = &document.id;
            (self.find)(key, format!("a row lies deeper than any document is: document={id}"));
        }
        while document.path.len() < depth {
            let missing = key.get(..own + document.path.len() * ORDER).unwrap_or_default();
            let id = &document.id;
            (self.find)(missing, format!("the row above other rows is missing: document={id}"));
            document.path.push(Level::new(missing, None));
        }
        document.found += 1;
        let mut shape = payload.map(Shape::of);
        if let Some(parent) = document.path.last_mut() {
            parent.below += 1;
            if parent.shape == Some(Shape::Whole) && parent.below == 1 {
                let what = format!("a row has others below it, and holds a whole element: document={}", document.id);
                (self.find)(&parent.key, what);
            }
            match payload.map(|payload| member(payload, parent)) {
                None => {}
                Some(Ok(text)) => self.text(&document.id, key, text, depth),
                Some(Err(what)) => {
                    (self.find)(key, format!("{what}: document={}", document.id));
                    shape = None;
                }
            }
        }
        document.path.push(Level::new(key, shape));
        self.document = Some(document);
    }

    /// Checks the text of an element at `depth`: an opening bracket, or JSON.
    fn text(&mut self, id: &DocumentId, key: &[u8], text: &[u8], depth: usize) {
        if text != b"["
            && text != b"{"
            && let Err(error) = json::check_inside(text, depth)
        {
            (self.find)(key, format!("a row of a document is no JSON: document={id}: {error}"));
        }
    }

    /// Ends the levels for which `done` holds, from the deepest one on.
    fn close(&mut self, done: impl Fn(&Level) -> bool) {
        let Some(document) = &mut self.document else { return };
        while let Some(level) = document.path.pop_if(|level| done(level)) {
            if level.below == 0 && level.shape.is_some_and(|shape| shape != Shape::Whole) {
                let what = format!("the rows below a row are missing: document={}", document.id);
                (self.find)(&level.key, what);
            }
        }
    }

    /// Ends the document.
    fn finish(&mut self) {
        let own = self.document.as_ref().and_then(|document| document.path.first()).map(|level| level.key.clone());
        self.close(|_| true);
        if let (Some(own), Some(Document { id, says: Some(says), found, .. })) = (own, self.document.take())
            && says != found
        {
            let what = format!(
                "the number of rows that a document names is not that of its rows: document={id} says={says} has={found}"
            );
            (self.find)(&own, what);
        }
    }
}

/// The text of an element after its name, if its place requires a name.
fn member<'p>(payload: &'p [u8], parent: &mut Level) -> std::result::Result<&'p [u8], &'static str> {
    let split = json::split_member(payload);
    match (parent.shape, split) {
        (Some(Shape::Object), Err(_)) => Err("a member of an object has no name"),
        (Some(Shape::Object), Ok((name, text))) => {
            let new = parent.names.insert(xxhash_rust::xxh3::xxh3_128(name.as_bytes()));
            if new { Ok(text) } else { Err("two members of an object have the same name") }
        }
        (None, Ok((_, text))) => Ok(text),
        (Some(_), _) | (None, Err(_)) => Ok(payload),
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::commit::Outcome;
    use crate::engine::frame::{self, State};
    use crate::engine::schema::{Place, Table};
    use crate::engine::store::Store;
    use crate::engine::write::WriteTx;
    use crate::error::{Error, ErrorKind};
    use crate::state::documents::mend_documents;

    use super::*;

    type Made = (tempfile::TempDir, Store, Vec<(Vec<u8>, Vec<u8>)>);
    /// A key, and the row that should be there.
    type Change<'c> = (&'c [u8], Option<&'c [u8]>);

    const WHOLE: &str = r#"{"bots":{"B":{"port":1},"C":{"port":2}},"tasks":[[1],[2]],"none":{}}"#;
    const OTHER: &str = r#"["x"]"#;

    fn put_both(tx: &mut WriteTx<'_>) -> Result<()> {
        for (kind, text) in [("kind", WHOLE), ("other", OTHER)] {
            tx.documents().remove(kind, "source")?;
            tx.documents().put(kind, "source", &json::parse(text.as_bytes())?)?;
        }
        Ok(())
    }

    /// A store of two documents, and the rows of the first, its own first.
    fn store() -> Made {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::options().open_with(&dir.path().join("h.redb"), &[]).unwrap();
        store.write(put_both).unwrap();
        let mut rows = Vec::new();
        let collect = &mut |key: &[u8], payload: Option<&[u8]>| {
            rows.push((key.to_vec(), payload.unwrap().to_vec()));
            Ok(())
        };
        store.view().unwrap().each_readable(CollectionId::DOCUMENTS, collect).unwrap();
        rows.truncate(8);
        (dir, store, rows)
    }

    fn found(view: &View) -> Vec<(Vec<u8>, String)> {
        let mut found = Vec::new();
        check_documents(view, &mut |key, what| found.push((key.to_vec(), what))).unwrap();
        found
    }

    /// The findings after rows were changed with all that belongs to them. The store is then mended, and has no
    /// findings.
    fn found_after(store: &Store, changes: &[Change<'_>]) -> Vec<(Vec<u8>, String)> {
        let change = |tx: &mut WriteTx<'_>| {
            put_both(tx)?;
            changes.iter().try_for_each(|(key, payload)| match payload {
                Some(payload) => tx.put(CollectionId::DOCUMENTS, key, payload),
                None => tx.remove(CollectionId::DOCUMENTS, key).map(drop),
            })
        };
        store.write(change).unwrap();
        let view = store.view().unwrap();
        let wrong = found(&view);
        let read = view.documents().list().try_for_each(|id| {
            let id = id?;
            view.documents().get(id.kind(), id.source()).map(drop)
        });
        assert_eq!(read.is_err(), !wrong.is_empty(), "{read:?} {wrong:?} {changes:?}");
        match store.write(mend_documents) {
            Ok(notes) => {
                assert_eq!(notes.is_empty(), wrong.is_empty(), "{notes:?} {wrong:?}");
                let view = store.view().unwrap();
                assert_eq!(found(&view), []);
                assert!(view.documents().list().all(|id| {
                    let id = id.unwrap();
                    view.documents().get(id.kind(), id.source()).is_ok()
                }));
                assert_eq!(view.documents().text("other", "source").unwrap().unwrap(), OTHER);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NewerFormat),
        }
        wrong
    }

    #[test]
    fn a_document_is_found_wrong_exactly_when_it_cannot_be_read() {
        let (_dir, store, rows) = store();
        assert_eq!(found(&store.view().unwrap()), []);
        let payloads: [&[u8]; 18] = [
            b"",
            b"\x01",
            b"\x01{",
            b"\x021",
            b"\x01\x07\0\0\0\0\0\0\0{",
            b"\x01\x07\0\0\0\0\0\0\0[",
            b"\x01\x07\0\0\0\0\0\0\x01{",
            b"\x01\x07\0\0\0\0\0\0\0{}",
            b"\"B\":{\"port\":1}",
            b"\"B\":1{",
            b"\"C\":{",
            b"\"x\":",
            b"\"x\":1,\"y\":2",
            b"\"x\"",
            b"[1]",
            b"{}[",
            b"[",
            b"{",
        ];
        let mut wrong = 0;
        for (at, (key, _)) in rows.iter().enumerate() {
            let mut changes: Vec<Vec<Change<'_>>> = vec![vec![(key, None)]];
            changes.extend(payloads.iter().map(|payload| vec![(key.as_slice(), Some(*payload))]));
            let below = [&key[..], &[9; ORDER]].concat();
            let deep = [&key[..], &[9; 3 * ORDER]].concat();
            let stray = [&key[..], b"x"].concat();
            changes.extend([&below, &deep, &stray].map(|added| vec![(added.as_slice(), Some(&b"1"[..]))]));
            for (other, _) in &rows[at + 1..] {
                changes.push(vec![(key, None), (other, None)]);
            }
            wrong += changes.iter().filter(|changes| !found_after(&store, changes).is_empty()).count();
        }
        assert!(wrong > 150, "{wrong}");
    }

    #[test]
    fn a_finding_names_the_row_that_is_wrong() {
        let (_dir, store, rows) = store();
        let key = |at: usize| rows[at].0.as_slice();
        // The document, its bots B and C, its tasks 1 and 2, and the empty container.
        let stray = [key(0), b"x"].concat();
        let deep = [key(7), &[1; 2 * ORDER][..]].concat();
        let abyss = [key(0), &[1; 129 * ORDER][..]].concat();
        let cases: [(Change<'_>, &[u8], &str); 14] = [
            (
                (key(0), None),
                key(0),
                "a document's own row is missing; the document cannot be read: document=kind/source",
            ),
            (
                (key(0), Some(b"\x09")),
                key(0),
                "a newer version wrote a document; use that version: document=kind/source",
            ),
            (
                (key(0), Some(b"\x01{")),
                key(0),
                "a document's own row says neither its version nor its rows: document=kind/source",
            ),
            ((key(1), None), key(1), "the row above other rows is missing: document=kind/source"),
            (
                (key(3), None),
                key(0),
                "the number of rows that a document names is not that of its rows: document=kind/source says=7 has=6",
            ),
            ((&stray, Some(b"1")), &stray, "a row of documents has the key of no document"),
            ((&abyss, Some(b"1")), &abyss, "a row lies deeper than any document is: document=kind/source"),
            (
                (&deep, Some(b"1")),
                &deep[..key(7).len() + ORDER],
                "the row above other rows is missing: document=kind/source",
            ),
            ((key(7), Some(b"\"t\":[")), key(7), "the rows below a row are missing: document=kind/source"),
            (
                (key(1), Some(b"\"bots\":1")),
                key(1),
                "a row has others below it, and holds a whole element: document=kind/source",
            ),
            ((key(2), Some(b"{\"port\":1}")), key(2), "a member of an object has no name: document=kind/source"),
            ((key(3), Some(b"\"B\":1")), key(3), "two members of an object have the same name: document=kind/source"),
            (
                (key(5), Some(b"[1")),
                key(5),
                "a row of a document is no JSON: document=kind/source: a comma or the end of the array is missing: pointer=\"\" offset=2",
            ),
            ((key(7), Some(b"\"none\":{")), key(7), "the rows below a row are missing: document=kind/source"),
        ];
        for (change, at, what) in cases {
            let found = found_after(&store, &[change]);
            assert!(found.contains(&(at.to_vec(), what.to_owned())), "{what}: {found:#?}");
        }
    }

    #[test]
    fn a_damaged_row_counts_and_what_lies_behind_it_is_still_checked() {
        let (_dir, store, rows) = store();
        let damage = |tx: &mut WriteTx<'_>| {
            let row = CollectionId::DOCUMENTS.row_key(&rows[1].0);
            tx.insert(Table::Live, &row, b"not a frame")?;
            // Removed without its document knowing of it.
            let other = CollectionId::DOCUMENTS.row_key(&rows[6].0);
            tx.delete(Table::Live, &other)?;
            Ok(Outcome::Commit(()))
        };
        store.alone(damage).unwrap();
        let said = found(&store.view().unwrap()).into_iter().map(|(_, what)| what).collect::<Vec<_>>();
        assert_eq!(
            said,
            ["the number of rows that a document names is not that of its rows: document=kind/source says=7 has=6"]
        );
    }

    #[test]
    fn the_past_is_checked_as_it_was() {
        let (_dir, store, rows) = store();
        let row = CollectionId::DOCUMENTS.row_key(&rows[2].0);
        let seal = |tx: &mut WriteTx<'_>| tx.seal_commit().map(Outcome::Commit);
        let epoch = store.alone(seal).unwrap();
        store.write(|tx| tx.documents().remove("kind", "source")).unwrap();
        assert_eq!(found(&store.view_at(epoch).unwrap()), []);
        let lose = |tx: &mut WriteTx<'_>| {
            let key = crate::engine::keys::pre_image_key(tx.epochs().open, &row);
            let mut absent = Vec::new();
            frame::encode(&mut absent, Place::of_record(&row), crate::engine::epoch::Epoch(0), State::Absent);
            tx.insert(Table::PreImages, &key, &absent)?;
            Ok(Outcome::Commit(()))
        };
        store.alone(lose).unwrap();
        let said = found(&store.view_at(epoch).unwrap());
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].1.ends_with("says=7 has=6"));
    }

    #[test]
    fn every_element_that_is_left_is_kept() {
        let (_dir, _store, rows) = store();
        let key = |at: usize| rows[at].0.clone();
        let kept = [
            (vec![0], r#"{"bots":{"B":{"port":1},"C":{"port":2}},"tasks":[[1],[2]],"none":{}}"#),
            (vec![2], r#"{"bots":{"C":{"port":2}},"tasks":[[1],[2]],"none":{}}"#),
            (vec![1], r#"{"recovered":{"B":{"port":1},"C":{"port":2}},"tasks":[[1],[2]],"none":{}}"#),
            (vec![1, 4], r#"{"recovered":{"B":{"port":1},"C":{"port":2}},"recovered 2":[[1],[2]],"none":{}}"#),
            (vec![0, 1], r#"{"recovered":{"B":{"port":1},"C":{"port":2}},"tasks":[[1],[2]],"none":{}}"#),
            (vec![5, 6], r#"{"bots":{"B":{"port":1},"C":{"port":2}},"tasks":[],"none":{}}"#),
        ];
        for (lost, expected) in kept {
            let (_dir, store, _) = store_without(&lost.into_iter().map(key).collect::<Vec<_>>());
            let notes = store.write(mend_documents).unwrap();
            assert_eq!(notes.len(), 1);
            assert!(notes[0].contains("document=kind/source rows="), "{notes:?}");
            assert_eq!(store.view().unwrap().documents().text("kind", "source").unwrap().unwrap(), expected);
        }
    }

    #[test]
    fn members_that_lost_their_names_are_numbered_and_leave_the_names_of_others_alone() {
        let (_dir, store, rows) = store();
        let bots = rows[1].0.clone();
        let change = |tx: &mut WriteTx<'_>| {
            (0..5000u64).try_for_each(|at| {
                let key = [&bots[..], &(u64::MAX - 1 - at).to_be_bytes()].concat();
                tx.put(CollectionId::DOCUMENTS, &key, at.to_string().as_bytes())
            })?;
            for (order, payload) in [(1, "\"B\":0"), (2, "\"B 2\":0"), (u64::MAX, "\"recovered 7\":0")] {
                let key = [&bots[..], &u64::to_be_bytes(order)].concat();
                tx.put(CollectionId::DOCUMENTS, &key, payload.as_bytes())?;
            }
            Ok(())
        };
        store.write(change).unwrap();
        store.write(mend_documents).unwrap();
        let document = store.view().unwrap().documents().get("kind", "source").unwrap().unwrap();
        let bots = document["bots"].as_object().unwrap();
        assert_eq!(bots.len(), 5005);
        for (name, value) in [("recovered", 4999), ("recovered 2", 4998), ("recovered 7", 0), ("recovered 5001", 0)] {
            assert_eq!(bots[name], value, "{name}");
        }
        assert_eq!((&bots["B"], &bots["B 2"], &bots["B 3"]["port"]), (&0.into(), &0.into(), &1.into()));
    }

    #[test]
    fn an_element_that_newer_rows_replaced_is_reported() {
        let (_dir, store, rows) = store();
        let earlier = br#""bots":{"B":{"port":1},"D":{"port":4}}"#;
        store.write(|tx| tx.put(CollectionId::DOCUMENTS, &rows[1].0, earlier)).unwrap();
        let notes = store.write(mend_documents).unwrap();
        assert!(notes[0].ends_with("of=7 earlier_values_dropped=1"), "{notes:?}");
        assert_eq!(store.view().unwrap().documents().text("kind", "source").unwrap().unwrap(), WHOLE);
    }

    fn store_without(lost: &[Vec<u8>]) -> Made {
        let made = store();
        let lose = |tx: &mut WriteTx<'_>| -> std::result::Result<(), Error> {
            lost.iter().try_for_each(|key| tx.remove(CollectionId::DOCUMENTS, key).map(drop))
        };
        made.1.write(lose).unwrap();
        made
    }
}
