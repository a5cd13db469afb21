//! A call that was refused: the reason, and the next step in words of tools.

use serde_json::{Value, json};

use crate::{Error, ErrorKind, Hint};

/// A refused call.
#[derive(Debug)]
pub(in crate::face) struct RefusedCall {
    kind: &'static str,
    message: String,
    next: &'static str,
}

impl RefusedCall {
    /// A refusal that is no error of the store.
    pub(in crate::face) fn new(kind: &'static str, message: impl Into<String>, next: &'static str) -> Self {
        Self { kind, message: message.into(), next }
    }

    /// The server is ending.
    pub(in crate::face) fn stopped() -> Self {
        Self::new("reopen", "the server is ending, and the call was not done", "connect again and repeat the call")
    }

    /// Too many calls are in progress.
    pub(in crate::face) fn busy(message: impl Into<String>) -> Self {
        Self::new("busy", message, "wait for other calls to end, then repeat this one")
    }

    /// Whether somebody else might have been allowed to do it.
    pub(super) fn is_forbidden(&self) -> bool {
        self.kind == ErrorKind::Forbidden.as_str()
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// As an agent reads it.
    pub(super) fn shown(&self) -> Value {
        json!({"error": self.message, "kind": self.kind, "next": self.next})
    }
}

impl From<Error> for RefusedCall {
    fn from(error: Error) -> Self {
        Self { kind: error.kind().as_str(), message: error.to_string(), next: next_step(&error) }
    }
}

/// The next step after an error, in words of tools.
pub(in crate::face) fn next_step(error: &Error) -> &'static str {
    error.hint().and_then(by_hint).unwrap_or_else(|| by_kind(error.kind()))
}

/// The argument or tool of a hint; none where no tool has one.
fn by_hint(hint: &Hint) -> Option<&'static str> {
    match hint {
        Hint::ListPoints => Some("call points to list the restore points"),
        Hint::MakePoint => Some("make one with point_make, or ask an operator to"),
        Hint::PlanAgain => Some("call restore_plan again, look at it, and pass its state as expect"),
        Hint::NameCollection => Some("name the one collection of the key: only"),
        Hint::AllowDifferent => Some("to take the earlier task, set allow_different"),
        Hint::AllowMissingDependencies => {
            Some("to wait for tasks that are not enqueued yet, set allow_missing_dependencies")
        }
        Hint::DiscardLaterWork | Hint::AllowPartial { .. } => Some("ask an operator, who can decide to lose something"),
        _ => None,
    }
}

fn by_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Conflict => "look at the state now, with task or why, and decide again",
        ErrorKind::NotFound | ErrorKind::Gone => "list the names that exist, with tasks, bots, notes or points",
        ErrorKind::Invalid => "correct the arguments; the schema of the tool describes each of them",
        ErrorKind::Ambiguous => "name it in full",
        ErrorKind::Forbidden => "ask an operator for a key that may do this, or leave it to its owner",
        ErrorKind::Locked | ErrorKind::NotCommitted => "nothing was changed; repeat the call",
        ErrorKind::Uncertain => "look whether it was done before you repeat it",
        _ => "stop, and tell an operator: hivekeep doctor explains the state of the store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do_next() {
        let refusal = RefusedCall::from(Error::new(ErrorKind::Conflict, "the token is void"));
        let shown = refusal.shown();
        assert_eq!(shown["error"], "the token is void");
        assert_eq!(shown["kind"], "conflict");
        assert!(shown["next"].as_str().unwrap().contains("why"));
    }
}
