//! The OpenAPI document, made from the table of routes. A copy is committed in `docs/openapi.json`, so that
//! changes of the API are reviewed.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::face::http::recovery;
use crate::face::http::route::{Gives, Needs, Route, Takes};
use crate::face::wire::field::{Field, FieldType, Shape, schema_of};

/// The descriptions of error responses.
const REFUSALS: [(u16, &str); 11] = [
    (400, "The body is not valid JSON"),
    (401, "The service asks for keys, and the request shows no valid one"),
    (
        403,
        "The role of the key is too low, the request acts as another bot than that of the key, or it comes from a page of \
         another site that `--allow-origin` does not name",
    ),
    (404, "Not found, or no such point"),
    (409, "The state does not allow it"),
    (412, "The value is not as `If-Match` or `If-None-Match` demands, or it has no `ETag`"),
    (413, "The body exceeds the size limit of the service, or needs too much memory"),
    (
        421,
        "The service asks for no keys, and the request names a host that is neither this machine nor one of `--allow-host`",
    ),
    (422, "A field, parameter or path segment is invalid, or a field or parameter is unknown"),
    (429, "Too many requests of this key or address, or too many wrong keys from it; `Retry-After` says when to retry"),
    (507, "The disk is nearly full"),
];
/// The description of all other errors.
const ANY_REFUSAL: &str = "Errors that any request may cause: invalid HTTP, or not exactly one `Host` header (400), body timeout (408), damaged \
    data (409), a condition such as `If-Match` where there is no `ETag` (412), operating system error (500), service busy or stopping, or its memory for requests in use (503), disk full (507)";

/// The whole document.
pub(super) fn document(routes: impl Iterator<Item = &'static Route>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut shapes = Map::from_iter([("Problem".to_owned(), problem())]);
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
        name_shapes(route.takes.fields(), &mut shapes);
        match route.gives {
            Gives::Fields(fields) => name_shapes(fields, &mut shapes),
            Gives::Of(shape) => name_shape(shape, &mut shapes),
            Gives::Either((_, one), (_, other)) => {
                [one, other].into_iter().for_each(|shape| name_shape(shape, &mut shapes))
            }
            Gives::Any(_) | Gives::Text(_) => {}
        }
    }
    let refusals = REFUSALS.iter().map(|(status, about)| (refusal_name(*status), refusal(about)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hivekeep",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The recovery service of a fleet of bots, and its live state. Times are UTC. Objects may get \
                further fields; no field changes its meaning. Language-model agents use `/mcp`, by the Model Context Protocol.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes,
            "responses": refusals.collect::<Map<_, _>>(),
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of the store, hk_NAME_SECRET, or the token of `--token-file`. A store without keys, in a \
                    service without a token, asks for none",
            }, "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": "hivekeep_PORT",
                "description": "The cookie of `POST /api/session`; only for the service's own page",
            }},
        },
        "security": [{"key": []}, {"session": []}, {}],
    })
}

/// Adds a shape and those that it refers to.
fn name_shape(shape: &Shape, shapes: &mut Map<String, Value>) {
    if !shapes.contains_key(shape.name) {
        let mut schema = object(shape.all_fields());
        schema["description"] = shape.about.into();
        shapes.insert(shape.name.to_owned(), schema);
        name_shapes(shape.all_fields(), shapes);
    }
}

fn name_shapes(fields: impl IntoIterator<Item = &'static Field>, shapes: &mut Map<String, Value>) {
    for field in fields {
        let mut value_type = &field.value_type;
        while let FieldType::List(inner) | FieldType::Map(inner) = value_type {
            value_type = inner;
        }
        if let FieldType::Of(shape) = value_type {
            name_shape(shape, shapes);
        }
    }
}

fn operation(route: &Route) -> Value {
    let given = route.statuses.iter().map(|status| (status.to_string(), success(route.gives)));
    let refused = refusals(route);
    let refused = refused.iter().map(|status| (status.to_string(), refers("responses", &refusal_name(*status))));
    let mut responses: Map<_, _> = given.chain(refused).collect();
    responses.insert("default".to_owned(), refusal(ANY_REFUSAL));
    let mut operation =
        json!({"operationId": name(route), "tags": [tag(route)], "summary": route.about, "responses": responses});
    match route.needs.role() {
        Some(role) => operation["x-hivekeep-role"] = role.as_str().into(),
        None => operation["security"] = json!([]),
    }
    let parameters: Vec<_> = parts(route.path).map(part).chain(route.query.iter().map(query)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    match route.takes {
        Takes::Nothing => {}
        Takes::Fields(fields) | Takes::Whole(fields) => {
            let needed = matches!(route.takes, Takes::Whole(_)) || fields.iter().any(|field| field.required);
            let mut schema = object(fields);
            if !needed {
                schema["type"] = json!(["object", "null"]);
            }
            operation["requestBody"] = json!({"required": needed, "content": {"application/json": {"schema": schema}}});
        }
        Takes::Any(about) => {
            let schema = json!({"description": about});
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        }
    }
    operation
}

/// The error statuses of a route: its own, and those that follow from its parameters and body.
fn refusals(route: &Route) -> BTreeSet<u16> {
    let mut refusals: BTreeSet<_> = route.refuses.iter().copied().chain([403, 421]).collect();
    if route.needs != Needs::Anyone {
        refusals.extend([401, 429]);
    }
    if !matches!(route.takes, Takes::Nothing) {
        refusals.extend([400, 413]);
    }
    // Others refuse unknown query parameters, even if they have none.
    let has_input =
        !matches!(route.takes, Takes::Nothing) || !route.query.is_empty() || parts(route.path).next().is_some();
    if has_input || !recovery::has(route) {
        refusals.insert(422);
    }
    if route.query.iter().any(|field| field.name == "at") {
        refusals.insert(404);
    }
    refusals
}

/// `NotFound` and the like: the status in words.
fn refusal_name(status: u16) -> String {
    let status = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    status.unwrap_or_default().split(' ').collect()
}

fn refusal(about: &str) -> Value {
    let content = json!({"application/problem+json": {"schema": refers("schemas", "Problem")}});
    json!({"description": about, "content": content})
}

fn refers(sort: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{sort}/{name}")})
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

fn query(field: &Field) -> Value {
    let schema = schema_of(field.value_type, by_name);
    json!({"name": field.name, "in": "query", "required": field.required, "description": field.about, "schema": schema})
}

fn success(gives: Gives) -> Value {
    let json =
        |about: &str, schema: Value| json!({"description": about, "content": {"application/json": {"schema": schema}}});
    match gives {
        Gives::Fields(fields) => json("Done", object(fields)),
        Gives::Of(shape) => json(shape.about, refers("schemas", shape.name)),
        Gives::Either((about, one), (about_other, other)) => json(
            &format!("{about}; or, {about_other}"),
            json!({"anyOf": [refers("schemas", one.name), refers("schemas", other.name)]}),
        ),
        Gives::Any(about) => json(about, json!({})),
        Gives::Text(about) => json!({"description": about, "content": {"text/plain": {"schema": {"type": "string"}}}}),
    }
}

fn object(fields: impl IntoIterator<Item = &'static Field, IntoIter: Clone>) -> Value {
    let fields = fields.into_iter();
    let properties: Map<_, _> = fields.clone().map(|field| (field.name.to_owned(), schema(field))).collect();
    let required: Vec<_> = fields.filter(|field| field.required).map(|field| field.name).collect();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn schema(field: &Field) -> Value {
    let mut schema = schema_of(field.value_type, by_name);
    if field.null {
        if let Some(kind) = schema.get("type").cloned() {
            schema["type"] = json!([kind, "null"]);
        } else if schema.get("$ref").is_some() {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            words.push(Value::Null);
        }
    }
    schema["description"] = field.about.into();
    schema
}

fn by_name(shape: &'static Shape) -> Value {
    refers("schemas", shape.name)
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "kind", "success"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string", "description": "reason phrase of the status"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "the error, and what to do next"},
            "kind": {"type": "string", "description": "kind of error, for programs"},
            "hint": {"type": "string", "description": "the field or the request that helps, if there is one"},
            "success": {"type": "boolean", "const": false},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::http::routes;

    #[test]
    fn no_two_operations_have_one_name() {
        let mut names: Vec<_> = routes::all().map(name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn shapes_of_one_name_are_one_shape_and_every_reference_resolves() {
        let document = document(routes::all());
        let text = document.to_string();
        let referred = text.split("\"#/components/").skip(1).filter_map(|rest| rest.split('"').next());
        for path in referred {
            assert!(document["components"].pointer(&format!("/{path}")).is_some(), "{path}");
        }
        let sources = [
            include_str!("shapes.rs"),
            include_str!("../wire/task.rs"),
            include_str!("state/bulk.rs"),
            include_str!("state/health.rs"),
            include_str!("state/collections.rs"),
            include_str!("state/pulse.rs"),
            include_str!("state/whole.rs"),
        ];
        let own = sources.iter().map(|source| source.matches("Shape = Shape {\n    name: \"").count()).sum::<usize>();
        assert_eq!(
            document["components"]["schemas"].as_object().unwrap().len(),
            own + 1,
            "a shape is used by nobody, or two have one name"
        );
    }

    #[test]
    fn the_committed_copy_matches_the_routes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&document(routes::all())).unwrap());
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
