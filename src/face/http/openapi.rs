//! The OpenAPI document, made from the table of routes. A copy is kept in `docs/openapi.json`, so that a change of what
//! clients see is reviewed.

use axum::Json;
use serde_json::{Map, Value, json};

use crate::face::http::route::{Gives, Kind, Member, Route, Takes};
use crate::face::http::routes;

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Json<Value> {
    Json(document())
}

/// The whole document.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hivekeep",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The recovery service of a fleet of bots, and its live state. Times are UTC.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": name(route),
        "tags": [tag(route)],
        "summary": route.about,
        "responses": {
            "200": success(route.gives),
            "default": {
                "description": "What went wrong (RFC 9457)",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    });
    let parameters: Vec<_> = parts(route.path).map(part).chain(route.query.iter().map(query)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    match route.takes {
        Takes::Nothing => {}
        Takes::Members(members) => {
            let needed = members.iter().any(|member| member.needed);
            operation["requestBody"] =
                json!({"required": needed, "content": {"application/json": {"schema": object(members)}}});
        }
        Takes::Any(about) => {
            let schema = json!({"description": about});
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        }
    }
    operation
}

/// `post_backup_history` and the like: the method and the words of the path.
fn name(route: &Route) -> String {
    let words = route
        .path
        .split(['/', '-', '.', '{', '}'])
        .filter(|word| !matches!(*word, "" | "api" | "disaster" | "recovery"));
    let method = route.method.as_str().to_lowercase();
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn tag(route: &Route) -> &'static str {
    let words = route.path.strip_prefix("/api/").unwrap_or("operations");
    words.split('/').next().unwrap_or_default()
}

fn parts(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('{').skip(1).filter_map(|part| part.split('}').next())
}

fn part(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query(member: &Member) -> Value {
    let mut schema = schema(member);
    schema.as_object_mut().map(|schema| schema.remove("description"));
    json!({"name": member.name, "in": "query", "required": member.needed, "description": member.about, "schema": schema})
}

fn success(gives: Gives) -> Value {
    match gives {
        Gives::Members(members) => {
            json!({"description": "Done", "content": {"application/json": {"schema": object(members)}}})
        }
        Gives::Any(about) => json!({"description": about, "content": {"application/json": {"schema": {}}}}),
        Gives::Text(about) => json!({"description": about, "content": {"text/plain": {"schema": {"type": "string"}}}}),
    }
}

fn object(members: &[Member]) -> Value {
    let properties: Map<_, _> = members.iter().map(|member| (member.name.to_owned(), schema(member))).collect();
    let required: Vec<_> = members.iter().filter(|member| member.needed).map(|member| member.name).collect();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn schema(member: &Member) -> Value {
    let (kind, more) = match member.kind {
        Kind::Text => ("string", None),
        Kind::Time => ("string", Some(("format", json!("date-time")))),
        Kind::Number => ("integer", Some(("minimum", json!(0)))),
        Kind::Decimal => ("number", None),
        Kind::Flag => ("boolean", None),
        Kind::Object => ("object", None),
        Kind::List => ("array", Some(("items", json!({})))),
        Kind::Any => return json!({"description": member.about}),
    };
    let mut schema = json!({"type": kind, "description": member.about});
    // Null means absent in what is taken, and nothing in what is given.
    if !member.needed || member.about.contains("null") {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some((name, value)) = more {
        schema[name] = value;
    }
    schema
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "kind", "success"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string", "description": "the status in words"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what went wrong, and how to go on"},
            "kind": {"type": "string", "description": "the sort of error, for programs"},
            "success": {"type": "boolean", "const": false},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_operations_have_one_name() {
        let mut names: Vec<_> = routes::all().map(name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn the_committed_copy_is_what_the_routes_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
        if std::env::var_os("HIVEKEEP_WRITE_OPENAPI").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let copy = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            copy == now,
            "docs/openapi.json is old; run this test with HIVEKEEP_WRITE_OPENAPI=1 and look at the change"
        );
    }
}
