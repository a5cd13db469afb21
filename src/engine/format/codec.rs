//! How a stored type becomes bytes: one version byte, then bincode's standard configuration.
//!
//! bincode is finished and no longer maintained, so this is the only module that names it. Its limits are set against
//! hostile lengths. JSON inside a stored type is stored as its own text: bincode cannot decode what does not describe
//! itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::RECORD_BYTES;

/// Most stored values fit into as many bytes, so that writing one seldom moves it.
const USUAL: usize = 512;

/// No stored value is longer; a length inside of one that claims more is damage.
const LIMIT: usize = RECORD_BYTES;

/// A type that is stored. Its fields and their order are part of the file format.
pub(crate) trait Stored: Serialize + DeserializeOwned {
    /// Raised when the fields change.
    const VERSION: u8;
    /// The name of the type in messages.
    const WHAT: &'static str;

    /// The version whose bytes it gets: an earlier one while nothing is in it that only a later one has.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    /// Reads the bytes of an earlier version.
    fn upgrade(version: u8, _bytes: &[u8]) -> Result<Self> {
        Err(Error::damaged(format!("{} has an unknown version: version={version}", Self::WHAT)))
    }
}

/// The bytes of `value`, its version first.
pub(crate) fn encode<T: Stored>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(value.version());
    bincode::serde::encode_into_std_write(value, &mut bytes, config())
        .map_err(|source| Error::invalid(format!("{} cannot be stored: {source}", T::WHAT)).with_source(source))?;
    Ok(bytes)
}

/// The value of `bytes`.
///
/// # Errors
///
/// `NewerFormat` when a later version wrote it, `Damaged` when the bytes are not of this type or go on after it.
pub(crate) fn decode<T: Stored>(bytes: &[u8]) -> Result<T> {
    let Some((&version, body)) = bytes.split_first() else {
        return Err(Error::damaged(format!("{} is empty", T::WHAT)));
    };
    if version > T::VERSION {
        return Err(Error::new(
            ErrorKind::NewerFormat,
            format!("a newer version wrote {}; use that version: version={version} known={}", T::WHAT, T::VERSION),
        ));
    }
    if version < T::VERSION {
        return T::upgrade(version, body);
    }
    decode_body(body)
}

/// The value of bytes without the version in front of them, for [`Stored::upgrade`].
///
/// # Errors
///
/// `Damaged` when the bytes are not of this type or go on after it.
pub(crate) fn decode_body<T: Stored>(body: &[u8]) -> Result<T> {
    let (value, read) = bincode::serde::decode_from_slice(body, config())
        .map_err(|source| Error::damaged(format!("{} cannot be read", T::WHAT)).with_source(source))?;
    if read != body.len() {
        return Err(Error::damaged(format!("{} has bytes left over: bytes={}", T::WHAT, body.len() - read)));
    }
    Ok(value)
}

/// The first fields of `bytes`, as a type that has just these; what follows them is not read. For an index, which needs
/// little of a long record.
///
/// # Errors
///
/// As [`decode`], but without the rest of the bytes.
pub(crate) fn decode_head<T: Stored>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((version, body)) if *version == T::VERSION => decode_head_body(body),
        _ => decode(bytes),
    }
}

/// The first fields of bytes without the version in front of them, for [`Stored::upgrade`].
///
/// # Errors
///
/// `Damaged` when the bytes are not of this type.
pub(crate) fn decode_head_body<T: Stored>(body: &[u8]) -> Result<T> {
    let damaged = |source| Error::damaged(format!("{} cannot be read", T::WHAT)).with_source(source);
    bincode::serde::decode_from_slice(body, config()).map(|(value, _)| value).map_err(damaged)
}

fn config()
-> bincode::config::Configuration<bincode::config::LittleEndian, bincode::config::Varint, bincode::config::Limit<LIMIT>>
{
    bincode::config::standard().with_limit::<LIMIT>()
}

/// For `#[serde(with = "codec::json")]`: JSON for people, its text for the store. Numbers stay as written, and what
/// could not be read back is refused when it is written.
pub(crate) mod json {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::{Map, Value};

    use crate::error::Result;

    /// JSON that may stand in a stored type.
    pub(crate) trait Json: Serialize + DeserializeOwned {
        /// Whether it will read back.
        fn check(&self) -> Result<()>;
        /// The JSON that was read, if it is of this form.
        fn from_value(value: Value) -> Option<Self>;
    }

    impl Json for Value {
        fn check(&self) -> Result<()> {
            crate::json::check(self)
        }

        fn from_value(value: Value) -> Option<Self> {
            Some(value)
        }
    }

    impl Json for Map<String, Value> {
        fn check(&self) -> Result<()> {
            crate::json::check_members(self)
        }

        fn from_value(value: Value) -> Option<Self> {
            if let Value::Object(members) = value { Some(members) } else { None }
        }
    }

    pub(crate) fn serialize<T: Json, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return value.serialize(to);
        }
        value.check().map_err(S::Error::custom)?;
        to.serialize_str(&serde_json::to_string(value).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, T: Json, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        if from.is_human_readable() {
            return T::deserialize(from);
        }
        let value = crate::json::parse(String::deserialize(from)?.as_bytes()).map_err(D::Error::custom)?;
        T::from_value(value).ok_or_else(|| D::Error::custom("JSON of another form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        #[serde(with = "json")]
        attributes: serde_json::Value,
        #[serde(with = "crate::clock::time")]
        at: jiff::Timestamp,
    }

    impl Stored for Sample {
        const VERSION: u8 = 2;
        const WHAT: &'static str = "a sample";
    }

    fn sample() -> Sample {
        Sample {
            name: "a".into(),
            attributes: crate::json::parse(br#"{"n":1e400}"#).unwrap(),
            at: jiff::Timestamp::from_microsecond(5).unwrap(),
        }
    }

    #[test]
    fn an_encoded_value_is_decoded_and_its_bytes_are_fixed() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(bytes, b"\x02\x01a\x0b{\"n\":1e400}\x0a");
        assert_eq!(decode::<Sample>(&bytes).unwrap(), sample());
    }

    #[test]
    fn wrong_bytes_are_errors() {
        let good = encode(&sample()).unwrap();
        for len in 0..good.len() {
            assert_eq!(decode::<Sample>(&good[..len]).unwrap_err().kind(), ErrorKind::Damaged, "length {len}");
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(decode::<Sample>(&long).unwrap_err().kind(), ErrorKind::Damaged);
        let newer = [&[3], &good[1..]].concat();
        assert_eq!(decode::<Sample>(&newer).unwrap_err().kind(), ErrorKind::NewerFormat);
        let older = [&[1], &good[1..]].concat();
        assert_eq!(decode::<Sample>(&older).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn a_head_is_read_without_what_follows_it() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Head(String);
        impl Stored for Head {
            const VERSION: u8 = Sample::VERSION;
            const WHAT: &'static str = Sample::WHAT;
        }
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode_head::<Head>(&bytes).unwrap(), Head("a".into()));
        assert_eq!(decode_head::<Head>(&bytes[..2]).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(decode_head::<Head>(b"\x03").unwrap_err().kind(), ErrorKind::NewerFormat);
        assert_eq!(decode_head::<Head>(b"").unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn json_that_could_not_be_read_back_is_refused_when_it_is_written() {
        let deepest = (0..crate::json::MAX_DEPTH).fold(serde_json::Value::Null, |value, _| vec![value].into());
        let bytes = encode(&Sample { attributes: deepest.clone(), ..sample() }).unwrap();
        assert_eq!(decode::<Sample>(&bytes).unwrap().attributes, deepest);
        let deeper = vec![deepest].into();
        assert_eq!(encode(&Sample { attributes: deeper, ..sample() }).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_hostile_length_is_refused_before_memory_is_taken() {
        let hostile = [&[2u8, 0xfd][..], &u64::MAX.to_le_bytes()].concat();
        assert_eq!(decode::<Sample>(&hostile).unwrap_err().kind(), ErrorKind::Damaged);
    }
}
