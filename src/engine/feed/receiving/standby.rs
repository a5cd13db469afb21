//! A *standby*: a store that gets the commits of another one, and that nobody else writes to. The row `standby` of
//! `meta` makes a store one.

use serde::{Deserialize, Serialize};

#[cfg(feature = "transfer")]
use super::known_place::KnownPlace;
#[cfg(any(test, feature = "replica"))]
use crate::engine::commit::{Outcome, Size, TransactionWork, with_result};
use crate::engine::format::codec::Stored;
use crate::engine::meta;
use crate::engine::meta_row::MetaRow;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};

pub(in crate::engine::feed) const STANDBY: MetaRow<Standby> = MetaRow::new(meta::STANDBY);

/// The row of a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standby {
    /// The name of the replica that it gets its commits from.
    pub(crate) from: String,
    /// How far it has come, in words of the replica; none while it gets its first content.
    pub(crate) position: Option<Vec<u8>>,
}

impl Stored for Standby {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the position of a standby";
}

impl Standby {
    /// The commit and the time of its state, as far as they can be read.
    #[cfg(feature = "transfer")]
    pub(crate) fn place(&self) -> Option<KnownPlace> {
        self.position.as_deref().and_then(KnownPlace::of_bytes)
    }

    fn refuse(&self) -> Result<()> {
        let message = "the store is a copy that only its replica changes; take it over before you write to it";
        let from = self.from.escape_debug();
        Err(Error::conflict(format!("{message}: replica={from}")).with_hint(Hint::TakeOver))
    }
}

impl Store {
    /// The row of a standby; none for another store.
    pub(crate) fn standby(&self) -> Result<Option<Standby>> {
        STANDBY.read(&self.view()?)
    }

    /// Whether the store was a standby when it was opened.
    pub(crate) fn is_standby(&self) -> bool {
        self.inner.context().was_standby.get() == Some(&true)
    }

    /// Whether another program has made the copy that was opened here a store that is written to. Then it is not this
    /// one that ships it.
    pub(crate) fn was_promoted_since(&self) -> bool {
        self.is_standby() && matches!(self.standby(), Ok(None))
    }

    /// Whether the store is a standby in whose place another file is, as after it was made anew. This one stays as it
    /// is.
    pub(crate) fn was_replaced(&self) -> bool {
        self.is_standby() && self.inner.context().place.was_replaced()
    }

    /// Whether nobody writes through this store: it was opened for reading only, or is a standby.
    pub(crate) fn only_looks(&self) -> bool {
        self.inner.context.only_looks || self.is_standby()
    }

    /// Notes at opening whether the store is a standby. Where that cannot be read, every write looks again.
    pub(in crate::engine) fn note_standby(&self) {
        if let Ok(row) = self.standby() {
            self.inner.context().was_standby.get_or_init(|| row.is_some());
        }
    }

    /// R5: refuses a change of a standby.
    ///
    /// # Errors
    ///
    /// `Conflict` for one.
    pub(in crate::engine) fn refuse_standby(&self) -> Result<()> {
        match self.inner.context().may_be_standby() {
            true => self.standby()?.map_or(Ok(()), |standby| standby.refuse()),
            false => Ok(()),
        }
    }
}

#[cfg(any(test, feature = "replica"))]
impl Store {
    /// As [`Store::alone`], also in a standby, which nothing but its receiver changes, and in a store that was
    /// overtaken, which nothing but its taking back does.
    pub(in crate::engine) fn alone_in_standby<R>(
        &self,
        size: Size,
        work: impl FnOnce(&mut WriteTx<'_>) -> Result<Outcome<R>>,
    ) -> Result<R> {
        let run = |work: TransactionWork<'_>| {
            self.with_handle_in_turn(|handle| self.inner.gate.alone(handle, &self.inner.context, size, work))
        };
        with_result(work, |work| self.recorded(work, &run))
    }
}

impl WriteTx<'_> {
    /// The same within a transaction, as another process may have made or left the standby since the opening.
    pub(in crate::engine) fn refuse_standby(&self) -> Result<()> {
        match self.context.may_be_standby() {
            true => STANDBY.read(self)?.map_or(Ok(()), |standby| standby.refuse()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::codec;
    use crate::engine::format::digest::hex;

    #[test]
    fn the_bytes_of_the_row_of_a_standby_stay_as_they_are() {
        for (position, bytes) in [(None, "0103616263 00"), (Some(vec![7, 8]), "0103616263 01020708")] {
            let row = Standby { from: "abc".into(), position };
            let encoded = codec::encode(&row).unwrap();
            assert_eq!(hex(&encoded), bytes.replace(' ', ""));
            assert_eq!(codec::decode::<Standby>(&encoded).unwrap(), row);
        }
    }
}
