//! The text format of Prometheus.

use std::fmt::{Display, Write};

/// Begins a series: its name, its kind, and one sentence about it.
pub(in crate::face::http) fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

/// A value of a series.
pub(in crate::face::http) fn line(text: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ =
        if labels.is_empty() { writeln!(text, "{name} {value}") } else { writeln!(text, "{name}{{{labels}}} {value}") };
}
