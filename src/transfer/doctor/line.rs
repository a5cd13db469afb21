//! The finding about one thing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A condition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// As it should be.
    Ok,
    /// Data is at risk.
    Warn,
    /// Data is damaged, or another machine has the history of the store.
    Bad,
}

/// One topic, its condition, and advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosisLine {
    /// The topic, in one word: `backup`, `archives`.
    pub topic: Cow<'static, str>,
    /// The condition.
    pub verdict: Condition,
    /// The observation.
    pub what: String,
    /// The advice; none if all is well.
    pub advice: Option<String>,
}

impl DiagnosisLine {
    /// A line without a problem.
    pub(super) fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { topic: topic.into(), verdict: Condition::Ok, what: what.into(), advice: None }
    }

    /// A line about data at risk, with advice.
    pub(super) fn warn(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { topic: topic.into(), verdict: Condition::Warn, what: what.into(), advice: Some(advice.into()) }
    }

    /// A line about damaged data.
    pub(super) fn bad(topic: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Condition::Bad, ..Self::warn(topic, what, advice) }
    }
}
