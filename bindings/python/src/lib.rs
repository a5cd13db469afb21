//! The Python package, over the public interface of the crate. Everything that its users see is written in Python, in
//! `python/hivekeep`; this module carries calls and values across.
//!
//! * `door`: how a verb reaches its store: at once, as a step of a transaction, or in a view of the past
//! * `transaction`: a closure of the crate on a thread of its own, which takes steps from a `with` block
//! * `call`: calls without the GIL, and errors and panics as exceptions
//! * `value`: JSON as Python objects, both ways
//! * `store`, `state`, `queue`, ..: the verbs. Answers are dicts with the names of the service's JSON, so that a remote
//!   store can stand in for them.
#![forbid(unsafe_code)]

mod audit;
mod call;
mod chat;
mod documents;
mod door;
mod logs;
mod mapping;
mod queue;
mod recovery;
mod registry;
mod schedules;
mod state;
mod store;
mod transaction;
mod upkeep;
mod value;
mod waiting;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _hivekeep {
    #[pymodule_export]
    use crate::audit::Audit;
    #[pymodule_export]
    use crate::chat::Chat;
    #[pymodule_export]
    use crate::documents::Documents;
    #[pymodule_export]
    use crate::logs::Logs;
    #[pymodule_export]
    use crate::mapping::Mapping;
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    use crate::queue::TaskFields;
    #[pymodule_export]
    use crate::recovery::Guard;
    #[pymodule_export]
    use crate::recovery::Plan;
    #[pymodule_export]
    use crate::recovery::Recovery;
    #[pymodule_export]
    use crate::registry::Registry;
    #[pymodule_export]
    use crate::schedules::Schedules;
    #[pymodule_export]
    use crate::state::State;
    #[pymodule_export]
    use crate::store::Store;
    #[pymodule_export]
    use crate::store::View;
    #[pymodule_export]
    use crate::store::open;
    #[pymodule_export]
    use crate::transaction::Transaction;
    #[pymodule_export]
    use crate::upkeep::Background;
    #[pymodule_export]
    use crate::upkeep::Upkeep;
    #[pymodule_export]
    use crate::value::Json;
    #[pymodule_export]
    use crate::waiting::ClaimWait;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        hivekeep::hush_contained_panics();
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }

    /// The milliseconds of a text such as `10m` or `1d 12h`.
    #[pyfunction]
    fn duration_ms(py: Python<'_>, text: &str) -> PyResult<u64> {
        let length = hivekeep::duration::parse(text).map_err(|error| call::raised(py, &error))?;
        Ok(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }
}
