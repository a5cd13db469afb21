"""A service with a store of its own, and requests to it as a bot would send them."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

PROGRAM = os.environ.get("HIVEKEEP", "target/debug/hivekeep")
PATIENCE = 30


class Service:
    """The program `serve`, on a free port, with a store in a folder of its own."""

    def __init__(self, *arguments, token=None):
        self.folder = tempfile.mkdtemp(prefix="hivekeep-browser-")
        self.arguments = arguments
        self.token = token
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        """Starts it; after a kill on the same port."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HIVEKEEP")}
        if self.token:
            environment["HIVEKEEP_TOKEN"] = self.token
        command = [os.path.abspath(PROGRAM), "serve", "--json", "--store", "fleet.redb", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*command, *self.arguments], cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        said = json.loads(self.process.stdout.readline())
        self.port = int(said["listening"].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def kill(self):
        """Ends it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def close(self):
        """Ends it, and removes its folder."""
        if self.process.poll() is None:
            self.kill()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, method, path, body=None, raw=None, expect=200):
        """Sends a request, and gives the answer as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, sent, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == expect, (method, path, answer.status, text)
        return json.loads(text)

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, body=None, **options):
        return self.ask("POST", path, {} if body is None else body, **options)

    def put(self, path, body=None, **options):
        return self.ask("PUT", path, body, **options)

    def key(self, name, role):
        """Makes a key, and gives it. The service asks for keys from then on."""
        return json.loads(self.run("key", "add", name, "--role", role))["key"]

    def run(self, *arguments):
        """Runs the program on the store beside the service, and gives what it prints."""
        command = [os.path.abspath(PROGRAM), "--store", "fleet.redb", "--json", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def push(self, identifier, payload, **fields):
        return self.post("/api/queue", {"id": identifier, "payload": payload, **fields})

    def claim(self, bot, **fields):
        return self.post("/api/queue/claim", {"bot": bot, **fields})["claims"]

    def finish(self, claim, verb, **fields):
        return self.post(f"/api/queue/{quoted(claim['id'])}/{verb}", {"token": claim["token"], **fields})

    def point(self, description, **fields):
        return self.post("/api/points", {"description": description, **fields})["id"]


def quoted(text):
    """A text as a part of a path."""
    return urllib.parse.quote(text, safe="")


def until(what, so):
    """Waits until something is so."""
    begun = time.monotonic()
    while not so():
        assert time.monotonic() - begun < PATIENCE, f"it never came that {what}"
        time.sleep(0.05)
