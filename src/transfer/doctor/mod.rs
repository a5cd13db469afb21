//! A diagnosis: would you get your data back right now?
//!
//! * [`line`]: one line of the diagnosis
//! * [`look`]: the checks inside of the store; [`copies`]: the copies outside of it; [`replica`]: its replica
//! * [`verified`]: how much is read, and whether it verifies
//! * `diagnosis`: the diagnosis, with its options

mod copies;
mod diagnosis;
mod line;
mod look;
mod replica;
mod verified;

pub use self::diagnosis::{Diagnosis, DiagnosisOptions};
pub use self::line::{Condition, DiagnosisLine};
