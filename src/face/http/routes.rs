//! Everything that can be asked for, put together.

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};

use crate::face::http::app::App;
use crate::face::http::bodies::condition::Condition;
use crate::face::http::bodies::query::Query;
use crate::face::http::layers::middleware;
use crate::face::http::management::{keys, me, operations};
#[cfg(feature = "mcp")]
use crate::face::http::mcp;
#[cfg(feature = "page")]
use crate::face::http::page;
use crate::face::http::problem::{Answer, Problem};
use crate::face::http::route::{Needs, Route};
use crate::face::http::{recovery, state};

/// Every route of the service.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    [
        recovery::ROUTES,
        state::REGISTRY,
        state::QUEUE,
        state::BULK,
        state::SCHEDULES,
        state::RECORDS,
        state::POINTS,
        state::VERSIONS,
        state::CHECK,
        state::PULSE,
        state::COLLECTIONS,
        state::HEALTH,
        state::WHOLE,
        keys::ROUTES,
        me::ROUTES,
        operations::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// The router of the service.
pub(super) fn router(app: App) -> Router {
    let routes = all().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    #[cfg(feature = "page")]
    let routes = page::add(routes);
    #[cfg(feature = "mcp")]
    let routes = mcp::add(routes);
    let routes = routes.method_not_allowed_fallback(no_such_method).fallback(no_such_path);
    let routes = routes.layer(from_fn_with_state(app.clone(), check_asked));
    middleware::around(routes, &app, needs).with_state(app)
}

/// The route of a request; none for one of the page, of agents, and for nothing that there is.
fn route_of(request: &Request) -> Option<&'static Route> {
    let path = request.extensions().get::<MatchedPath>()?;
    // HEAD is answered as GET.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    all().find(|route| route.path == path.as_str() && route.method == *method)
}

/// Refuses unknown query parameters, and conditions that a route cannot keep. Those of the replaced service ignore
/// them, as it did.
async fn check_asked(State(app): State<App>, request: Request, next: Next) -> Answer {
    let route = route_of(&request);
    let (mut parts, body) = request.into_parts();
    if let Some(route) = route.filter(|route| !recovery::has(route)) {
        if parts.uri.query().is_some() {
            Query::from_request_parts(&mut parts, &app).await?.refuse_unknown(route)?;
        }
        Condition::of(&parts.headers).refuse_unless_taken(route)?;
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// The role that a request needs. One for nothing that there is needs any valid key.
fn needs(request: &Request) -> Needs {
    #[cfg(feature = "page")]
    if request.extensions().get::<MatchedPath>().is_some_and(|path| page::is_of_page(path.as_str())) {
        return Needs::Anyone;
    }
    route_of(request).map_or(Needs::Reader, |route| route.needs)
}

async fn no_such_path(request: Request) -> Problem {
    let path = request.uri().path().escape_debug().to_string();
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("unknown path; see /openapi.json: path={path}"))
}

async fn no_such_method(request: Request) -> Problem {
    let path = request.uri().path();
    let detail = format!("method not allowed: method={} path={path}", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Role;
    use crate::face::http::route::Gives;

    #[test]
    fn every_route_is_described_and_declared_once() {
        let mut seen = BTreeSet::new();
        for route in all() {
            let name = format!("{} {}", route.method, route.path);
            assert!(
                route.about.ends_with(|c: char| c.is_alphanumeric() || c == ')'),
                "{name}: a sentence without its end"
            );
            assert!(route.path.starts_with('/') && !route.path.ends_with('/'), "{name}");
            assert!(seen.insert(name.clone()), "{name} stands twice");
        }
        assert!(seen.len() > 40);
    }

    #[test]
    fn a_route_that_changes_something_needs_more_than_a_reader() {
        for route in all().filter(|route| route.method != Method::GET && route.path != "/api/session") {
            assert!(route.needs >= Needs::Bot, "{} {}", route.method, route.path);
        }
        let open: Vec<_> = all().filter(|route| route.needs == Needs::Anyone).map(|route| route.path).collect();
        assert_eq!(open, ["/api/session", "/livez", "/readyz"]);
    }

    /// The table in `docs/SECURITY.md`.
    fn table_of_roles() -> String {
        let mut table =
            String::from("| request | needs | reader | bot | operator | admin |\n|---|---|---|---|---|---|\n");
        for route in all() {
            let needs = route.needs.role();
            let may = Role::ALL.map(|role| if needs.is_none_or(|needed| role >= needed) { "yes" } else { "-" });
            let needs = needs.map_or("nothing", Role::as_str);
            table += &format!("| `{} {}` | {needs} | {} |\n", route.method, route.path, may.join(" | "));
        }
        #[cfg(feature = "mcp")]
        {
            table += &format!("| `{}` | reader, and the role of each tool | yes | yes | yes | yes |\n", mcp::PATH);
        }
        table
    }

    #[test]
    fn the_printed_table_of_roles_is_that_of_the_routes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SECURITY.md");
        let (begin, end) = ("<!-- routes: made by a test -->\n", "<!-- end of routes -->");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(begin).unwrap();
        let (table, after) = rest.split_once(end).unwrap();
        if std::env::var_os("HIVEKEEP_WRITE_SECURITY").is_some() {
            std::fs::write(path, format!("{before}{begin}{}{end}{after}", table_of_roles())).unwrap();
            return;
        }
        assert!(
            table == table_of_roles(),
            "docs/SECURITY.md is old; run this test with HIVEKEEP_WRITE_SECURITY=1 and look at the change"
        );
    }

    #[test]
    fn a_record_is_reached_even_when_its_name_is_the_word_of_another_route() {
        let hides = |path: &str, template: &str| {
            let parts = || path.split('/').zip(template.split('/'));
            path.split('/').count() == template.split('/').count()
                && path != template
                && parts().all(|(own, other)| own == other || other.starts_with('{'))
        };
        for template in all() {
            for hiding in all().filter(|route| hides(route.path, template.path)) {
                let mut same = all().filter(|route| route.path == hiding.path && route.method == template.method);
                let name = format!("{} {}", template.method, hiding.path);
                assert!(same.any(|route| route.query.len() == template.query.len()), "{name} reaches no record");
            }
        }
    }

    #[test]
    fn no_field_is_declared_twice_and_each_is_described() {
        for route in all() {
            let taken = route.takes.fields();
            let given: Vec<_> = match route.gives {
                Gives::Fields(fields) => fields.iter().collect(),
                Gives::Of(shape) => shape.all_fields().collect(),
                _ => Vec::new(),
            };
            for fields in [route.query.iter().collect(), taken.iter().collect(), given] {
                let names: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
                assert_eq!(names.len(), fields.len(), "{}", route.path);
                assert!(fields.iter().all(|field| !field.about.is_empty()), "{}", route.path);
            }
        }
    }

    #[test]
    fn every_read_of_versioned_state_takes_a_point() {
        for route in all().filter(|route| route.method == Method::GET) {
            let versioned = [
                "/api/registry",
                "/api/queue",
                "/api/assignments",
                "/api/chat",
                "/api/config",
                "/api/audit",
                "/api/schedules",
            ];
            // The decision of a claim, and the dependents of a task: both are known for the present only.
            let is_of_now = ["/api/queue/{task}/why", "/api/queue/{task}/dependents"].contains(&route.path);
            let is_below = |path: &&str| {
                route.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if !is_of_now && versioned.iter().any(is_below) {
                assert!(route.query.iter().any(|field| field.name == "at"), "{}", route.path);
            }
        }
    }
}
