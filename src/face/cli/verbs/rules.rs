//! The rules of retention, as options of the service and of `point policy`, and as lines of a settings file.

use std::fmt::Write;
use std::time::Duration;

use clap::Args;

use crate::face::cli::parsing::value::{Count, Span, Whole, toml_text, toml_texts};
use crate::{Policy, TagRule};

/// Passes the list of rules to another macro, so that the service and `point policy` have the same rules.
macro_rules! with_rules {
    ($then:ident { $($more:tt)* }) => { $then! {
        rules {
            /// Keep points up to this age, or off for any age [default: 7d]
            keep_within: Span = "HIVEKEEP_KEEP_WITHIN", "TIME";
            /// Keep at most this many points per kind that are older than --keep-floor, or off [default: 100]
            keep_count: Count = "HIVEKEEP_KEEP_COUNT", "N";
            /// Never let --keep-count remove points younger than this [default: 1d]
            keep_floor: Span = "HIVEKEEP_KEEP_FLOOR", "TIME";
            /// Let this many points per kind arrive at once, and a tenth of that per hour; thin out the rest; or off
            /// [default: 1000]
            keep_burst: Count = "HIVEKEEP_KEEP_BURST", "N";
            /// Keep the newest N points [default: 0]
            keep_last: Whole = "HIVEKEEP_KEEP_LAST", "N";
            /// Keep the newest point of each of the last N hours (UTC) that have one [default: 0]
            keep_hourly: Whole = "HIVEKEEP_KEEP_HOURLY", "N";
            /// The same per day, from midnight to midnight UTC [default: 0]
            keep_daily: Whole = "HIVEKEEP_KEEP_DAILY", "N";
            /// The same per week, from Monday [default: 0]
            keep_weekly: Whole = "HIVEKEEP_KEEP_WEEKLY", "N";
            /// The same per month [default: 0]
            keep_monthly: Whole = "HIVEKEEP_KEEP_MONTHLY", "N";
        }
        $($more)*
    } };
}
#[cfg(feature = "http")]
pub(super) use with_rules;

/// Defines the rules only, for a verb that reads no environment.
macro_rules! rules {
    (rules { $($(#[doc = $about:literal])* $rule:ident: $type:ty = $name:literal, $shown:literal;)* }) => {
        /// The rules of retention that were given.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
        pub(super) struct Rules {
            $($(#[doc = $about])* #[arg(long, value_name = $shown)] pub(super) $rule: Option<$type>,)*
            /// Keep points with this tag; repeat for several tags
            #[arg(long, value_name = "NAME[=VALUE]", value_delimiter = ',')]
            pub(super) keep_tag: Vec<String>,
            /// Keep every automatic point of the kept age, up to the count
            #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
            pub(super) no_thinning: Option<bool>,
        }
    };
}

with_rules! { rules {} }

impl Rules {
    /// Whether any rule was given.
    pub(super) fn are_given(&self) -> bool {
        *self != Self::default()
    }

    /// The policy `below`, with the given rules in place of its own.
    pub(in crate::face::cli) fn over(&self, below: Policy) -> Policy {
        let count = |given: Option<Count>, below| given.map_or(below, |count| count.0);
        let whole = |given: Option<Whole>, below| given.map_or(below, |count| count.0);
        Policy {
            keep_within: self.keep_within.map_or(below.keep_within, |span| span.0),
            cap: count(self.keep_count, below.cap),
            floor: self.keep_floor.map_or(below.floor, |span| span.0.unwrap_or(Duration::ZERO)),
            burst: count(self.keep_burst, below.burst),
            thinning: match self.no_thinning {
                Some(true) => Vec::new(),
                Some(false) if below.thinning.is_empty() => Policy::default().thinning,
                _ => below.thinning,
            },
            keep_last: whole(self.keep_last, below.keep_last),
            keep_hourly: whole(self.keep_hourly, below.keep_hourly),
            keep_daily: whole(self.keep_daily, below.keep_daily),
            keep_weekly: whole(self.keep_weekly, below.keep_weekly),
            keep_monthly: whole(self.keep_monthly, below.keep_monthly),
            keep_tags: if self.keep_tag.is_empty() { below.keep_tags } else { self.tags() },
            keep_safety: below.keep_safety,
        }
    }

    fn tags(&self) -> Vec<TagRule> {
        let tag = |text: &String| match text.split_once('=') {
            Some((name, value)) => TagRule { name: name.to_owned(), value: Some(value.to_owned()) },
            None => TagRule { name: text.clone(), value: None },
        };
        self.keep_tag.iter().map(tag).collect()
    }
}

/// A policy as lines of a settings file.
pub(super) fn shown_rules(policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "keep-{name} = {value}");
    };
    line("within", &toml_text(Span(policy.keep_within)));
    line("count", &toml_text(Count(policy.cap)));
    line("floor", &toml_text(Span(Some(policy.floor))));
    line("burst", &toml_text(Count(policy.burst)));
    line("last", &policy.keep_last);
    line("hourly", &policy.keep_hourly);
    line("daily", &policy.keep_daily);
    line("weekly", &policy.keep_weekly);
    line("monthly", &policy.keep_monthly);
    line("tag", &toml_texts(&policy.keep_tags));
    let _ = writeln!(text, "no-thinning = {}", policy.thinning.is_empty());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_rules_change_a_policy() {
        let below = Policy { keep_daily: 3, cap: None, ..Policy::default() };
        assert_eq!(Rules::default().over(below.clone()), below);
        assert!(!Rules::default().are_given());
        let rules = Rules { keep_weekly: Some(Whole(2)), keep_tag: vec!["env=live".into()], ..Rules::default() };
        let tag = TagRule { name: "env".into(), value: Some("live".into()) };
        assert!(rules.are_given());
        assert_eq!(rules.over(below.clone()), Policy { keep_weekly: 2, keep_tags: vec![tag], ..below.clone() });
        let [all, thinned] = [true, false].map(|no| Rules { no_thinning: Some(no), ..Rules::default() });
        assert!(thinned.are_given(), "a rule that is switched off counts as given");
        let kept = all.over(below.clone());
        assert!(kept.thinning.is_empty());
        assert_eq!(thinned.over(kept), below);
    }
}
