//! Takes choices from the fuzzer's bytes. When they run out, every choice is the first one.

/// The bytes that are left.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of them.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether no choice is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number under `end`, which is not zero and at most 2^24.
    pub fn below(&mut self, end: usize) -> usize {
        let bytes = if end <= 1 << 8 {
            1
        } else if end <= 1 << 16 {
            2
        } else {
            3
        };
        (0..bytes).fold(0, |number, _| number << 8 | usize::from(self.byte())) % end
    }

    /// Up to `most` bytes.
    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}
