//! The body of an object on its way: compressed, and encrypted if the replica is.
//!
//! Each term has a random key, which its claim has encrypted with age for the recipients of the replica.
//! XChaCha20-Poly1305 binds the body to the object's name and head, so a bucket cannot give one object for another. The
//! nonce of the cipher follows from the name and the object's own nonce, so that a second try writes the same bytes.

use std::fmt;
use std::io::{Read, Write};

use age::x25519::{Identity, Recipient};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::clock;
use crate::engine::digest::{from_hex, hex};
use crate::error::{Error, Hint, Result};
use crate::replica::objects::layout::{BODY_MAX, Nonce};
use crate::replica::objects::name::ObjectName;

/// The level of zstd: a higher one costs more time than it saves bytes, for commits of a second.
const LEVEL: i32 = 3;
/// The greatest number of recipients: the head of a claim has a line for each.
const RECIPIENTS_MAX: usize = 64;
/// The greatest length of an encrypted key.
const WRAPPED_MAX: usize = 24 << 10;
/// The context of the derivation of the cipher's nonces.
const NONCE_CONTEXT: &str = "hivekeep replica 1 nonce of a body";

/// The key with which the bodies of a term are encrypted.
#[derive(Clone)]
pub(crate) struct TermKey(XChaCha20Poly1305, [u8; 32]);

/// The public keys whose holders read a replica.
#[derive(Clone)]
pub(crate) struct Recipients(Vec<Recipient>);

/// The secret keys that read a replica.
#[derive(Clone, Default)]
pub(crate) struct Identities(Vec<Identity>);

impl Recipients {
    /// Reads public keys such as `age1..`.
    ///
    /// # Errors
    ///
    /// `Invalid` for other texts, for none, and for too many.
    pub(crate) fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self> {
        if texts.is_empty() || texts.len() > RECIPIENTS_MAX {
            let count = texts.len();
            return Err(Error::invalid(format!(
                "a replica is encrypted for at least one recipient and at most {RECIPIENTS_MAX}: recipients={count}"
            )));
        }
        let parsed = texts.iter().map(|text| {
            let text = text.as_ref().trim();
            text.parse().map_err(|why: &str| {
                let shown = text.escape_debug();
                Error::invalid(format!("a recipient is a public key such as age1...: {why}: recipient={shown}"))
            })
        });
        Ok(Self(parsed.collect::<Result<_>>()?))
    }

    /// The public keys as texts, as the description of a replica has them.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl Identities {
    /// Reads the secret keys in a text, one in each line; `#` starts a comment.
    ///
    /// # Errors
    ///
    /// `Invalid` for other lines, and if there is none. No message repeats a line, because it is secret.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let parsed = lines.map(|line| {
            line.parse().map_err(|why: &str| {
                Error::invalid(format!("an identity is a secret key such as AGE-SECRET-KEY-1...: {why}"))
            })
        });
        let parsed = Self(parsed.collect::<Result<_>>()?);
        if parsed.0.is_empty() {
            return Err(Error::invalid("there is no secret key in the identity file"));
        }
        Ok(parsed)
    }
}

impl TermKey {
    /// A key that nobody can guess.
    pub(crate) fn new() -> Self {
        Self::of(clock::random())
    }

    fn of(bytes: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&bytes.into()), bytes)
    }

    /// The key as its own store keeps it, beside the plain text.
    pub(crate) fn to_hex(&self) -> String {
        hex(&self.1)
    }

    /// Reads such a key.
    ///
    /// # Errors
    ///
    /// `Damaged` for another text.
    pub(crate) fn of_hex(text: &str) -> Result<Self> {
        let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self::of).ok_or_else(|| Error::damaged("the kept key of a term is damaged"))
    }

    /// The key, encrypted for the recipients.
    ///
    /// # Errors
    ///
    /// `Invalid`; `Io`.
    pub(crate) fn wrap(&self, recipients: &Recipients) -> Result<String> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::invalid("the key of a term cannot be encrypted").with_source(source)
        };
        let recipients = recipients.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| refused(error.into()))?;
        let mut wrapped = Vec::new();
        let mut stream = encryptor.wrap_output(&mut wrapped)?;
        stream.write_all(&self.1)?;
        stream.finish()?;
        Ok(hex(&wrapped))
    }

    /// The key that was encrypted.
    ///
    /// # Errors
    ///
    /// `Invalid` with a hint if no identity fits; `Damaged`.
    pub(crate) fn unwrap(wrapped: &str, identities: &Identities) -> Result<Self> {
        let damaged = || Error::damaged("the key of a term of the replica is damaged");
        if wrapped.len() > 2 * WRAPPED_MAX {
            return Err(damaged());
        }
        if identities.0.is_empty() {
            let why = "the replica is encrypted; give an identity that can decrypt it";
            return Err(Error::invalid(why).with_hint(Hint::GiveIdentity));
        }
        let wrapped = from_hex(wrapped).ok_or_else(damaged)?;
        let decryptor = age::Decryptor::new(&wrapped[..]).map_err(|source| damaged().with_source(source))?;
        let identities = identities.0.iter().map(|identity| identity as &dyn age::Identity);
        let stream = decryptor.decrypt(identities).map_err(|source| match source {
            age::DecryptError::NoMatchingKeys => {
                Error::invalid("the replica is encrypted for another key").with_hint(Hint::GiveIdentity)
            }
            source => damaged().with_source(source),
        })?;
        let mut key = Vec::new();
        // One byte more than a key has is enough to notice a longer one.
        stream.take(33).read_to_end(&mut key).map_err(|source| damaged().with_source(source))?;
        Ok(Self::of(key.try_into().map_err(|_| damaged())?))
    }
}

/// The body of an object, compressed, and encrypted if there is a key.
///
/// # Errors
///
/// `Invalid` when it is too long; `Io`.
pub(crate) fn seal(
    key: Option<&TermKey>,
    name: &ObjectName,
    nonce: Nonce,
    head: &[u8],
    body: &[u8],
) -> Result<Vec<u8>> {
    if body.len() > BODY_MAX {
        return Err(Error::invalid(format!("the body of an object is too long: object={name} bytes={}", body.len())));
    }
    let packed = zstd::bulk::compress(body, LEVEL)?;
    let Some(TermKey(cipher, _)) = key else { return Ok(packed) };
    let bound = bound(name, head);
    let sealed = cipher.encrypt(&cipher_nonce(name, nonce), Payload { msg: &packed, aad: &bound });
    sealed.map_err(|_| Error::invalid(format!("the body of an object cannot be encrypted: object={name}")))
}

/// The body as it was before [`seal`].
///
/// # Errors
///
/// `Damaged` if it differs, also in its length.
pub(crate) fn open(
    key: Option<&TermKey>,
    name: &ObjectName,
    nonce: Nonce,
    head: &[u8],
    body: &[u8],
    length: u64,
) -> Result<Vec<u8>> {
    let damaged = |why: &str| Error::damaged(format!("{why}: object={name} bytes={}", body.len()));
    let length = usize::try_from(length).ok().filter(|length| *length <= BODY_MAX);
    let length = length.ok_or_else(|| damaged("the body of an object is longer than any that is written"))?;
    let decrypted = match key {
        None => None,
        Some(TermKey(cipher, _)) => {
            let bound = bound(name, head);
            let opened = cipher.decrypt(&cipher_nonce(name, nonce), Payload { msg: body, aad: &bound });
            Some(opened.map_err(|_| damaged("the body of an object was not encrypted with the key of its term"))?)
        }
    };
    let packed = decrypted.as_deref().unwrap_or(body);
    let unpacked = zstd::bulk::decompress(packed, length)
        .map_err(|source| damaged("the body of an object cannot be unpacked").with_source(source))?;
    if unpacked.len() != length {
        return Err(damaged("the body of an object is shorter than its head says"));
    }
    Ok(unpacked)
}

/// The bytes that the cipher covers beside the body.
fn bound(name: &ObjectName, head: &[u8]) -> Vec<u8> {
    [name.to_string().as_bytes(), b"\n", head].concat()
}

fn cipher_nonce(name: &ObjectName, nonce: Nonce) -> XNonce {
    let mut hasher = blake3::Hasher::new_derive_key(NONCE_CONTEXT);
    hasher.update(&nonce.0.to_be_bytes());
    hasher.update(name.to_string().as_bytes());
    let mut bytes = [0; 24];
    hasher.finalize_xof().fill(&mut bytes);
    XNonce::from(bytes)
}

impl fmt::Debug for TermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TermKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").finish_non_exhaustive()
    }
}

/// A pair of keys, for tests.
#[cfg(test)]
pub(crate) fn key_pair() -> (Recipients, Identities) {
    use age::secrecy::ExposeSecret;
    let identity = Identity::generate();
    let identities = Identities::parse(identity.to_string().expose_secret()).unwrap();
    (Recipients::parse(&[identity.to_public().to_string()]).unwrap(), identities)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::replica::objects::name::Term;

    const NAME: ObjectName = ObjectName::Term(Term(7));
    const NONCE: Nonce = Nonce(5);

    fn sealed(key: Option<&TermKey>) -> Vec<u8> {
        seal(key, &NAME, NONCE, b"head\n", b"the body, the body, the body").unwrap()
    }

    /// The bytes of a body, which every version reads. A later zstd may write others.
    const PLAIN: &str = "28b52ffd201c8500005074686520626f64792c200100f50a12";
    const ENCRYPTED: &str = "80a40707ac5d2f6b96f520d942a807350d361a098604f89ffac3ed58deb73d843ab0319e76acc2f24c";

    #[test]
    fn a_body_of_golden_bytes_is_read_and_what_is_written_reads_back() {
        let key = TermKey::of([3; 32]);
        assert_eq!(hex(&sealed(Some(&key))), ENCRYPTED);
        for (key, golden) in [(None, PLAIN), (Some(&key), ENCRYPTED)] {
            for body in [from_hex(golden).unwrap(), sealed(key)] {
                let opened = open(key, &NAME, NONCE, b"head\n", &body, 28).unwrap();
                assert_eq!(opened, b"the body, the body, the body");
            }
        }
    }

    #[test]
    fn an_encrypted_body_reads_with_its_key_name_nonce_and_head_alone() {
        let (key, other) = (TermKey::new(), TermKey::new());
        let body = sealed(Some(&key));
        assert_eq!(sealed(Some(&key)), body, "a second try writes the same bytes");
        let refused = |key: Option<&TermKey>, name, nonce, head: &[u8], body: &[u8]| {
            assert_eq!(open(key, &name, nonce, head, body, 28).unwrap_err().kind(), ErrorKind::Damaged);
        };
        refused(Some(&other), NAME, NONCE, b"head\n", &body);
        refused(None, NAME, NONCE, b"head\n", &body);
        refused(Some(&key), ObjectName::Store, NONCE, b"head\n", &body);
        refused(Some(&key), NAME, Nonce(6), b"head\n", &body);
        refused(Some(&key), NAME, NONCE, b"heat\n", &body);
        refused(Some(&key), NAME, NONCE, b"head\n", &sealed(None));
        for at in 0..body.len() {
            let mut flipped = body.clone();
            flipped[at] ^= 1;
            refused(Some(&key), NAME, NONCE, b"head\n", &flipped);
        }
    }

    #[test]
    fn a_body_of_another_length_than_its_head_says_is_damaged() {
        let body = sealed(None);
        for length in [0, 27, 29, BODY_MAX as u64 + 1, u64::MAX] {
            let error = open(None, &NAME, NONCE, b"", &body, length).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{length}");
        }
        let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 3).unwrap();
        assert_eq!(open(None, &NAME, NONCE, b"", &bomb, 100).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(seal(None, &NAME, NONCE, b"", &vec![0; BODY_MAX + 1]).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_key_is_read_by_each_recipient_and_by_nobody_else() {
        let (one, first) = key_pair();
        let (two, second) = key_pair();
        let key = TermKey::new();
        let both = Recipients::parse(&[one.texts(), two.texts()].concat()).unwrap();
        let wrapped = key.wrap(&both).unwrap();
        for identities in [first, second] {
            assert_eq!(TermKey::unwrap(&wrapped, &identities).unwrap().1, key.1);
        }
        for identities in [key_pair().1, Identities::default()] {
            let error = TermKey::unwrap(&wrapped, &identities).unwrap_err();
            assert_eq!((error.kind(), error.hint()), (ErrorKind::Invalid, Some(&Hint::GiveIdentity)));
        }
    }

    #[test]
    fn a_damaged_key_is_refused() {
        let (recipients, identities) = key_pair();
        let wrapped = TermKey::new().wrap(&recipients).unwrap();
        let cut = &wrapped[..wrapped.len() - 2];
        for text in ["", "zz", "00", cut, &"00".repeat(WRAPPED_MAX + 1)] {
            assert_eq!(TermKey::unwrap(text, &identities).unwrap_err().kind(), ErrorKind::Damaged, "{text:.20}");
        }
        assert!(Recipients::parse::<&str>(&[]).is_err() && Recipients::parse(&["age1no"]).is_err());
        assert!(Identities::parse("# none\n").is_err());
        let error = Identities::parse("AGE-SECRET-KEY-1NO").unwrap_err();
        assert!(!error.to_string().contains("KEY-1NO"), "{error}");
    }
}
