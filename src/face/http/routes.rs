//! Everything that can be asked for, put together.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;

use crate::face::http::app::App;
use crate::face::http::problem::Problem;
use crate::face::http::route::Route;
use crate::face::http::{middleware, operations, recovery, state};

/// Every route of the service.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    [
        recovery::ROUTES,
        state::REGISTRY,
        state::QUEUE,
        state::RECORDS,
        state::POINTS,
        state::VERSIONS,
        state::CHECK,
        operations::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// The router of the service.
pub(super) fn router(app: App) -> Router {
    let routes = all().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
    let routes = routes.method_not_allowed_fallback(no_such_method).fallback(no_such_path);
    middleware::around(routes, &app).with_state(app)
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
    use crate::face::http::route::{Gives, Takes};

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
            let taken = if let Takes::Fields(fields) = route.takes { fields } else { &[] };
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
        for route in all().filter(|route| route.method == axum::http::Method::GET) {
            let versioned =
                ["/api/registry", "/api/queue", "/api/assignments", "/api/chat", "/api/config", "/api/audit"];
            // It tells the decision of a claim, and claims are of now.
            let is_of_now = route.path == "/api/queue/{task}/why";
            if !is_of_now && versioned.iter().any(|path| route.path.starts_with(path)) {
                assert!(route.query.iter().any(|field| field.name == "at"), "{}", route.path);
            }
        }
    }
}
