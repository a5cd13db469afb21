//! Healing a living store: rows that are not what was written get their bytes back from elsewhere, once these are
//! proved. Nobody sees a change: no version, pre-image or digest becomes another one.
//!
//! * `find`: the damaged rows, and the sums of the sound records beside them
//! * `remedies`: the rows that elsewhere has in their place; `judge`: their proof
//! * `healed`: writing; `report`: the report

mod find;
mod healed;
mod judge;
mod remedies;
mod report;

pub(crate) use self::find::Damage;
pub(crate) use self::remedies::Remedies;
pub use self::report::{HealReport, HealedRow, RefusedRow};
