"""The official conformance suite of the Model Context Protocol against the service.

python3 conformance.py PROGRAM SUITE, where SUITE is the folder of the npm package @modelcontextprotocol/conformance, 0.1.16,
which needs Node 22. Each scenario has a service of its own, as the suite never ends a session and a service limits them.

The suite is made for a reference server whose tools, resources and prompts it knows by name. Where Hivekeep has one of the same
kind, somebody between the suite and the service puts its name in the place of the suite's, so that the scenario runs. The other
scenarios are of features that Hivekeep does not offer and does not declare: it must refuse each of them by the code of the
protocol.
"""

import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service import service

PROGRAM, SUITE = map(os.path.abspath, sys.argv[1:3])

PASS = {
    "server-initialize": {},
    "ping": {},
    "tools-list": {},
    "resources-list": {},
    # Without the reconnection, for which it asks a tool.
    "server-sse-polling": {},
    "server-sse-multiple-streams": {},
    "dns-rebinding-protection": {},
    # By other names.
    "tools-call-simple-text": {"test_simple_text": "bots"},
    "tools-call-error": {"test_error_handling": "chat_post"},
    "resources-read-text": {"test://static-text": "hivekeep://queue"},
    "resources-templates-read": {"test://template/123/data": "hivekeep://queue/123"},
}
"""The scenarios that pass, and the names of the suite with those of Hivekeep."""

REFUSED = {
    "logging-set-level": ("-32601", "it sends no log to its clients"),
    "tools-call-with-logging": ("-32601", "the same"),
    "completion-complete": ("-32601", "it completes no arguments"),
    "prompts-list": ("-32601", "it has no prompts"),
    "prompts-get-simple": ("-32601", "the same"),
    "prompts-get-with-args": ("-32601", "the same"),
    "prompts-get-embedded-resource": ("-32601", "the same"),
    "prompts-get-with-image": ("-32601", "the same"),
    "resources-subscribe": ("-32601", "its resources cannot be subscribed to"),
    "resources-unsubscribe": ("-32601", "the same"),
    "resources-read-binary": ("-32002", "its resources are JSON"),
    "tools-call-image": ("-32602", "its tools answer text"),
    "tools-call-audio": ("-32602", "the same"),
    "tools-call-mixed-content": ("-32602", "the same"),
    "tools-call-embedded-resource": ("-32602", "the same"),
    "tools-call-with-progress": ("-32602", "no tool tells of its progress"),
    "tools-call-sampling": ("-32602", "no tool asks the client's model"),
    "tools-call-elicitation": ("-32602", "no tool asks the person"),
    "elicitation-sep1034-defaults": ("-32602", "the same"),
    "elicitation-sep1330-enums": ("-32602", "the same"),
    "json-schema-2020-12": ("not found", "the scenario asks for a tool with a schema of its own"),
}
"""The scenarios that cannot pass: how each is refused, and the reason."""


class Between(BaseHTTPRequestHandler):
    """Hands a request to the service with other names in it, and its answer back."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service: str
    names: dict

    def do(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        for theirs, ours in self.names.items():
            body = body.replace(theirs, ours)
        own = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length", "connection")}
        request = urllib.request.Request(self.service + self.path, body.encode() or None, own, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            # As it comes: an answer may be a stream of events.
            while part := answer.read1(65536):
                for theirs, ours in self.names.items():
                    part = part.replace(ours.encode(), theirs.encode())
                self.wfile.write(part)
                self.wfile.flush()

    do_GET = do_POST = do_DELETE = do

    def log_message(self, *_):
        pass


def run(scenario, names):
    """The words of the suite about a scenario."""
    with service(PROGRAM) as (_, url):
        push = [PROGRAM, "--store", url, "queue", "push", "--id", "123", '"work"']
        subprocess.check_call(push, stdout=subprocess.DEVNULL)
        if not names:
            return ask(scenario, url)
        handler = type("Handler", (Between,), {"service": url, "names": names})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as between:
            between.daemon_threads = True
            threading.Thread(target=between.serve_forever, daemon=True).start()
            said = ask(scenario, f"http://127.0.0.1:{between.server_address[1]}")
            between.shutdown()
            return said


def ask(scenario, url):
    command = ["node", os.path.join(SUITE, "dist", "index.js"), "server", "--url", url + "/mcp", "--scenario", scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)


def main():
    listed = subprocess.run(["node", os.path.join(SUITE, "dist", "index.js"), "list"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"- ([\w-]+) \[", listed.stdout.split("Client scenarios")[0]))
    assert known == PASS.keys() | REFUSED.keys(), known ^ (PASS.keys() | REFUSED.keys())
    for scenario, names in PASS.items():
        said = run(scenario, names)
        assert re.search(r"Passed: ([1-9]\d*)/\1, 0 failed", said), (scenario, said)
        print(f"ok: {scenario}{', by other names' if names else ''}")
    for scenario, (code, why) in REFUSED.items():
        said = run(scenario, {})
        assert "Passed: 0/1, 1 failed" in said and code in said, (scenario, said)
        print(f"refused: {scenario}: {why}")


main()
