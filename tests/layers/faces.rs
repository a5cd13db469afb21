//! Holds that no face imports another one, except for those that serve it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{code, files, module, paths};

/// The rooms of `face`, each with the other rooms that it imports. Each imports earlier ones only, so there is no
/// circle. The program begins the service, sessions of agents, and requests to another service; the service has `/mcp`.
const ROOMS: [(&str, &[&str]); 8] = [
    ("wire", &[]),
    ("parcel", &[]),
    ("signals", &[]),
    ("asynchronous", &["parcel"]),
    ("mcp", &["parcel", "wire"]),
    ("remote", &["wire"]),
    ("http", &["mcp", "parcel", "signals", "wire"]),
    ("cli", &["http", "mcp", "remote", "signals"]),
];

#[test]
fn a_face_imports_the_shared_rooms_and_those_faces_that_it_serves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for path in files(&root.join("face")) {
        let module = module(path.strip_prefix(&root).unwrap());
        let Some(own) = module.get(1) else { continue };
        assert!(ROOMS.iter().any(|(room, _)| room == own), "{own} is missing in the list of rooms");
        for other in rooms(&module, &fs::read_to_string(&path).unwrap()) {
            seen.insert((own.clone(), other));
        }
    }
    let pairs =
        ROOMS.iter().flat_map(|(own, others)| others.iter().map(|other| ((*own).to_owned(), (*other).to_owned())));
    assert_eq!(seen, pairs.collect(), "left: the imports; right: the list of rooms");
    for (at, (_, others)) in ROOMS.iter().enumerate() {
        let earlier = |other: &&str| ROOMS.iter().take(at).any(|(room, _)| room == other);
        assert!(others.iter().all(earlier), "a room imports earlier ones only: {others:?}");
    }
}

/// The other rooms of `face` that a file imports.
fn rooms(module: &[String], source: &str) -> BTreeSet<String> {
    let others = paths(module.len(), &code(source)).into_iter().filter_map(|path| {
        let mut names = path.split("::");
        names.next().filter(|first| *first == "face").and(names.next()).map(str::to_owned)
    });
    others.filter(|other| ROOMS.iter().any(|(room, _)| room == other) && *other != module[1]).collect()
}

#[test]
fn an_import_of_another_face_is_seen_in_every_form() {
    let module = ["face", "mcp", "tools"].map(str::to_owned);
    for source in [
        "use crate::face::http::route::Field;",
        "use crate::{Store, face::{http, wire::fields::Fields}};",
        "fn f() { crate::face::http::f() }",
        "use super::super::super::face::http::f;",
    ] {
        assert!(rooms(&module, source).contains("http"), "{source}");
    }
    assert_eq!(rooms(&module, "use crate::face::mcp::call::Call; use axum::http::Method;"), BTreeSet::new());
}
