//! Holds that files do not import each other in circles.
//!
//! An import through a name that another file gives out counts as one of the file that has the name. A contents page
//! stands aside: it holds no code, and so it imports none of the files that it lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{FREE, code, files, module};

/// Imports that close a circle, and why they may.
const ALLOWED: [(&str, &str, &str); 0] = [];

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn files_do_not_import_each_other_in_circles() {
    let mut graph = graph();
    assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 1500, "the imports are not seen");
    for (from, to, _) in ALLOWED {
        assert!(graph.get_mut(&names(from)).unwrap().remove(&names(to)), "not imported any more: {from} -> {to}");
    }
    let found = circle(&graph).map(|files| files.iter().map(|file| file.join("/")).collect::<Vec<_>>().join(" -> "));
    assert_eq!(found, None, "a circle of imports");
    for (from, to, _) in ALLOWED {
        let mut graph = graph.clone();
        graph.get_mut(&names(from)).unwrap().insert(names(to));
        assert!(circle(&graph).is_some(), "closes no circle any more: {from} -> {to}");
    }
}

#[test]
fn a_circle_is_seen_in_every_form_of_an_import() {
    let exports = BTreeMap::from([(names("engine/b/X"), names("engine/b/x/X"))]);
    let all = ["engine/a", "engine/b", "engine/b/x"].map(names).into_iter().collect::<BTreeSet<_>>();
    let imports = |own: &str, source: &str| targets(&names(own), source, &exports, &all);
    for source in [
        "use crate::engine::b::X;",
        "use crate::{clock, engine::{a, b::{X, x::Y}}};",
        "pub(crate) use super::b::x;",
        "fn f() { crate::engine::b::X::f() }",
        "fn f() { super::b::x::f() }",
    ] {
        assert_eq!(imports("engine/a", source), BTreeSet::from([names("engine/b/x")]), "{source}");
    }
    for source in ["use super::super::a::A;", "fn f() { super::super::a::f() }", "const A: super::super::a::A = 1;"] {
        assert_eq!(imports("engine/b/x", source), BTreeSet::from([names("engine/a")]), "{source}");
    }
    assert_eq!(imports("engine/b/x", "fn f() { super::super::super::super::f() }"), BTreeSet::new());
    assert_eq!(imports("engine/b/x", "use super::other;"), BTreeSet::from([names("engine/b")]));
    let source = "pub(in crate::engine::b) fn f() {}\n#[cfg(test)]\nmod tests {\nuse crate::engine::a::A;\n}";
    assert_eq!(imports("engine/a", &production(source)), BTreeSet::new());
    let graph = |edges: [(&str, &str); 3]| -> Graph {
        edges.into_iter().map(|(from, to)| (names(from), BTreeSet::from([names(to)]))).collect()
    };
    assert_eq!(circle(&graph([("a", "b"), ("b", "c"), ("c", "d")])), None);
    assert_eq!(circle(&graph([("a", "b"), ("b", "c"), ("c", "b")])), Some(["b", "c", "b"].map(names).to_vec()));
}

fn names(path: &str) -> Module {
    path.split('/').map(str::to_owned).collect()
}

/// The imports of each file, without those of tests.
fn graph() -> Graph {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap();
        let module = module(name);
        let is_test = module.last().is_some_and(|name| name.ends_with("test"));
        if !is_test && !FREE.contains(&module[0].as_str()) {
            let production = production(&code(&fs::read_to_string(&path).unwrap()));
            sources.insert(module, (name.ends_with("mod.rs"), production));
        }
    }
    let all = sources.keys().cloned().collect();
    let mut exports: BTreeMap<_, _> =
        sources.iter().flat_map(|(own, (_, source))| re_exports(own, source, &all)).collect();
    exports.extend(re_exports(&Vec::new(), &code(&fs::read_to_string(root.join("lib.rs")).unwrap()), &all));
    let edges = sources.iter().map(|(own, (is_contents, source))| {
        let below = |other: &Module| *is_contents && other.starts_with(own);
        let found = targets(own, source, &exports, &all).into_iter().filter(|other| !below(other)).collect();
        (own.clone(), found)
    });
    edges.collect()
}

/// The source up to its tests, without modules of tests and without visibilities, which name a module too.
fn production(source: &str) -> String {
    let end = ["\nmod tests {", "\npub(super) mod tests {", "\nmod test {"]
        .iter()
        .filter_map(|tests| source.find(tests))
        .min();
    let source = &source[..end.unwrap_or(source.len())];
    let visible = source.split("pub(in ").enumerate().map(|(at, part)| match (at, part.split_once(')')) {
        (1.., Some((_, behind))) => format!("pub{behind}"),
        _ => part.to_owned(),
    });
    visible.collect()
}

/// The files that a file imports.
fn targets(own: &Module, source: &str, exports: &BTreeMap<Module, Module>, all: &BTreeSet<Module>) -> BTreeSet<Module> {
    let is_page = all.iter().any(|file| file.len() > own.len() && file.starts_with(own));
    let own_use = statements(source).filter(|(is_public, _)| !(is_page && *is_public));
    let statements = own_use.flat_map(|(_, path)| expand(path));
    let found = statements.chain(inline(source)).filter_map(|path| file_of(absolute(own, &path, all)?, exports, all));
    found.filter(|file| file != own).collect()
}

/// The paths that stand in the code, where no `use` names them.
fn inline(source: &str) -> impl Iterator<Item = Module> {
    let starts = ["crate::", "super::"].into_iter().flat_map(|start| source.match_indices(start));
    // The next `super` of a chain begins no path.
    let starts = starts.filter(|(at, _)| !source[..*at].ends_with("super::"));
    let paths = starts.map(|(at, _)| {
        let path = &source[at..];
        let end = path.find(|character: char| !character.is_alphanumeric() && !"_:".contains(character));
        parts(&path[..end.unwrap_or(path.len())])
    });
    // A list behind `super::` is of a statement.
    paths.filter(|path| path.last().is_some_and(|last| last != "super"))
}

/// The file in which a name is written.
fn file_of(mut path: Module, exports: &BTreeMap<Module, Module>, all: &BTreeSet<Module>) -> Option<Module> {
    while let Some((len, real)) = (1..=path.len())
        .rev()
        .filter(|len| !all.contains(&path[..*len]))
        .find_map(|len| Some((len, exports.get(&path[..len])?)))
    {
        path.splice(..len, real.iter().cloned());
    }
    (1..=path.len()).rev().map(|len| path[..len].to_vec()).find(|file| all.contains(file))
}

/// The names that a file gives out although they are written in another.
fn re_exports(own: &Module, source: &str, all: &BTreeSet<Module>) -> Vec<(Module, Module)> {
    let public = statements(source).filter(|(is_public, _)| *is_public).flat_map(|(_, path)| expand(path));
    let renamed = public.filter_map(|path| {
        let real = absolute(own, &path, all)?;
        let name = [&own[..], &real[real.len() - 1..]].concat();
        (name != real).then_some((name, real))
    });
    renamed.collect()
}

/// The paths of `use` at the beginning of a line, and whether they are given out.
fn statements(source: &str) -> impl Iterator<Item = (bool, &str)> {
    let starts = source.match_indices("use ").filter_map(|(at, _)| {
        let before = source[..at].rsplit('\n').next().unwrap_or_default();
        let is_statement = before.is_empty() || before.starts_with("pub");
        is_statement.then(|| (!before.is_empty(), source[at + 4..].split(';').next().unwrap_or_default()))
    });
    starts.into_iter()
}

/// `a::b` and `a::c::d` of `a::{b, c::{d}}`.
fn expand(path: &str) -> Vec<Module> {
    let Some((head, group)) = path.split_once('{') else { return vec![parts(path)] };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut members) = (0, vec![String::new()]);
    for character in group.chars() {
        match character {
            ',' if depth == 0 => members.push(String::new()),
            other => {
                depth += i32::from(other == '{') - i32::from(other == '}');
                members.last_mut().unwrap().push(other);
            }
        }
    }
    let members = members.iter().filter(|member| !member.trim().is_empty());
    members.flat_map(|member| expand(member)).map(|member| [parts(head), member].concat()).collect()
}

fn parts(path: &str) -> Module {
    let path = path.split(" as ").next().unwrap_or_default();
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// A path from the root of the crate; none when it leads out of it.
fn absolute(own: &Module, path: &[String], all: &BTreeSet<Module>) -> Option<Module> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([own, &path[1..]].concat()),
        // Within a module of a file, `super` may name the file.
        "super" => Some([&own[..own.len().checked_sub(ups)?], &path[ups..]].concat()),
        first => {
            let child = [&own[..], &[first.to_owned()]].concat();
            let is_below = own.is_empty() || all.contains(&child);
            is_below.then(|| [own, path].concat())
        }
    }
}

/// The files of a circle, the first one also at the end.
fn circle(graph: &Graph) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| circle_from(file, graph, &mut Vec::new(), &mut done))
}

fn circle_from(
    file: &Module,
    graph: &Graph,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(at) = way.iter().position(|met| met == file) {
        return Some([&way[at..], std::slice::from_ref(file)].concat());
    }
    if done.contains(file) {
        return None;
    }
    way.push(file.clone());
    let found = graph.get(file).into_iter().flatten().find_map(|next| circle_from(next, graph, way, done));
    way.pop();
    done.insert(file.clone());
    found
}
