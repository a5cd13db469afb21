//! What a doctor says of one thing.

use serde::Serialize;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Data is at risk.
    Warn,
    /// Data is damaged.
    Bad,
}

/// What was looked at, how it is, and what to do.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) topic: &'static str,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) what: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Line {
    /// All is well with it.
    pub(super) fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { topic, verdict: Verdict::Ok, what: what.into(), advice: None }
    }

    /// Data is at risk until somebody follows the advice.
    pub(super) fn warn(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { topic, verdict: Verdict::Warn, what: what.into(), advice: Some(advice.into()) }
    }

    /// Data is damaged.
    pub(super) fn bad(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::warn(topic, what, advice) }
    }
}
