//! Finding the rows of a living store that are not what was written.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::check::walk::{Way, walk};
use crate::engine::format::digest::Stats;
use crate::engine::format::frame;
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::history::tally::{Contents, stats_of};
use crate::engine::meta;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};

/// With more damaged rows than this, a repair is the shorter way.
const MOST_ROWS: usize = 10_000;

/// The damage of a store at one moment.
pub(crate) struct Damage {
    /// The damaged rows, with the BLAKE3 of what they are now.
    pub(super) rows: BTreeMap<(Table, Vec<u8>), blake3::Hash>,
    /// Tables of which not all rows can be read, and why.
    pub(super) unread: BTreeMap<Table, String>,
    /// The sums of the sound records.
    pub(super) sound: Contents,
    /// The statistics of the collections of damaged records; none where that row is damaged too.
    pub(super) stats: BTreeMap<CollectionId, Option<Stats>>,
}

/// The rows that one worker saw.
#[derive(Default)]
struct Seen {
    rows: Vec<(Vec<u8>, blake3::Hash)>,
    sound: Contents,
}

impl Damage {
    /// Whether there are rows that could be healed.
    pub(crate) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }
}

impl Store {
    /// Finds every damaged row.
    ///
    /// # Errors
    ///
    /// As a view; `Damaged` when there are too many.
    pub(crate) fn find_damage(&self) -> Result<Damage> {
        let view = self.view()?;
        let (mut rows, mut unread, mut sound) = (BTreeMap::new(), BTreeMap::new(), Contents::new());
        for table in Table::ALL {
            let walked =
                walk(&view, Way::Redb, table, &|_| Ok(()), |seen: &mut Seen, key, bytes| seen.note(table, key, bytes));
            match walked {
                Err(error) if error.kind() == ErrorKind::Damaged => drop(unread.insert(table, error.to_string())),
                walked => {
                    for seen in walked? {
                        rows.extend(seen.rows.into_iter().map(|(key, hash)| ((table, key), hash)));
                        seen.sound.iter().for_each(|(id, stats)| sound.entry(*id).or_default().merge(stats));
                    }
                }
            }
        }
        if rows.len() > MOST_ROWS {
            let message = "too many rows are damaged to be healed one by one; repair the store";
            return Err(Error::damaged(format!("{message}: rows={} most={MOST_ROWS}", rows.len())));
        }
        let live = rows.keys().filter(|(table, _)| *table == Table::Live);
        let collections: BTreeSet<_> = live.map(|(_, row)| Place::of_record(row).collection).collect();
        let stats = collections.into_iter().map(|collection| Ok((collection, stats(&view, collection)?)));
        let stats = stats.collect::<Result<_>>()?;
        Ok(Damage { rows, unread, sound, stats })
    }
}

fn stats(view: &View, collection: CollectionId) -> Result<Option<Stats>> {
    match meta::stats(view, collection) {
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => Ok(None),
        stats => stats.map(Some),
    }
}

impl Seen {
    fn note(&mut self, table: Table, key: &[u8], bytes: &[u8]) -> Result<()> {
        match frame::decode(table.place(key), bytes) {
            Ok(frame) => {
                if let (Table::Live, Some(payload)) = (table, frame.payload()) {
                    let place = Place::of_record(key);
                    self.sound.entry(place.collection).or_default().merge(&stats_of(place.key, payload));
                }
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat) => {
                // Many more than these are too many.
                if self.rows.len() <= MOST_ROWS {
                    self.rows.push((key.to_vec(), blake3::hash(bytes)));
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
