"""A store of 1,000,000 tasks and 20,000 points, and how fast the page is on it: python3 tests/browser/big.py FOLDER [WHAT..]

WHAT is `screens` (how long each screen takes, unless something else is named), `idle` (what a tab costs that is left open
for MINUTES) or `crowd` (how long claims take beside ten tabs). The store is made by the program, over HTTP, and stays in
the folder for the next run. Making it takes a while, so this is no part of the tests.
"""

import http.client
import json
import os
import sys
import time

from playwright.sync_api import sync_playwright

from screens import SCREENS
from service import Service
from tab import Tab

TASKS = int(os.environ.get("TASKS", "1000000"))
POINTS = int(os.environ.get("POINTS", "20000"))
BATCH = 1_000
MINUTES = float(os.environ.get("MINUTES", "10"))
#: Claims in a row, and the tabs beside them.
CLAIMS, TABS = 2_000, 10
#: The aims: how long a screen may take, in milliseconds, and how long an answer and a table may be, in bytes and rows.
AIM_MS, AIM_BYTES, AIM_ROWS = 500, 1 << 20, 200


class Kept(Service):
    """A service whose store is kept in a folder."""

    def __init__(self, folder, *arguments):
        self.kept = folder
        os.makedirs(folder, exist_ok=True)
        super().__init__(*arguments)

    def start(self):
        self.folder = self.kept
        super().start()

    def close(self):
        self.process.terminate()
        self.process.wait(60)


def make(service):
    """Fills the store, or goes on where the last run ended."""
    begun = time.monotonic()
    service.put("/api/registry/BOT-1", {"specializations": ["rust"]})
    have = sum(service.get("/api/pulse")["tasks"].values())
    for first in range(have, TASKS, BATCH):
        tasks = [{"id": f"task-{number:07}", "priority": f"P{number % 4}", "payload": {"build": number, "branch": "main", "text": "x" * 120}}
                 for number in range(first, min(first + BATCH, TASKS))]
        service.post("/api/queue/batch", {"tasks": tasks})
        if first % 50_000 == 0:
            print(f"{first} tasks after {time.monotonic() - begun:.0f} s", flush=True)
    points = service.get("/api/pulse")["points"]
    for number in range(points, POINTS):
        service.put("/api/config/number", number)
        service.point(f"point {number}")
        if number % 2_000 == 0:
            print(f"{number} points after {time.monotonic() - begun:.0f} s", flush=True)
    for claim in service.claim("BOT-1", max=100, max_concurrent=100, lease_ms=3_600_000):
        if claim["id"] < "task-0000200":
            service.finish(claim, "complete", result={"ok": True})


def measure(browser, service):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    own = Tab(context.new_page(), service.url)
    sizes = {}
    own.page.on("response", lambda answer: sizes.__setitem__(answer.url, answer))
    rows = []
    own.open("now")
    point = service.get("/api/timeline/points?limit=100")["points"][-1]["point"]
    links = [link for link in SCREENS if "~" not in link and "build-" not in link and "review" not in link and "motd" not in link and "limits" not in link and "nightly" not in link]
    links += ["queue/task-0200000", "queue?state=ready", "queue?filter=id%3Atask-09", "data/queue", "data/config/number", f"compare/{point}/now", f"restore/{point}", f"queue?at={point}"]
    for link in links:
        own.follow("log?show=events")
        own.page.wait_for_timeout(300)
        sizes.clear()
        begun = time.monotonic()
        own.follow(link)
        took = (time.monotonic() - begun) * 1_000
        most = max((len(answer.body()) for answer in list(sizes.values()) if answer.ok), default=0)
        count = own.page.locator("main tbody tr").count()
        over = " OVER" if took > AIM_MS or most > AIM_BYTES or count > AIM_ROWS else ""
        rows.append((link, took, most, count))
        print(f"{link[:31]:32} {took:6.0f} ms {most:9} bytes {count:4} rows{over}", flush=True)
    own.quiet()
    context.close()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    answers = []
    page.on("response", lambda answer: answers.append(answer))
    begun = time.monotonic()
    page.goto(service.url)
    page.wait_for_selector(".verdict h2")
    took = (time.monotonic() - begun) * 1_000
    total = sum(len(answer.body()) for answer in answers)
    print(f"first screen after a cold load   {took:6.0f} ms {total:9} bytes in {len(answers)} answers")
    return rows


def cpu(process):
    """The seconds of a core that a process has had."""
    with open(f"/proc/{process}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process):
    """The resident memory of a process in KiB."""
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def idle(browser, service):
    """The part of a core that an open tab takes of the browser and of the service, and whether its memory grows."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    own = Tab(context.new_page(), service.url)
    own.open("queue")
    own.page.wait_for_timeout(10_000)
    devtools = context.new_cdp_session(own.page)
    devtools.send("Performance.enable")
    processes = browser.new_browser_cdp_session()

    def look():
        devtools.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        tab = sum(one["cpuTime"] for one in processes.send("SystemInfo.getProcessInfo")["processInfo"] if one["type"] == "renderer")
        return time.monotonic(), tab, found["JSHeapUsedSize"], found["Nodes"], cpu(service.process.pid), memory(service.process.pid)

    first = look()
    for minute in range(int(MINUTES)):
        own.page.wait_for_timeout(60_000)
        last = look()
        took = last[0] - first[0]
        print(f"minute {minute + 1}: tab {100 * (last[1] - first[1]) / took:.2f}% of a core, heap {last[2] / 1024:.0f} KiB (at first {first[2] / 1024:.0f}), "
              f"{last[3]:.0f} nodes ({first[3]:.0f}); service {100 * (last[4] - first[4]) / took:.2f}% of a core, {last[5]} KiB ({first[5]})", flush=True)
    context.close()


def claims(service):
    """The times of claims and completions in a row, in milliseconds, sorted."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    took = []

    def ask(path, body):
        begun = time.monotonic()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        took.append((time.monotonic() - begun) * 1_000)
        return answer

    for _ in range(CLAIMS):
        claim = ask("/api/queue/claim", {"bot": "BOT-9", "max_concurrent": 9})["claims"][0]
        ask(f"/api/queue/{claim['id']}/complete", {"token": claim["token"]})
    return sorted(took)


def crowd(browser, service):
    """Claims alone, beside ten tabs, and alone again."""
    def told(what):
        took = claims(service)
        print(f"{what}: median {took[len(took) // 2]:.2f} ms, p99 {took[len(took) * 99 // 100]:.2f} ms of {len(took)} requests", flush=True)

    told("without tabs")
    tabs = [Tab(browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), service.url) for _ in range(TABS)]
    for number, own in enumerate(tabs):
        own.open(["now", "queue", "bots", "log", "timeline"][number % 5])
    told(f"beside {TABS} tabs")
    for own in tabs:
        own.page.context.close()
    told("without tabs again")


def main():
    folder, *asked = sys.argv[1:]
    wanted = [{"screens": measure, "idle": idle, "crowd": crowd}[one] for one in asked or ["screens"]]
    with Kept(folder, "--no-retention", "--archive-every", "off", "--backup-interval", "off", "--max-body", "64MiB") as service:
        make(service)
        print(json.dumps(service.get("/api/pulse")["tasks"]), flush=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
            for work in wanted:
                work(browser, service)
            browser.close()


main()
