//! Holds the layers: a file imports only its own layer and those above it.
//!
//! A layer is a folder of `src`, or a file there; `lib.rs` and `main.rs` stand outside. Tests within a file are held to
//! the same rule, and so are names that `lib.rs` exports: `crate::Store` counts as the layer that it comes from. A face
//! imports nothing else than these names, so that another one could be written outside of this crate.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

#[path = "layers/circles.rs"]
mod circles;
#[path = "layers/contents.rs"]
mod contents;
#[path = "layers/dependencies.rs"]
mod dependencies;
#[path = "layers/faces.rs"]
mod faces;
#[path = "layers/lengths.rs"]
mod lengths;
#[path = "layers/messages.rs"]
mod messages;
#[path = "layers/verbs.rs"]
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top. A layer imports itself and those before it; those in one line do not import each other.
const LAYERS: [&[&str]; 10] = [
    &["error", "actor", "clock", "duration", "json", "limits", "text"],
    &["files"],
    &["engine"],
    &["state"],
    &["recovery"],
    &["worker"],
    &["transfer"],
    &["replica"],
    &["service"],
    &["face"],
];

/// Stand outside of the layers: the tour, the program, and the tools of tests, which every test may import.
const FREE: [&str; 3] = ["lib", "main", TOOLS];
const TOOLS: &str = "testkit";

/// Two of the first line may import these of the same line, which hold plain data only.
const PLAIN: [&str; 2] = ["error", "json"];

#[test]
fn every_file_imports_only_its_own_layer_and_those_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let exports = exports(&code(&fs::read_to_string(root.join("lib.rs")).unwrap()));
    let mut wrong = Vec::new();
    for path in files(&root) {
        let module = module(path.strip_prefix(&root).unwrap());
        if !FREE.contains(&module[0].as_str()) {
            let source = fs::read_to_string(&path).unwrap();
            wrong.extend(
                objections(&module, &source, &exports).into_iter().map(|why| format!("{}: {why}", path.display())),
            );
        }
    }
    assert!(wrong.is_empty(), "imports against the layers:\n{}", wrong.join("\n"));
}

/// A forked child shares the locks of its parent's files, and one door keeps it from using them.
#[test]
fn files_that_are_locked_are_opened_through_one_door() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in files(&root) {
        let module = module(path.strip_prefix(&root).unwrap());
        let is_test = module.last().is_some_and(|name| name == "test" || name.ends_with("_test"));
        if is_test || FREE.contains(&module[0].as_str()) || module == ["engine", "redb_file", "own_file"] {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = code(before_tests(&source));
        let others = ["FileBackend", "open_read_only(", "Database::open(", "Database::create("];
        wrong.extend(
            others.iter().filter(|other| code.contains(*other)).map(|other| format!("{}: {other}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "opened past engine/redb_file/own_file:\n{}", wrong.join("\n"));
}

/// The source of a file without its tests, which come last in it.
fn before_tests(source: &str) -> &str {
    let starts = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(super) mod tests"];
    let end = starts.iter().filter_map(|start| source.find(start)).min();
    &source[..end.unwrap_or(source.len())]
}

/// The objections to the imports of a file.
fn objections(module: &[String], source: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let own = module[0].as_str();
    let Some(rank) = rank(own) else { return vec![format!("{own} is no layer")] };
    let object = |name: String| {
        let layer = if self::rank(&name).is_some() { &name } else { exports.get(&name).unwrap_or(&name) };
        match self::rank(layer) {
            None if name == TOOLS => None,
            None => Some(format!("crate::{name} is neither a layer nor exported by lib.rs")),
            Some(other) if other > rank => Some(format!("{own} imports crate::{name}, of the layer {layer} below it")),
            Some(other) if other == rank && layer != own && !PLAIN.contains(&layer.as_str()) => {
                Some(format!("{own} imports crate::{name}, of the layer {layer} beside it"))
            }
            Some(_) => None,
        }
    };
    imports(module.len(), &code(source)).into_iter().filter_map(object).collect()
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&layer))
}

/// Every Rust file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module of a file, as names from the root: `engine/mod.rs` is `engine`.
fn module(file: &Path) -> Vec<String> {
    let names = file.with_extension("").iter().map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    names.iter().take(names.len() - usize::from(names.last().unwrap() == "mod")).cloned().collect()
}

/// The source without comments, whose links may point anywhere. The slashes of an address in a string begin none.
fn code(source: &str) -> String {
    let end = |line: &str| line.match_indices("//").map(|(at, _)| at).find(|at| !line[..*at].ends_with(':'));
    source.lines().map(|line| &line[..end(line).unwrap_or(line.len())]).collect::<Vec<_>>().join("\n")
}

/// The layer of each name that `lib.rs` exports.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for line in lib.split(';').filter_map(|line| line.trim_start().rsplit("pub use ").next()) {
        let layer = first_name(line);
        if rank(&layer).is_some() {
            let list = line.rsplit("::").next().unwrap_or_default();
            names.extend(parts(list).iter().map(|name| (public_name(name), layer.clone())));
        }
    }
    names
}

/// The first name behind each `crate::`, and behind each chain of `super::` that reaches the root.
fn imports(depth: usize, code: &str) -> Vec<String> {
    let mut names: Vec<_> = paths(depth, code).iter().map(|path| first_name(path)).collect();
    names.dedup();
    names
}

/// The paths behind each `crate::`, and behind each chain of `super::` that reaches the root.
fn paths(depth: usize, code: &str) -> Vec<String> {
    let mut found: Vec<_> = code.split("crate::").skip(1).flat_map(leaves).collect();
    let mut chain = 0;
    for part in code.split("super::").skip(1) {
        chain += 1;
        if !part.is_empty() {
            let paths = if chain >= depth { leaves(part) } else { Vec::new() };
            found.extend(paths.into_iter().filter(|path| rank(&first_name(path)).is_some()));
            chain = 0;
        }
    }
    found
}

/// `a::b` of `a::b;`; `a::b`, `a::c` and `d` of `{a::{b, c}, d}`.
fn leaves(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let name = first_name(path);
    match path.strip_prefix(&name).and_then(|rest| rest.strip_prefix("::")) {
        Some(rest) if !name.is_empty() => {
            let below = leaves(rest).into_iter().filter(|leaf| !leaf.is_empty());
            let paths: Vec<_> = below.map(|leaf| format!("{name}::{leaf}")).collect();
            if paths.is_empty() { vec![name] } else { paths }
        }
        _ if path.starts_with('{') => parts(path).iter().flat_map(|part| leaves(part)).collect(),
        _ => vec![name],
    }
}

/// The name under which the last part of an import is known: `c` of `b as c`.
fn public_name(part: &str) -> String {
    first_name(part.rsplit(" as ").next().unwrap_or_default())
}

/// `a::b` of `a::b`; `a::{b, c}` and `d` of `{a::{b, c}, d}`.
fn parts(path: &str) -> Vec<String> {
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![path.to_owned()] };
    let mut depth = 0;
    let mut names = vec![String::new()];
    for character in group.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(String::new()),
            other => {
                depth += usize::from(other == '{');
                depth -= usize::from(other == '}');
                names.last_mut().unwrap().push(other);
            }
        }
    }
    names.into_iter().filter(|name| !name.trim().is_empty()).collect()
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// The objections to a file of that module, while `lib.rs` exports a few names.
fn objected(module: &str, source: &str) -> Vec<String> {
    let lib = "pub use engine::store::{Options, Store};\npub use error::Error;\n#[cfg(x)]\npub use face::Instance;";
    let module: Vec<_> = module.split('/').map(str::to_owned).collect();
    objections(&module, source, &exports(lib))
}

#[test]
fn an_import_from_below_is_seen_in_every_form() {
    for source in [
        "use crate::state::queue::Task;",
        "use crate::{engine::epoch::Epoch, state::queue::{Task, TaskId}};",
        "use crate::{\n    engine::epoch::{Epoch, Epochs},\n    state,\n};",
        "fn f() { crate::state::f() }",
        "#[serde(with = \"crate::state::time\")]",
        "use super::super::state::queue::Task;",
        "mod tests { use super::super::super::state::Task; }",
    ] {
        let why = objected("engine/write", source);
        assert_eq!(why, ["engine imports crate::state, of the layer state below it"], "{source}");
    }
}

#[test]
fn an_import_of_the_same_layer_or_from_above_is_fine() {
    for source in [
        "use crate::engine::epoch::Epoch;\nuse crate::error::{Error, Result};",
        "use crate::state::queue::Task; use crate::Store;",
        "use super::queue::{self, Task}; mod tests { use super::*; use super::super::queue; }",
        "/// See [`restore`](crate::recovery::restore::plan).",
        "//! crate::face",
        "pub(in crate::state::queue) fn f() {}",
    ] {
        assert_eq!(objected("state/queue/claiming/claim", source), [""; 0], "{source}");
    }
}

#[test]
fn a_name_that_the_crate_exports_counts_as_its_layer() {
    assert_eq!(
        objected("state/queue", "use crate::{Error, Instance, Store, Unknown};"),
        [
            "state imports crate::Instance, of the layer face below it",
            "crate::Unknown is neither a layer nor exported by lib.rs"
        ]
    );
}

#[test]
fn layers_side_by_side_do_not_import_each_other_but_for_errors() {
    assert_eq!(objected("clock", "use crate::error::Error;"), [""; 0]);
    assert_eq!(
        objected("json", "use crate::clock::time;"),
        ["json imports crate::clock, of the layer clock beside it"]
    );
}

#[test]
fn a_file_outside_of_the_layers_is_named() {
    assert_eq!(objected("helpers", ""), ["helpers is no layer"]);
}

/// Paths that files of `face` import although `lib.rs` does not export them, and why.
const FACE_EXCEPT: [(&str, &str); 3] = [
    ("files", "files that an operator names are opened through the one door for files"),
    ("service", "the service runs within this program only, and is set up by its options"),
    ("state::documents", "a body is taken apart into documents while it arrives"),
];

#[test]
fn a_face_imports_only_what_a_program_that_links_the_library_can() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = code(&fs::read_to_string(root.join("lib.rs")).unwrap());
    let exports = exports(&lib);
    let mut wrong = Vec::new();
    let mut excepted = BTreeSet::new();
    for path in files(&root.join("face")) {
        let file = path.strip_prefix(&root).unwrap();
        let source = fs::read_to_string(&path).unwrap();
        for internal in internals(&module(file), &source, &lib, &exports) {
            match FACE_EXCEPT.iter().find(|(except, _)| is_below(&internal, except)) {
                Some((except, _)) => drop(excepted.insert(*except)),
                None => wrong.push(format!("{}: crate::{internal}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "not exported by lib.rs:\n{}", wrong.join("\n"));
    let unused: Vec<_> = FACE_EXCEPT.iter().filter(|(except, _)| !excepted.contains(except)).collect();
    assert!(unused.is_empty(), "excepted although nothing imports it: {unused:?}");
}

/// The paths of a file that neither lie in `face` nor are public.
fn internals(module: &[String], source: &str, lib: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let is_public = |path: &String| {
        let first = first_name(path);
        first == "face" || exports.contains_key(&first) || lib.contains(&format!("pub mod {first};"))
    };
    paths(module.len(), &code(source)).into_iter().filter(|path| !is_public(path)).collect()
}

/// Whether a path is another one, or goes on behind it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn an_import_that_is_not_public_is_seen_in_every_form() {
    let lib = "pub mod json;\nmod engine;\npub use engine::store::{Outcome as Ended, Store};";
    let seen = |source: &str| {
        let module = ["face".to_owned(), "cli".to_owned()];
        internals(&module, source, lib, &exports(lib))
    };
    for source in [
        "use crate::engine::store::Store;",
        "use crate::{Store, engine::store::Store};",
        "use crate::engine::{\n    store::{Store},\n};",
        "fn f(store: &crate::engine::store::Store) {}",
        "use super::super::engine::store::Store;",
        "#[serde(with = \"crate::engine::store::Store\")]",
    ] {
        assert_eq!(seen(source), ["engine::store::Store"], "{source}");
    }
    assert_eq!(seen("use crate::Outcome;"), ["Outcome"]);
    assert_eq!(seen("use crate::{Ended, Store, face::cli, json::parse}; use super::Context;"), [""; 0]);
}

/// Calls that create, name, rename or remove files and folders, or open a file of unknown kind.
const OF_FILES: [&str; 14] = [
    "File::create",
    "File::open",
    "File::options",
    "OpenOptions",
    "DirBuilder",
    "fs::copy",
    "fs::create_dir",
    "fs::hard_link",
    "fs::read(",
    "fs::read_to_string",
    "fs::remove_",
    "fs::rename",
    "fs::set_permissions",
    "fs::write",
];

/// Files that may, and why.
const EXCEPT: [(&str, &str); 6] = [
    ("clock.rs: fs::read_to_string", "the id of the boot is at a fixed path of the kernel"),
    ("engine/redb_file/create.rs: fs::read(", "the id of the machine is at a fixed path of the system"),
    ("engine/session/lock_holder.rs: fs::read_to_string", "the kernel tells of a process at fixed paths"),
    ("face/cli/verbs/generate.rs: fs::create_dir", "manual pages are public, and can be made again"),
    ("face/http/inside.rs: fs::create_dir", "it is for the fuzzer and the tests"),
    ("face/http/inside.rs: fs::remove_", "it is for the fuzzer and the tests"),
];

#[test]
fn only_the_module_for_files_makes_names_and_opens_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let is_for_tests = name.ends_with("test.rs");
        if is_for_tests || ["files/", "testkit/"].iter().any(|apart| name.starts_with(apart)) {
            continue;
        }
        let code = code(&fs::read_to_string(&path).unwrap());
        let code = before_tests(&code);
        let code = code.split("#[cfg(all(test").next().unwrap();
        found.extend(OF_FILES.iter().filter(|of| calls(code, of)).map(|of| format!("{name}: {of}")));
    }
    found.sort();
    let excepted: Vec<_> = EXCEPT.iter().map(|(call, _)| (*call).to_owned()).collect();
    assert_eq!(found, excepted, "crate::files does this, so that names are durable and nobody else can read them");
}

/// Whether code has a name, which does not go on before it.
fn calls(code: &str, name: &str) -> bool {
    let goes_on = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || last == '_');
    code.match_indices(name).any(|(at, _)| !goes_on(&code[..at]))
}

/// Files outside of `engine/redb_file` that name the crate redb, and why.
const NAME_REDB: [(&str, &str); 2] = [
    ("engine/commit/interleaving_test.rs", "it hands a storage in memory to the scheduler"),
    ("engine/opening/test.rs", "it makes files of other programs"),
];

#[test]
fn only_one_folder_names_the_crate_redb() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let code = code(&fs::read_to_string(&path).unwrap());
        if !name.starts_with("engine/redb_file/") && calls(&code, "redb::") {
            found.push(name.to_owned());
        }
    }
    let allowed: Vec<_> = NAME_REDB.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, allowed, "rows are read and written through engine/rows, files through engine/redb_file");
}
