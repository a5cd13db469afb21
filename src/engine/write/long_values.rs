//! Writing values of any length: pieces of a long one are records of their own.

use crate::engine::format::frame::State;
use crate::engine::format::schema::CollectionId;
use crate::engine::format::value::{MAX_WHOLE, PIECE, head, piece_key, whole};
use crate::engine::records::Records;
use crate::engine::write::found::Found;
use crate::engine::write::transaction::WriteTx;
use crate::error::{Error, Result};

impl WriteTx<'_> {
    /// Writes a value in one frame, or in pieces when it is long. Pieces that stay the same are not written.
    pub(super) fn put_value(
        &mut self,
        collection: CollectionId,
        key: &[u8],
        payload: &[u8],
        found: Option<Found>,
    ) -> Result<()> {
        if payload.len() <= MAX_WHOLE {
            let before = self.put_state_over(found, collection, key, State::Present(payload))?;
            return self.remove_pieces(collection, key, 0..before);
        }
        let before = self.put_state_over(found, collection, key, State::Chunked(&head(payload)))?;
        let mut after = 0;
        for bytes in payload.chunks(PIECE) {
            let piece = piece_key(collection, key, after);
            if after >= before || self.get(CollectionId::CHUNKS, &piece)?.as_deref() != Some(bytes) {
                self.put_state(CollectionId::CHUNKS, &piece, State::Present(bytes))?;
            }
            after += 1;
        }
        self.remove_pieces(collection, key, after..before)
    }

    /// Removes a value, with its pieces when it has some.
    pub(super) fn remove_value(&mut self, collection: CollectionId, key: &[u8], found: Option<Found>) -> Result<bool> {
        let Some(pieces) = self.remove_state_over(found, collection, key)? else { return Ok(false) };
        self.remove_pieces(collection, key, 0..pieces)?;
        Ok(true)
    }

    /// The value that a frame of this transaction stands for.
    pub(crate) fn whole_value(
        &self,
        collection: CollectionId,
        key: &[u8],
        state: State<'_>,
    ) -> Result<Option<Vec<u8>>> {
        whole(collection, key, state, |piece| self.get(CollectionId::CHUNKS, piece))
    }

    fn remove_pieces(&mut self, collection: CollectionId, key: &[u8], pieces: std::ops::Range<u32>) -> Result<()> {
        for piece in pieces {
            let piece = piece_key(collection, key, piece);
            // Also what ends the loop when a damaged head names pieces without end.
            if self.remove_state(CollectionId::CHUNKS, &piece)?.is_none() {
                return Err(Error::damaged(format!("a piece of a long value is missing: key={}", key.escape_ascii())));
            }
        }
        Ok(())
    }
}
