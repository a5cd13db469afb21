//! The table of the files of the page, and how they are served.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Error;
use crate::face::http::admission::band::Band;
use crate::face::http::app::App;
use crate::face::http::bodies::query::Name;
use crate::face::http::problem::Answer;

/// The page runs only its own files, and no text of a bot can become code: browsers refuse all else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// The browser asks each time whether a file has changed.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// The route of the page.
const INDEX: &str = "/";
/// The route of its files.
const FILE: &str = "/page/{file}";
/// The name of the band stands here in `index.html`.
const NAME_PLACE: &str = "data-name=\"\"";
/// The colour of the band stands here in `index.html`.
const COLOUR_PLACE: &str = "data-colour=\"\"";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const PLAIN: &str = "text/plain; charset=utf-8";

/// A file of the page.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// The table of files, each embedded from this folder.
macro_rules! files {
    ($($name:literal: $kind:ident),* $(,)?) => {
        const FILES: &[File] = &[$(File { name: $name, kind: $kind, bytes: include_bytes!($name) }),*];
    };
}

files! {
    "index.html": HTML,
    "style.css": STYLE,
    "icon.svg": IMAGE,
    "preact.js": SCRIPT,
    "preact.LICENSE.txt": PLAIN,
    "app.js": SCRIPT,
    "api.js": SCRIPT,
    "bots.js": SCRIPT,
    "bulk.js": SCRIPT,
    "compare.js": SCRIPT,
    "data.js": SCRIPT,
    "first.js": SCRIPT,
    "health.js": SCRIPT,
    "hooks.js": SCRIPT,
    "log.js": SCRIPT,
    "now.js": SCRIPT,
    "parts.js": SCRIPT,
    "queue.js": SCRIPT,
    "restore.js": SCRIPT,
    "schedules.js": SCRIPT,
    "text.js": SCRIPT,
    "timebar.js": SCRIPT,
    "timeline.js": SCRIPT,
    "undo.js": SCRIPT,
    "versions.js": SCRIPT,
}

/// The hash of each file, in the order of the table, as it stands in `ETag`.
static TAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| FILES.iter().map(|file| tag(file.bytes)).collect());

/// Adds the page to the routes. It is no part of the API, so the OpenAPI document does not list it.
pub(in crate::face::http) fn add(routes: Router<App>) -> Router<App> {
    routes.route(INDEX, get(index)).route(FILE, get(file))
}

/// Whether a route is one of the page. The page shows nothing of the store by itself, so it needs no key.
pub(in crate::face::http) fn is_of_page(route: &str) -> bool {
    [INDEX, FILE].contains(&route)
}

async fn index(State(app): State<App>, headers: HeaderMap) -> Answer {
    let page = with_band(&String::from_utf8_lossy(index_file().bytes), &app.live().band);
    let tag = tag(page.as_bytes());
    Ok(served(&headers, HTML, tag, page.into()))
}

async fn file(Name(name): Name, headers: HeaderMap) -> Answer {
    let found = FILES.iter().zip(TAGS.iter()).find(|(file, _)| file.name == name && file.kind != HTML);
    let (file, tag) = found.ok_or_else(|| Error::not_found(format!("no such file: file={}", name.escape_debug())))?;
    Ok(served(&headers, file.kind, tag.clone(), file.bytes.into()))
}

fn index_file() -> &'static File {
    const { &FILES[0] }
}

/// Answers with a file, or that the one that the browser has is the same.
fn served(headers: &HeaderMap, kind: &'static str, tag: HeaderValue, body: Body) -> Response {
    let has_it = headers.get(header::IF_NONE_MATCH) == Some(&tag);
    let common = [(header::ETAG, tag), (header::CACHE_CONTROL, REVALIDATED), policy()];
    if has_it {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

fn policy() -> (HeaderName, HeaderValue) {
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
}

fn tag(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", blake3::hash(bytes).to_hex())).unwrap_or(REVALIDATED)
}

/// The first file with the name and the colour of the store in it.
fn with_band(page: &str, band: &Band) -> String {
    let name = band.name.as_ref().map(|name| escaped(&name.to_string())).unwrap_or_default();
    let colour = band.colour.map(|colour| colour.as_str()).unwrap_or_default();
    let title = if name.is_empty() { String::new() } else { format!("<title>{name} · ") };
    let page = page.replacen(NAME_PLACE, &format!("data-name=\"{name}\""), 1);
    let page = page.replacen(COLOUR_PLACE, &format!("data-colour=\"{colour}\""), 1);
    if title.is_empty() { page } else { page.replacen("<title>", &title, 1) }
}

/// A text between quotes of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The most bytes of our own modules. A person who checks the page can read so much: 120 KiB for the nine screens,
    /// 16 for changes of many tasks, the schedules and the changes between points, and 6 for what the service and the
    /// bots are at, the size of points and the chain of the audit trail.
    const OWN_BYTES: usize = 142 << 10;
    /// The most bytes of the files of the first screen, which leaves room for its answers below 150 KB.
    const FIRST_BYTES: usize = 100_000;
    /// The file of other authors, as the registry has it.
    const PREACT: &str = "75c2b23d96a698bfadde52c7cae5c22e2df7710dfc78ade84bdbbb83ff8c3d10";

    fn own() -> impl Iterator<Item = &'static File> {
        FILES.iter().filter(|file| !file.name.starts_with("preact"))
    }

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn the_table_holds_every_file_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/face/http/page");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<_> = names.filter(|name| !name.ends_with(".rs")).collect();
        assert_eq!(FILES.iter().map(|file| file.name.to_owned()).collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn the_file_of_other_authors_is_the_published_one() {
        let file = FILES.iter().find(|file| file.name == "preact.js").unwrap();
        assert_eq!(blake3::hash(file.bytes).to_hex().as_str(), PREACT);
    }

    #[test]
    fn the_modules_of_our_own_stay_small() {
        let bytes: usize = own().filter(|file| file.kind == SCRIPT).map(|file| file.bytes.len()).sum();
        assert!(bytes <= OWN_BYTES, "{bytes} bytes");
    }

    #[test]
    fn the_first_file_is_the_page_and_has_a_place_for_the_band() {
        assert_eq!(index_file().name, "index.html");
        let page = text(index_file());
        assert!(page.contains(NAME_PLACE) && page.contains(COLOUR_PLACE) && page.contains("<title>"));
        let band = Band { name: "a<b>\"&".parse().ok(), colour: "red".parse().ok() };
        let banded = with_band(page, &band);
        assert!(banded.contains("data-name=\"a&lt;b&gt;&quot;&amp;\" data-colour=\"red\""), "{banded}");
        assert!(banded.contains("<title>a&lt;b&gt;&quot;&amp; · "), "{banded}");
        assert_eq!(with_band(page, &Band::default()), page);
    }

    #[test]
    fn every_address_in_the_files_is_relative_and_no_code_or_style_stands_in_the_page() {
        for file in own() {
            let text = text(file);
            for wrong in
                ["https://", "src=\"/", "href=\"/", "from '/", "from \"/", "fetch('/", "url(", "innerHTML", "eval("]
            {
                assert!(!text.contains(wrong), "{} contains {wrong}", file.name);
            }
            for (at, _) in text.match_indices("http://") {
                let rest = &text[at + "http://".len()..];
                assert!(rest.starts_with("www.w3.org/2000/svg"), "{} names another host", file.name);
            }
        }
        let page = text(index_file());
        for wrong in ["<style", "style=\"", " on", "javascript:"] {
            assert!(!page.contains(wrong), "the page contains {wrong}");
        }
    }

    /// The modules that a module imports: those that are loaded with it, or those that are loaded later.
    fn imports(file: &File, later: bool) -> BTreeSet<&'static str> {
        let sign = if later { "import('./" } else { "from './" };
        text(file).split(sign).skip(1).filter_map(|rest| rest.split('\'').next()).collect()
    }

    fn script(name: &str) -> &'static File {
        FILES.iter().find(|file| file.name == name && file.kind == SCRIPT).unwrap_or_else(|| panic!("no module {name}"))
    }

    /// The modules that the first screen needs, found by their imports.
    fn first() -> BTreeSet<&'static str> {
        let (mut found, mut next) = (BTreeSet::new(), vec!["app.js"]);
        while let Some(name) = next.pop() {
            if found.insert(name) {
                next.extend(imports(script(name), false));
            }
        }
        found
    }

    #[test]
    fn the_page_asks_at_once_for_all_modules_of_the_first_screen_and_for_no_other() {
        let page = text(index_file());
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            let asked = page.contains(&format!("\"page/{}\"", file.name));
            assert_eq!(asked, first().contains(file.name), "{}", file.name);
            for later in imports(file, true) {
                assert!(!first().contains(script(later).name), "{later} is loaded at once");
            }
        }
    }

    #[test]
    fn the_first_screen_stays_small() {
        let others = ["index.html", "style.css", "icon.svg"];
        let is_first = |file: &&File| first().contains(file.name) || others.contains(&file.name);
        let bytes: usize = FILES.iter().filter(is_first).map(|file| file.bytes.len()).sum();
        assert!(bytes <= FIRST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn every_module_of_our_own_is_checked_by_types() {
        for file in own().filter(|file| file.kind == SCRIPT) {
            assert!(text(file).starts_with("// @ts-check\n"), "{}", file.name);
        }
    }
}
