//! The records: what is written is known beforehand, so that every answer can be checked.

/// A value, in bytes.
pub const VALUE_BYTES: usize = 256;
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// So that values look like text, and compress as little as text of random digits does.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: String,
    pub value: String,
}

/// The key of a record.
pub fn key(number: u64) -> String {
    format!("task-{number:010}")
}

/// The content of a record after that many writes.
pub fn row(number: u64, version: u32) -> Row {
    let mut state = Random(SEED ^ number.wrapping_mul(0xD134_2543_DE82_EF95) ^ u64::from(version) << 40);
    let mut value = String::with_capacity(VALUE_BYTES);
    while value.len() < VALUE_BYTES {
        let bits = state.next();
        let letters = (0..8).map(|at| char::from(LETTERS[(bits >> (at * 6)) as usize % LETTERS.len()]));
        value.extend(letters);
    }
    Row { key: key(number), value }
}

/// Numbers that are the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(stream: u64) -> Self {
        Self(SEED ^ stream.wrapping_mul(0xA076_1D64_78BD_642F) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// The places of a list, in no order.
    pub fn order(&mut self, length: usize) -> Vec<usize> {
        let mut places: Vec<_> = (0..length).collect();
        self.shuffle(&mut places);
        places
    }
}

/// The numbers below `count`, each once, in no order, which is the same in every run.
pub fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<_> = (0..count).collect();
    Random::new(1).shuffle(&mut numbers);
    numbers
}

/// The expected content of a store: how often each record has been written.
#[derive(Clone)]
pub struct Model(Vec<u32>);

impl Model {
    pub fn new(records: u64) -> Self {
        Self(vec![0; records as usize])
    }

    pub fn records(&self) -> u64 {
        self.0.len() as u64
    }

    /// The content of the record now.
    pub fn row(&self, number: u64) -> Row {
        row(number, self.0[number as usize])
    }

    /// The numbers of some records, each of them once when there are enough.
    pub fn pick(&self, random: &mut Random, count: u64) -> Vec<u64> {
        let (start, records) = (random.below(self.records()), self.records());
        // Golden steps fall far from one another, so that nearly every record has a page of its own; one that shares no
        // factor with the count visits every record before it comes back to one.
        let golden = (records as f64 * 0.618_033_988_75) as u64;
        let step = (golden..).find(|step| gcd(*step, records) == 1).unwrap_or(1);
        (0..count).map(|at| (start + at * step) % records).collect()
    }

    /// The content of these records after one more write.
    pub fn rows_after(&self, numbers: &[u64]) -> Vec<Row> {
        numbers.iter().map(|number| row(*number, self.0[*number as usize] + 1)).collect()
    }

    /// These records have been written again.
    pub fn written(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.0[*number as usize] += 1);
    }

    /// The value of [`Sum`] over all records.
    pub fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        (0..self.records()).for_each(|number| {
            let row = self.row(number);
            sum.add(row.key.as_bytes(), row.value.as_bytes());
        });
        sum
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A sum over records in any order that looks at every byte and costs nearly nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: u64,
    mixed: u64,
}

impl Sum {
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mixed = [key, value].into_iter().flat_map(|bytes| bytes.chunks(8)).fold(0u64, |mixed, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            (mixed.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(SEED)
        });
        self.count += 1;
        self.mixed = self.mixed.wrapping_add(mixed);
    }
}
