//! A point on its way to a verdict.

use std::time::Duration;

use jiff::Timestamp;

use super::policy::{Candidate, Class, Reason, Verdict};

/// A point without a verdict yet.
pub(super) struct Case<'a> {
    pub(super) point: &'a Candidate,
    /// Its age. A point from the future is new.
    pub(super) age: Duration,
    pub(super) fate: Fate,
    /// The reasons to keep it, whatever age, thinning, room and cap decide.
    pub(super) protections: Vec<Reason>,
}

/// The decision of age, thinning, room and cap.
pub(super) enum Fate {
    Keep(Reason),
    Forget(Reason),
}

impl<'a> Case<'a> {
    /// A point that no rule has looked at. It is kept.
    pub(super) fn new(point: &'a Candidate, now: Timestamp) -> Self {
        let age = Duration::try_from(now.duration_since(point.at)).unwrap_or(Duration::ZERO);
        Self { point, age, fate: Fate::Keep(Reason::NoAge), protections: Vec::new() }
    }

    /// Whether the rules and the cap of that kind count it.
    pub(super) fn counts_as(&self, kind: &str) -> bool {
        self.point.class != Class::Safety && self.point.kind == kind
    }

    pub(super) fn is_protected(&self) -> bool {
        !self.protections.is_empty()
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_protected() || matches!(self.fate, Fate::Keep(_))
    }

    pub(super) fn verdict(self) -> Verdict {
        let epoch = self.point.epoch;
        match self.fate {
            Fate::Forget(reason) if self.protections.is_empty() => {
                Verdict { epoch, keep: false, reasons: vec![reason] }
            }
            Fate::Forget(_) => Verdict { epoch, keep: true, reasons: self.protections },
            Fate::Keep(reason) => {
                let mut reasons = self.protections;
                reasons.push(reason);
                Verdict { epoch, keep: true, reasons }
            }
        }
    }
}
