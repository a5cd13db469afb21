//! Where a test's choices come from: the fuzzer's bytes as long as there are any, then numbers that follow from a seed.

/// A source of choices. Clones go on in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    bytes: std::vec::IntoIter<u8>,
    state: u64,
}

impl Choices {
    /// The same choices for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { bytes: Vec::new().into_iter(), state: seed }
    }

    /// One choice for each byte, and seeded ones behind the last.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let seed = bytes.iter().fold(1, |seed, byte| mixed(seed ^ u64::from(*byte)));
        Self { bytes: Vec::from(bytes).into_iter(), state: seed }
    }

    /// Whether the bytes have run out.
    pub(crate) fn is_spent(&self) -> bool {
        self.bytes.len() == 0
    }

    /// A number under `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        match self.bytes.next() {
            Some(byte) => usize::from(byte) % end,
            None => {
                self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                usize::try_from(mixed(self.state) >> 11).unwrap_or_default() % end
            }
        }
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several, which are not none.
    pub(crate) fn of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        let at = self.below(several.len());
        &several[at]
    }
}

/// The finalizer of splitmix64.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
