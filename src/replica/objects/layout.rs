//! The bytes around every object: a line of JSON, the *head*; the body, which may be empty; and a line with the check.
//! The check covers the name too, so an object under another name is damage.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::name::ObjectName;
use crate::engine::digest::{from_hex, hex};
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// The format of most objects,
pub(super) const FORMAT: u64 = 1;
/// and of those that an earlier version must not read: the opening of a promotion, or with a lease.
pub(super) const FORMAT_OF_MOVES: u64 = 2;
/// The greatest length of a head. The longest have the wrapped key of a term, or the recipients of a store.
const HEAD_MAX: usize = 64 << 10;
/// The greatest length of a body before it is compressed.
pub(crate) const BODY_MAX: usize = 64 << 20;
/// The greatest length of an object: a body that cannot be compressed, and what stands around it.
pub(crate) const OBJECT_MAX: usize = BODY_MAX + (2 << 20);
/// The hexadecimal digits of the check, and a line feed.
const CHECK_LEN: usize = 65;

/// The check of an object, which stands for all of its bytes and its name. The next object of the log repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectHash(pub(crate) [u8; 32]);

/// The id of a store and of its replica.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(pub(crate) u128);

/// A number that only one object has, so that its writer recognizes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Nonce(pub(crate) u128);

/// An object whose check is right.
#[derive(Clone, Debug)]
pub(crate) struct Unpacked {
    /// The kind of the object, such as `batch`.
    pub(crate) kind: String,
    pub(crate) format: u64,
    pub(crate) fields: Value,
    /// The head as it was written, which the cipher covers.
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
    pub(crate) hash: ObjectHash,
}

impl Nonce {
    /// A number that nobody else has.
    pub(crate) fn new() -> Self {
        Self(random())
    }
}

impl StoreId {
    /// An id that no other store has.
    pub(crate) fn new() -> Self {
        Self(random())
    }
}

fn random() -> u128 {
    u128::from_le_bytes(*crate::clock::random().first_chunk().unwrap_or(&[0; 16]))
}

/// The line with which an object begins.
///
/// # Errors
///
/// `Invalid` when it is too long.
pub(crate) fn head(kind: &str, format: u64, fields: &impl Serialize) -> Result<Vec<u8>> {
    let fields = serde_json::to_string(fields).map_err(|source| {
        Error::invalid(format!("the head of an object cannot be written: kind={kind}")).with_source(source)
    })?;
    let rest = fields.strip_prefix('{').unwrap_or(&fields);
    let head = format!("{{\"hivekeep\":\"{kind}\",\"format\":{format},{rest}\n").into_bytes();
    if head.len() > HEAD_MAX {
        return Err(Error::invalid(format!("the head of an object is too long: kind={kind} bytes={}", head.len())));
    }
    Ok(head)
}

/// An object of a head and a body, and its hash.
///
/// # Errors
///
/// `Invalid` when it is too long.
pub(crate) fn pack(name: &ObjectName, mut head: Vec<u8>, body: &[u8]) -> Result<(Bytes, ObjectHash)> {
    head.extend_from_slice(body);
    let hash = check(name, &head);
    head.extend_from_slice(hash.to_string().as_bytes());
    head.push(b'\n');
    if head.len() > OBJECT_MAX {
        return Err(Error::invalid(format!("an object is too long: object={name} bytes={}", head.len())));
    }
    Ok((Bytes::from(head), hash))
}

/// Takes an object apart.
///
/// # Errors
///
/// `Damaged` unless the object was written under this name and nothing of it has changed; `NewerFormat`.
pub(crate) fn unpack(name: &ObjectName, bytes: &Bytes) -> Result<Unpacked> {
    let damaged = |why: &str| Error::damaged(format!("{why}: object={name} bytes={}", bytes.len()));
    if bytes.len() > OBJECT_MAX {
        return Err(damaged("an object of the replica is longer than any that is written"));
    }
    let end = bytes.len().checked_sub(CHECK_LEN).ok_or_else(|| damaged("an object of the replica is cut off"))?;
    let (content, line) = (bytes.slice(..end), bytes.slice(end..));
    // O1: the check covers the name, so an object that the bucket cut, flipped or swapped is refused.
    let hash = check(name, &content);
    if line.strip_suffix(b"\n") != Some(hash.to_string().as_bytes()) {
        return Err(damaged("an object of the replica differs from the written one, or has the name of another"));
    }
    let length = content.iter().take(HEAD_MAX).position(|byte| *byte == b'\n');
    let length = length.ok_or_else(|| damaged("an object of the replica has no head"))? + 1;
    let (head, body) = (content.slice(..length), content.slice(length..));
    let mut fields = match json::parse(&head) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(damaged("the head of an object of the replica is no JSON object")),
        Err(source) => return Err(damaged("the head of an object of the replica is no JSON").with_source(source)),
    };
    let kind = take(&mut fields, "hivekeep").and_then(|kind| kind.as_str().map(str::to_owned));
    let kind = kind.ok_or_else(|| damaged("an object of the replica has no kind"))?;
    match take(&mut fields, "format").and_then(|format| format.as_u64()) {
        Some(format @ FORMAT..=FORMAT_OF_MOVES) => {
            Ok(Unpacked { kind, format, fields: Value::Object(fields), head, body, hash })
        }
        Some(format) if format > FORMAT_OF_MOVES => Err(Error::new(
            ErrorKind::NewerFormat,
            format!("a newer version wrote an object of the replica; use that version: object={name} format={format}"),
        )),
        _ => Err(damaged("an object of the replica has no format")),
    }
}

/// Removes a field, and keeps the order of the others.
fn take(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.shift_remove(name)
}

impl Unpacked {
    /// The fields of the head.
    ///
    /// # Errors
    ///
    /// `Damaged` when they are not those of this type.
    pub(crate) fn fields<T: DeserializeOwned>(&self, name: &ObjectName) -> Result<T> {
        serde_json::from_value(self.fields.clone()).map_err(|source| {
            let why =
                format!("the head of an object of the replica has other fields: object={name} kind={}", self.kind);
            Error::damaged(why).with_source(source)
        })
    }
}

fn check(name: &ObjectName, content: &[u8]) -> ObjectHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.to_string().as_bytes());
    hasher.update(b"\n");
    hasher.update(content);
    ObjectHash(*hasher.finalize().as_bytes())
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Bytes that JSON has as hexadecimal digits.
macro_rules! as_hex {
    ($type:ident, $length:literal, $from:expr) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                let bytes =
                    from_hex(&text).filter(|_| is_lower).and_then(|bytes| <[u8; $length]>::try_from(bytes).ok());
                let bytes = bytes.ok_or_else(|| D::Error::custom(concat!("not ", $length, " bytes in hexadecimal")))?;
                Ok(Self($from(bytes)))
            }
        }
    };
}

as_hex!(ObjectHash, 32, |bytes| bytes);
as_hex!(StoreId, 16, u128::from_be_bytes);
as_hex!(Nonce, 16, u128::from_be_bytes);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::objects::name::Term;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        store: StoreId,
        count: u64,
    }

    const NAME: ObjectName = ObjectName::Term(Term(7));

    fn fields() -> Fields {
        Fields { store: StoreId(0x0123), count: u64::MAX }
    }

    fn packed(body: &[u8]) -> Bytes {
        pack(&NAME, head("some", FORMAT, &fields()).unwrap(), body).unwrap().0
    }

    #[test]
    fn an_object_is_a_line_of_json_its_body_and_a_check() {
        let text = "{\"hivekeep\":\"some\",\"format\":1,\"store\":\"00000000000000000000000000000123\",\
                    \"count\":18446744073709551615}\nbody\
                    73927f18cb13ccf319e17c62496e214dadb2a495a0ea8eab4bac20c4f00def02\n";
        let packed = packed(b"body");
        assert_eq!(std::str::from_utf8(&packed).unwrap(), text);
        let unpacked = unpack(&NAME, &packed).unwrap();
        assert_eq!((unpacked.kind.as_str(), &unpacked.body[..]), ("some", &b"body"[..]));
        assert_eq!(unpacked.fields::<Fields>(&NAME).unwrap(), fields());
    }

    #[test]
    fn a_body_may_contain_anything() {
        for body in [&b""[..], b"\n", b"{}\n\n", &[0; 200]] {
            assert_eq!(unpack(&NAME, &packed(body)).unwrap().body, body);
        }
    }

    #[test]
    fn an_object_that_is_cut_longer_flipped_or_under_another_name_is_damaged() {
        let packed = packed(b"body");
        for at in 0..packed.len() {
            let mut flipped = packed.to_vec();
            flipped[at] ^= 1;
            for bytes in [Bytes::from(flipped), packed.slice(..at)] {
                assert_eq!(unpack(&NAME, &bytes).unwrap_err().kind(), ErrorKind::Damaged, "{at}");
            }
        }
        let longer = Bytes::from([&packed[..], b"\n"].concat());
        assert_eq!(unpack(&NAME, &longer).unwrap_err().kind(), ErrorKind::Damaged);
        let error = unpack(&ObjectName::Term(Term(8)), &packed).unwrap_err();
        assert!(error.to_string().ends_with("object=term/00000008 bytes=172"), "{error}");
    }

    #[test]
    fn heads_that_no_version_writes_are_refused() {
        let of = |head: &str| unpack(&NAME, &pack(&NAME, head.as_bytes().to_vec(), b"").unwrap().0).unwrap_err();
        for head in ["\n", "[]\n", "{}\n", "no end", "{\"hivekeep\":1,\"format\":1}\n", "{\"hivekeep\":\"x\"}\n"] {
            assert_eq!(of(head).kind(), ErrorKind::Damaged, "{head}");
        }
        assert_eq!(of("{\"hivekeep\":\"x\",\"format\":1,\"format\":1}\n").kind(), ErrorKind::Damaged);
        assert_eq!(of("{\"hivekeep\":\"x\",\"format\":3}\n").kind(), ErrorKind::NewerFormat);
        assert_eq!(of(&" ".repeat(HEAD_MAX + 1)).kind(), ErrorKind::Damaged);
        let long = "x".repeat(HEAD_MAX);
        assert_eq!(head("some", FORMAT, &serde_json::json!({ "long": long })).unwrap_err().kind(), ErrorKind::Invalid);
        let other = packed(b"");
        let unpacked = unpack(&NAME, &other).unwrap();
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fewer {
            #[expect(dead_code, reason = "only the other field is missing")]
            store: StoreId,
        }
        assert_eq!(unpacked.fields::<Fewer>(&NAME).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn a_hash_is_written_in_one_way() {
        for text in
            ["\"0g\"", "\"\"", "1", "\"ABCDEF00000000000000000000000000\"", "\"000000000000000000000000000001\""]
        {
            assert!(serde_json::from_str::<Nonce>(text).is_err(), "{text}");
        }
        assert_ne!(Nonce::new(), Nonce::new());
        assert_ne!(StoreId::new(), StoreId::new());
    }
}
