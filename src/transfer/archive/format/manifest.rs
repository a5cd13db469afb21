//! The first entry of an archive: its point and its content. It is JSON, so that people and other programs can read it.
//! A reader trusts it only once everything else agrees with it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::refuse_long_key;
use crate::engine::digest::{Stats, from_hex, hex};
use crate::engine::epoch::Epoch;
use crate::engine::point::{Lost, Origin, PointId};
use crate::engine::schema::CollectionId;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::limits;
use crate::recovery::points::point::Point;
use crate::state::audit::Trail;

/// The value of the field `format`.
const FORMAT: &str = "hivekeep-archive";
/// The most keys of lost records that are read for a collection.
const KEYS_MAX: usize = 1000;
/// The version of the archive format; a higher one is refused.
pub(in crate::transfer::archive) const VERSION: u64 = 1;

/// The description of an archive: its first entry, `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveManifest {
    format: String,
    /// The version of the archive format.
    pub version: u64,
    /// The name of the store's file, without its folder.
    pub store: String,
    /// The point that was archived.
    pub point: ArchivedPoint,
    /// Whether it contains every collection. An import of an incomplete archive does not change the others.
    pub complete: bool,
    /// The collections, in the order of their entries.
    pub collections: Vec<ArchivedCollection>,
    /// The summed length of the values that are longer than one stored piece; `bytes` counts 40 for each.
    pub long_bytes: u64,
    /// The audit trail up to the time of the point. Only a complete archive contains it.
    pub audit: Option<ArchivedTrail>,
}

/// The audit trail in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedTrail {
    /// The number of its entries.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its two ends, and the numbers of lost entries between them.
    pub trail: Trail,
}

/// The point in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedPoint {
    /// Its name; the point of a single commit has none.
    pub id: Option<PointId>,
    /// The number of the epoch that it sealed.
    pub epoch: Epoch,
    /// When it was made. For an adopted point: when the other program made it.
    #[serde(with = "crate::clock::time")]
    pub timestamp: Timestamp,
    /// When it was sealed.
    #[serde(with = "crate::clock::time")]
    pub sealed_at: Timestamp,
    /// The origin of the point.
    pub origin: Option<Origin>,
    /// Whether it was requested, and not made by a scheduler or a restore.
    pub manual: bool,
    /// A description by its creator.
    pub description: String,
    /// Tags by name.
    pub tags: BTreeMap<String, String>,
    /// Whether a repair had lost part of it before it was archived.
    pub partial: bool,
    /// Its losses, by collection. Archives of earlier versions and of single commits do not list them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, ArchivedLoss>,
}

/// The loss of a collection at the archived point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedLoss {
    /// The number of its records before the damage.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their digest.
    pub digest: String,
    /// The keys of records that are known to be lost or to have an older value, in hexadecimal. There may be others.
    pub keys: Vec<String>,
}

impl ArchivedLoss {
    pub(in crate::transfer::archive) fn new(lost: &Lost) -> Self {
        let Stats { count, bytes, digest } = lost.was;
        Self { count, bytes, digest: digest.to_string(), keys: lost.keys.iter().map(|key| hex(key)).collect() }
    }

    /// Decodes it for the manifest of a point.
    pub(in crate::transfer::archive) fn read(&self, collection: CollectionId) -> Result<Lost> {
        let digest = self.digest.parse().map_err(|error: Error| Error::damaged(error.to_string()))?;
        let was = Stats { count: self.count, bytes: self.bytes, digest };
        Ok(Lost { collection, was, keys: self.lost_keys()? })
    }

    /// The keys of records that are known to be lost.
    pub(in crate::transfer::archive) fn lost_keys(&self) -> Result<Vec<Vec<u8>>> {
        let wrong = || Error::damaged("a lost key is not hexadecimal: entry=manifest.json");
        let keys = self.keys.iter().take(KEYS_MAX).map(|key| from_hex(key).ok_or_else(wrong));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        keys.iter().try_for_each(|key| refuse_long_key(key.len()))?;
        Ok(keys)
    }
}

/// A collection in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedCollection {
    /// Its name.
    pub name: String,
    /// Whether its readable form is one JSON file, rather than files of a line for each record.
    pub whole: bool,
    /// The number of its records.
    pub count: u64,
    /// Their bytes, as the store counts them.
    pub bytes: u64,
    /// The digest of the collection at the point. The imported records must have the same.
    pub digest: String,
}

impl ArchivedCollection {
    /// Whether the lines of its readable form are its exact records too. They are in large collections of JSON values.
    pub(in crate::transfer::archive) fn lines_are_exact(&self) -> bool {
        let built_in = CollectionId::built_in(&self.name);
        !self.whole && built_in.is_none_or(|id| id == CollectionId::CONFIG)
    }
}

impl ArchiveManifest {
    /// The manifest of a point of a store.
    pub(in crate::transfer::archive) fn new(store: String, point: &Point, complete: bool) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            store,
            point: ArchivedPoint::new(point),
            complete,
            collections: Vec::new(),
            long_bytes: 0,
            audit: None,
        }
    }

    /// The number of records in all collections.
    pub fn records(&self) -> u64 {
        self.collections.iter().map(|collection| collection.count).fold(0, u64::saturating_add)
    }

    /// The bytes of these records.
    pub fn bytes(&self) -> u64 {
        self.collections.iter().map(|collection| collection.bytes).fold(0, u64::saturating_add)
    }

    /// Encodes it as in the archive.
    pub(in crate::transfer::archive) fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| {
            Error::invalid("the manifest of the archive cannot be written as JSON").with_source(source)
        })?;
        text.push(b'\n');
        Ok(text)
    }

    /// Decodes it. The version is checked before everything else.
    pub(in crate::transfer::archive) fn from_json(text: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::damaged(format!("the manifest of the archive cannot be read: {what}"));
        let value = json::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(Error::new(ErrorKind::NotAStore, "not an archive of hivekeep; name another file"));
        }
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) if version > VERSION => {
                let message = "the archive was written by a newer version; use that version";
                let message = format!("{message}: version={version} known={VERSION}");
                return Err(Error::new(ErrorKind::NewerFormat, message));
            }
            _ => return Err(wrong("it has no version")),
        }
        serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))
    }
}

impl ArchivedPoint {
    fn new(point: &Point) -> Self {
        let (mut description, mut tags) = (point.description.clone(), point.tags.clone());
        // A manifest with the longest texts of an earlier version would be too long to import.
        let _too_long = limits::fit(&mut description, &mut tags);
        Self {
            id: point.given_id().cloned(),
            epoch: point.epoch,
            timestamp: point.timestamp,
            sealed_at: point.sealed_at,
            origin: point.origin,
            manual: point.manual,
            description,
            tags,
            partial: point.partial,
            lost: BTreeMap::new(),
        }
    }
}

impl fmt::Display for ArchivedPoint {
    /// Its id, or the time of its commit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => id.fmt(f),
            None => f.write_str(&crate::clock::show_time(self.timestamp)),
        }
    }
}

impl ArchivedCollection {
    pub(in crate::transfer::archive) fn new(name: String, whole: bool, stats: &Stats) -> Self {
        let Stats { count, bytes, digest } = *stats;
        Self { name, whole, count, bytes, digest: digest.to_string() }
    }

    /// The sum that its records must have.
    pub(in crate::transfer::archive) fn stats(&self) -> Result<Stats> {
        let wrong =
            |error: Error| Error::damaged(error.to_string()).context(format_args!("manifest.json: {}", self.name));
        Ok(Stats { count: self.count, bytes: self.bytes, digest: self.digest.parse().map_err(wrong)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss() -> ArchivedLoss {
        ArchivedLoss::new(&Lost { collection: CollectionId::CONFIG, was: Stats::default(), keys: vec![b"k\0".into()] })
    }

    #[test]
    fn losses_are_decoded_again_and_are_optional_for_earlier_versions() {
        let read = loss().read(CollectionId::CONFIG).unwrap();
        assert_eq!((read.was, read.keys), (Stats::default(), vec![b"k\0".to_vec()]));
        let mut json: Value = serde_json::from_slice(&manifest().to_json().unwrap()).unwrap();
        json["point"].as_object_mut().unwrap().remove("lost");
        let earlier = ArchiveManifest::from_json(json.to_string().as_bytes()).unwrap();
        assert!(earlier.point.partial && earlier.point.lost.is_empty());
        let odd = ArchivedLoss { keys: vec!["0".into()], ..loss() };
        assert_eq!(odd.read(CollectionId::CONFIG).unwrap_err().kind(), ErrorKind::Damaged);
    }

    fn manifest() -> ArchiveManifest {
        let time = |micros| Timestamp::from_microsecond(micros).unwrap();
        ArchiveManifest {
            format: FORMAT.into(),
            version: VERSION,
            store: "fleet.redb".into(),
            point: ArchivedPoint {
                id: Some(PointId("p".into())),
                epoch: Epoch(7),
                timestamp: time(1),
                sealed_at: time(2),
                origin: Some(Origin::Live),
                manual: true,
                description: "d".into(),
                tags: BTreeMap::from([("k".into(), "v".into())]),
                partial: true,
                lost: BTreeMap::from([("config".into(), loss())]),
            },
            complete: true,
            collections: vec![ArchivedCollection::new("config".into(), true, &Stats::default())],
            long_bytes: 0,
            audit: None,
        }
    }

    #[test]
    fn a_manifest_is_decoded_again() {
        let text = manifest().to_json().unwrap();
        assert_eq!(ArchiveManifest::from_json(&text).unwrap(), manifest());
    }

    #[test]
    fn a_newer_version_is_refused_whatever_else_it_contains() {
        let refused = ArchiveManifest::from_json(br#"{"format":"hivekeep-archive","version":2}"#).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NewerFormat);
        assert!(refused.to_string().ends_with("version=2 known=1"), "{refused}");
    }

    #[test]
    fn a_text_that_is_not_a_manifest_gets_an_error_of_its_own_kind() {
        let kind = |text: &[u8]| ArchiveManifest::from_json(text).unwrap_err().kind();
        assert_eq!(kind(b"{}"), ErrorKind::NotAStore);
        assert_eq!(kind(b"not json"), ErrorKind::Damaged);
        assert_eq!(kind(br#"{"format":"hivekeep-archive","version":1}"#), ErrorKind::Damaged);
    }
}
