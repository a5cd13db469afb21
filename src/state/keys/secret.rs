//! The secret of a key: `hk_NAME_` and 48 hexadecimal digits. It is shown once; the store keeps its BLAKE3 hash. That
//! needs no salt and no slow hash: nobody can guess 192 random bits.

use std::fmt;

use crate::clock;
use crate::engine::digest::hex;
#[cfg(any(feature = "http", fuzzing, test))]
use crate::limits::KEY_NAME_BYTES;
use crate::state::keys::key::KeyName;

/// The beginning of every secret, by which a scanner finds one that was published.
const MARK: &str = "hk_";
/// The random bytes of a secret.
const RANDOM_BYTES: usize = 24;
/// No secret is longer.
#[cfg(any(feature = "http", fuzzing, test))]
const LONGEST: usize = MARK.len() + KEY_NAME_BYTES + 1 + 2 * RANDOM_BYTES;

/// The secret of a key. It is shown once, when the key is added or rotated.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(String);

impl KeySecret {
    pub(super) fn new(name: &KeyName) -> Self {
        let random = clock::random();
        Self(format!("{MARK}{name}_{}", hex(random.get(..RANDOM_BYTES).unwrap_or(&random))))
    }

    /// The secret itself. Give it to the holder of the key, and keep it nowhere else.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        *hash(&self.0).as_bytes()
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

/// The hash of the text of a secret. Two hashes are compared in constant time.
pub(super) fn hash(text: &str) -> blake3::Hash {
    blake3::hash(text.as_bytes())
}

/// The name in the text of a secret; none when no secret looks like that.
#[cfg(any(feature = "http", fuzzing, test))]
pub(crate) fn name_in(text: &str) -> Option<KeyName> {
    let (name, random) = text.get(..LONGEST.min(text.len()))?.strip_prefix(MARK)?.rsplit_once('_')?;
    let is_whole = text.len() <= LONGEST && random.len() == 2 * RANDOM_BYTES;
    let is_hex = random.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    name.parse().ok().filter(|_| is_whole && is_hex)
}
