//! The finding about one thing.

use serde::Serialize;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// As it should be.
    Ok,
    /// Data is at risk.
    Warn,
    /// Data is damaged.
    Bad,
}

/// One thing that was looked at, how it is, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiagnosisLine {
    /// The thing, in a word: `backup`, `archives`.
    pub topic: &'static str,
    /// How it is.
    pub verdict: Condition,
    /// The observation.
    pub what: String,
    /// What to do about it; nothing where all is well.
    pub advice: Option<String>,
}

impl DiagnosisLine {
    /// All is well with it.
    pub(super) fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { topic, verdict: Condition::Ok, what: what.into(), advice: None }
    }

    /// Data is at risk until somebody follows the advice.
    pub(super) fn warn(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { topic, verdict: Condition::Warn, what: what.into(), advice: Some(advice.into()) }
    }

    /// Data is damaged.
    pub(super) fn bad(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Condition::Bad, ..Self::warn(topic, what, advice) }
    }
}
