//! The page of the service: its files, its policy, and the band with its name.

use crate::service::{Answer, Service};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const POLICY: &str = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

fn get(service: &Service, path: &str, headers: &str) -> Answer {
    service.bare(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").as_bytes())
}

/// The value of a header.
fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} is not in {answer}"))
}

/// The addresses that a page asks for.
fn addresses(page: &str) -> Vec<&str> {
    let after = |sign: &'static str| page.split(sign).skip(1).filter_map(|rest| rest.split('"').next());
    after("src=\"").chain(after("href=\"")).collect()
}

#[test]
fn the_page_and_its_files_are_served_under_the_policy_and_asked_for_by_relative_addresses() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let page = get(&service, "/", "");
    assert_eq!((page.status, header(&page, "content-type")), (200, "text/html; charset=utf-8"), "{page}");
    let body = page.body.clone();
    let files = addresses(&body);
    assert!(files.len() > 5 && files.contains(&"page/app.js") && files.contains(&"page/style.css"), "{files:?}");
    let answers = files.iter().map(|file| {
        assert!(!file.starts_with('/') && !file.contains(':'), "{file}");
        get(&service, &format!("/{file}"), "")
    });
    for answer in answers.chain([page]) {
        assert_eq!(answer.status, 200, "{answer}");
        for line in
            [POLICY, "x-content-type-options: nosniff", "referrer-policy: no-referrer", "cache-control: no-cache"]
        {
            assert!(answer.head.contains(line), "{line} is not in {answer}");
        }
    }
    for path in ["/page/mod.rs", "/page/index.html", "/page/", "/page/..%2fapp.js", "/page/app.js/x", "/app.js"] {
        assert_eq!(get(&service, path, "").status, 404, "{path}");
    }
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--name", "prod"]);
    for path in ["/", "/page/app.js"] {
        let first = get(&service, path, "");
        let tag = header(&first, "etag");
        assert_eq!(tag, format!("\"{}\"", blake3::hash(first.body.as_bytes())), "{path}");
        let again = get(&service, path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.as_str(), header(&again, "etag")), (304, "", tag));
        assert_eq!(get(&service, path, "If-None-Match: \"other\"\r\n").status, 200);
    }
}

#[test]
fn the_page_needs_no_token_and_shows_nothing_that_does() {
    let hive = Hive::new();
    let service = Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", TOKEN)]);
    for path in ["/", "/page/app.js"] {
        assert_eq!(get(&service, path, "").status, 200, "{path}");
    }
    for path in ["/api/pulse", "/page", "/page2/app.js"] {
        assert_eq!(get(&service, path, "").status, 401, "{path}");
    }
}

#[test]
fn the_name_and_the_colour_stand_in_the_page_as_text() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--name", "prod <b>\"&", "--colour", "red"]);
    let page = get(&service, "/", "").body;
    assert!(page.contains("data-name=\"prod &lt;b&gt;&quot;&amp;\" data-colour=\"red\""), "{page}");
    assert!(page.contains("<title>prod &lt;b&gt;&quot;&amp; · Hivekeep</title>"), "{page}");
    let said = hive.refused(&["serve", "--colour", "pink"], 2);
    assert!(said.contains("red, orange, yellow"), "{said}");
    let said = hive.refused(&["serve", "--name", &"x".repeat(41)], 2);
    assert!(said.contains("visible characters"), "{said}");
}
