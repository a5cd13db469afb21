//! Making a sound store from the rest of a damaged one. The damaged file is only read.
//!
//! * `salvage`: everything in the file's pages whose checksum matches, kept in `redb_file::scratch`, sorted by record
//! * `lost`: the keys of which something is lost; `elsewhere`: a replica that has it; `healing`: taking it from there
//! * `timeline`: which rows a record needs, from the versions of it that are left
//! * `rebuild`: the new store
//! * `long`: values that are kept in pieces
//! * `report`: the losses
//! * `work`: the order of a repair

mod elsewhere;
mod healing;
mod long;
mod lost;
mod rebuild;
mod report;
mod salvage;
mod timeline;
mod work;

pub(crate) use self::elsewhere::Elsewhere;
#[cfg(feature = "replica")]
pub(crate) use self::elsewhere::TakesChanges;
pub use self::report::{CollectionLoss, LostRecord, PartialPoint, RepairOutcome, RepairReport};
pub use self::salvage::{DamagedPage, DamagedRow};
pub(crate) use self::work::repair;
pub(crate) use crate::engine::wal::LogIs;
