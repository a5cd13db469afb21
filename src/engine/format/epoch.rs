//! Epochs: the numbers of stretches of commits, and which of them are retained as points.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::format::codec::Stored;

/// The number of a stretch of commits. It only ever grows; a restore point is a sealed epoch.
///
/// # Examples
///
/// ```
/// use hivekeep::Epoch;
///
/// assert!(Epoch(3) < Epoch(4));
/// assert_eq!(Epoch(4).to_string(), "4");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Later than every epoch: a view at it is a view of now.
    pub(crate) const NOW: Self = Self(u64::MAX);

    /// The epoch after this one.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// As it stands at the head of a key: big-endian, so that keys sort by epoch.
    pub(crate) fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The epoch at the head of a key, and what follows it.
    pub(crate) fn split_key(key: &[u8]) -> Option<(Self, &[u8])> {
        let (epoch, rest) = key.split_first_chunk::<8>()?;
        Some((Self(u64::from_be_bytes(*epoch)), rest))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The row `epochs` of `meta`: everything about points that a write needs, in one look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epochs {
    /// The epoch that writes are made in.
    pub(crate) open: Epoch,
    /// The earliest retained point; zero when there is none.
    pub(crate) first: Epoch,
    /// The newest retained point; zero when there is none.
    pub(crate) last: Epoch,
    /// How many forgotten points are still being merged into the next one.
    pub(crate) merging: u64,
    /// Pre-images up to this epoch no longer serve a point and are being dropped; zero when there are none.
    pub(crate) dropping: Epoch,
}

impl Epochs {
    /// The row of a new store.
    pub(crate) const NEW: Self =
        Self { open: Epoch(1), first: Epoch(0), last: Epoch(0), merging: 0, dropping: Epoch(0) };

    /// Whether any point is retained, so that changes must leave pre-images.
    pub(crate) fn any_point(&self) -> bool {
        self.last > Epoch(0)
    }
}

impl Stored for Epochs {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "epochs";
}
