//! The list of all tools.

use super::{bots, claims, points, talk, tasks};
use crate::face::mcp::tool::Tool;

/// Every tool, in the order in which they are listed.
pub(in crate::face::mcp) fn all() -> impl Iterator<Item = &'static Tool> {
    [claims::TOOLS, tasks::TOOLS, bots::TOOLS, talk::TOOLS, points::TOOLS].into_iter().flatten()
}

/// The tool of that name.
pub(in crate::face::mcp) fn find(name: &str) -> Option<&'static Tool> {
    all().find(|tool| tool.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Role;
    use crate::face::mcp::tool::Effect;

    #[test]
    fn every_tool_is_described_and_declared_once() {
        let mut seen = BTreeSet::new();
        for tool in all() {
            assert!(seen.insert(tool.name), "{} stands twice", tool.name);
            assert!(tool.about.len() > 40 && tool.about.ends_with('.'), "{}", tool.name);
            let names: BTreeSet<_> = tool.takes.iter().map(|field| field.name).collect();
            assert_eq!(names.len(), tool.takes.len(), "{}", tool.name);
            assert!(tool.takes.iter().all(|field| !field.about.is_empty()), "{}", tool.name);
        }
    }

    #[test]
    fn a_reader_changes_nothing_and_only_an_operator_makes_and_restores_points() {
        for tool in all() {
            assert_eq!(tool.needs == Role::Reader, tool.effect == Effect::Reads, "{}", tool.name);
        }
        let operators: Vec<_> = all().filter(|tool| tool.needs == Role::Operator).map(|tool| tool.name).collect();
        assert_eq!(operators, ["point_make", "restore", "undo"]);
    }

    /// The table in `docs/AGENTS.md`.
    fn table() -> String {
        let mut table = String::from("| tool | role | use |\n|---|---|---|\n");
        for tool in all() {
            let first = tool.about.split_once(". ").map_or(tool.about, |(first, _)| first).trim_end_matches('.');
            table += &format!("| `{}` | {} | {first} |\n", tool.name, tool.needs);
        }
        table
    }

    #[test]
    fn the_printed_table_of_tools_is_that_of_the_tools() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/AGENTS.md");
        let (begin, end) = ("<!-- tools: made by a test -->\n", "<!-- end of tools -->");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(begin).unwrap();
        let (printed, after) = rest.split_once(end).unwrap();
        if std::env::var_os("HIVEKEEP_WRITE_AGENTS").is_some() {
            std::fs::write(path, format!("{before}{begin}{}{end}{after}", table())).unwrap();
            return;
        }
        assert!(printed == table(), "docs/AGENTS.md is old; run this test with HIVEKEEP_WRITE_AGENTS=1");
    }
}
