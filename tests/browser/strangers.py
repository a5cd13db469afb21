"""Pages of others, in the browser of somebody who is signed in: they can change and read nothing."""

import http.server
import json
import os
import threading

from screens import TOKEN, _quiet_service, _sign_in
from service import Service
from tab import tab

#: Names that the browser finds at this machine, as one would whose owner has changed where it leads to.
REBOUND = "--host-resolver-rules=MAP *.example 127.0.0.1"

#: Everything that a page can send elsewhere, and what comes back of it.
ATTACK = """
async target => {
    const read = [];
    const note = (how, text) => { if (text) read.push(`${how}: ${text}`); };
    const ask = async (how, path, options) => {
        try {
            const answer = await fetch(target + path, { cache: "no-store", ...options });
            note(`${how} ${path}`, answer.ok ? await answer.text() : "");
        } catch { /* The browser shows nothing, as it should. */ }
    };
    const body = JSON.stringify("stolen");
    const asked = [];
    for (const mode of ["cors", "no-cors", "same-origin"]) {
        for (const credentials of ["include", "omit"]) {
            const send = (path, options) => asked.push(ask(`${mode} ${credentials}`, path, { mode, credentials, ...options }));
            for (const path of ["api/config/secret", "api/me", "openapi.json"]) send(path);
            send("api/points", { method: "POST", body: "{}", headers: { "Content-Type": "text/plain" } });
            send("api/points", { method: "POST", body: "{}", headers: { "Sec-Fetch-Site": "same-origin", "Authorization": "Bearer x" } });
            send("api/undo", { method: "POST" });
            send("api/session", { method: "POST", body: JSON.stringify({ key: "x" }) });
            send("api/config/secret", { method: "PUT", body });
            send("api/config/secret", { method: "DELETE" });
        }
    }
    await Promise.all(asked);
    navigator.sendBeacon(`${target}api/points`, new Blob(["{}"], { type: "text/plain" }));
    const loads = (tag, attributes) => new Promise(done => {
        const own = Object.assign(document.createElement(tag), attributes);
        own.onload = () => { try { note(tag, own.contentDocument?.body?.innerText); } catch { } done(); };
        own.onerror = done;
        setTimeout(done, 500);
        document.body.append(own);
    });
    const form = (method, path) => loads("iframe", { srcdoc: `<form method=${method} enctype=text/plain action="${target}${path}"><input name='{"x":"' value='"}'></form><script>document.forms[0].submit()<${"/"}script>` });
    await Promise.all([
        loads("img", { src: `${target}api/config/secret` }),
        loads("script", { src: `${target}api/config/secret` }),
        loads("iframe", { src: `${target}api/config/secret` }),
        loads("iframe", { src: target }),
        form("post", "api/points"),
        form("post", "api/undo"),
    ]);
    return read;
}
"""

CONTENT = b"<!doctype html><title>a page of somebody else</title><body></body>"


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


def _elsewhere():
    """A server of somebody else on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _state(service):
    """All that an attack could have changed."""
    return json.dumps([service.get(path) for path in ("/api/config", "/api/points", "/api/queue", "/api/registry")])


def _refused(service):
    """How many requests the service has refused: attacks that it never saw prove nothing."""
    entries = service.get("/api/audit?action=refused&limit=1000")["entries"]
    return sum(entry["details"]["count"] for entry in entries)


def _attack(browser, service, where, page_of, target, is_null=False):
    before = _state(service)
    with tab(browser, service.url) as own:
        own.open("now")
        if service.token:
            _sign_in(own, TOKEN)
        stranger = own.page.context.new_page()
        if where.startswith(target):
            # The page was loaded while the name led elsewhere.
            stranger.route(where, lambda route: route.fulfill(status=200, content_type="text/html", body=CONTENT.decode()))
        stranger.goto(where)
        frame = stranger
        if is_null:
            stranger.evaluate("""() => new Promise(done => {
                const own = Object.assign(document.createElement("iframe"), { srcdoc: "<body></body>", onload: done });
                own.sandbox = "allow-scripts allow-forms";
                document.body.append(own);
            })""")
            frame = stranger.frames[1]
            assert frame.evaluate("origin") == "null"
        read = frame.evaluate(ATTACK, target)
        assert not read, (page_of, read)
    assert _state(service) == before, page_of


def _attacks(browser, service, server):
    port, own = server.server_address[1], service.port
    here = f"http://127.0.0.1:{own}/"
    _attack(browser, service, f"http://127.0.0.1:{port}/", "another port", here)
    _attack(browser, service, f"http://localhost:{port}/", "another site", here)
    _attack(browser, service, f"http://evil.example:{port}/", "a foreign name", here)
    _attack(browser, service, f"http://127.0.0.1:{port}/", "a null origin", here, is_null=True)
    _attack(browser, service, f"http://evil.example:{own}/", "a rebound name", f"http://evil.example:{own}/")


def test_a_page_of_another_port_site_or_origin_and_a_rebound_name_change_and_read_nothing(browser):
    rebound = browser.browser_type.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", REBOUND])
    server = _elsewhere()
    try:
        for token in (None, TOKEN):
            with Service("--archive-every", "off", "--backup-interval", "off", token=token) as service:
                service.put("/api/config/secret", "TOP SECRET")
                _attacks(rebound, service, server)
                assert _refused(service) > 100, _refused(service)
        origin = f"http://127.0.0.1:{server.server_address[1]}"
        with _quiet_service("--allow-origin", origin) as service:
            service.put("/api/config/secret", "TOP SECRET")
            before = _state(service)
            with tab(rebound, service.url) as own:
                own.page.goto(f"{origin}/")
                own.page.evaluate(ATTACK, service.url)
            assert _state(service) != before, "the attack would not have changed anything of an open service either"
    finally:
        server.shutdown()
        rebound.close()
