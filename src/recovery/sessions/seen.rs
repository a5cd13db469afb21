//! The ways in which a crash comes to be acknowledged, as its event has them.

use serde::Serialize;

/// The reason why a crash counts as seen. The last two are those of the replaced service.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeenBy {
    /// Somebody acknowledged it.
    Person,
    /// A client marked a clean shutdown.
    ShutdownMark,
    /// A later process closed the store.
    CleanEnd,
}
