//! The hint of an error, as a response has it and as a client reads it.

use crate::Hint;

/// The hints that a request can follow, and its field for each.
const FIELDS: [(Hint, &str); 11] = [
    (Hint::AllowDifferent, "to take the earlier task: allow_different"),
    (Hint::AllowMissingDependencies, "to wait for tasks that are not enqueued yet: allow_missing_dependencies"),
    (Hint::PlanAgain, "plan it again: dry_run"),
    (Hint::DiscardLaterWork, "to undo it anyway: discard"),
    (Hint::NameAllTasks, "to change all of them: all"),
    (Hint::ListPoints, "GET /api/points"),
    (Hint::ShowPoint, "GET /api/points/{point}"),
    (Hint::ComparePoints, "GET /api/points/{point}/diff"),
    (Hint::MakePoint, "POST /api/points"),
    (Hint::ReleasePoint, "POST /api/points/{point}/release"),
    (Hint::CheckStore, "POST /api/check"),
];

/// The field of a request that follows a hint; none where no request can.
pub(in crate::face) fn field_of(hint: &Hint) -> Option<&'static str> {
    FIELDS.iter().find(|(other, _)| other == hint).map(|(_, field)| *field)
}

/// The hint that a response had in these words.
pub(in crate::face) fn hint_of(field: &str) -> Option<Hint> {
    FIELDS.iter().find(|(_, other)| *other == field).map(|(hint, _)| hint.clone())
}
