"""A store with its program, and the waiting that a replica needs."""

import http.client
import json
import os
import signal
import subprocess
import time

PATIENCE = 60


def wait_for(what, holds, patience=PATIENCE):
    """Waits until a condition holds, and gives what it gave."""
    until = time.monotonic() + patience
    while True:
        held = holds()
        if held:
            return held
        if time.monotonic() > until:
            raise AssertionError(f"{what} within {patience} s")
        time.sleep(0.1)


class Hive:
    """The program, with the environment of a place, in a folder of its own."""

    def __init__(self, program, folder, environment):
        self.program, self.folder = program, folder
        os.makedirs(folder)
        own = {name: value for name, value in os.environ.items()
               if not name.startswith(("HIVEKEEP", "AWS_", "AZURE_", "GOOGLE_"))}
        self.environment = {**own, **environment}
        self.services = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def end(self):
        """Kills every service that still runs."""
        for service in self.services:
            if service.process.poll() is None:
                service.kill()

    def run(self, *arguments):
        return subprocess.run([self.program, *arguments], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=300)

    def ok(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout

    def refused(self, *arguments, saying):
        """Runs something that must be refused, with these words."""
        done = self.run(*arguments)
        assert done.returncode != 0, f"{arguments}: it was not refused: {done.stdout} {done.stderr}"
        assert saying in done.stderr, f"{arguments}: {done.stderr}"
        return done.stderr.strip()

    def make(self, store):
        """Makes a store, as the first start of a service does."""
        command = [self.program, "--store", store, "--json", "serve", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True)
        assert process.stdout.readline()
        process.terminate()
        assert process.wait(PATIENCE) == 0

    def json(self, *arguments):
        return json.loads(self.ok("--json", *arguments))

    def numbers(self, store):
        """The numbers that a store has, which begin with zero and leave none out."""
        told = json.loads(self.ok("--store", store, "--json", "get", "config"))
        keys = [entry["key"] for entry in told] if isinstance(told, list) else list(told)
        numbers = sorted(int(key.removeprefix("n")) for key in keys if key.startswith("n"))
        assert numbers == list(range(len(numbers))), f"{store}: a number is left out: {numbers}"
        return len(numbers)


class Service:
    """`serve` of a store with its replica."""

    def __init__(self, hive, store, location, *arguments):
        self.hive, self.store, self.location, self.arguments = hive, store, location, arguments
        self.start()
        hive.services.append(self)

    def start(self):
        command = [self.hive.program, "--store", self.store, "--json", "serve", "--listen", "127.0.0.1:0",
                   "--replica", self.location, "--replica-interval", "200ms", "--archive-every", "off",
                   *self.arguments]
        self.log = open(self.hive.path(f"{self.store}.log"), "ab")
        self.process = subprocess.Popen(command, cwd=self.hive.folder, env=self.hive.environment,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        said = self.process.stdout.readline()
        assert said, f"the service does not start; its log is {self.log.name}"
        self.address = json.loads(said)["listening"].removeprefix("http://")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def put(self, number):
        """Writes a number. Says whether it was acknowledged."""
        status, text = self.ask("PUT", f"/api/config/n{number}", number)
        return status < 300, text

    def must_put(self, numbers):
        for number in numbers:
            done, text = self.put(number)
            assert done, f"{number}: {text}"

    def replica(self):
        """Whether its replica is well, and the words for it."""
        check = json.loads(self.ask("GET", "/readyz")[1])["checks"]["replica"]
        return check["ok"], check["detail"]

    def rest(self):
        """Waits until everything that it acknowledged is in the replica, and gives the number of the last commit."""
        newest = -1
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            before, newest = newest, self.hive.json("replica", "status", self.location)["newest"]["sequence"]
            if before == newest and self.replica() == (True, "the replica has everything"):
                return newest
            time.sleep(1)
        raise AssertionError(f"the replica does not come to rest: {self.replica()}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def close(self):
        """Ends it well."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, f"the service did not end well; its log is {self.log.name}"
