"""A store of 1,000,000 tasks and 20,000 points, and how fast each screen of it is: python3 tests/browser/big.py FOLDER

The store is made by the program, over HTTP, and stays in the folder for the next run. Making it takes a while, so this is
no part of the tests.
"""

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
    links = [link for link in SCREENS if "latest" not in link and "build-" not in link and "review" not in link and "motd" not in link and "limits" not in link]
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


def main():
    folder = sys.argv[1]
    with Kept(folder, "--no-retention", "--archive-every", "off", "--backup-interval", "off", "--max-body", "64MiB") as service:
        make(service)
        print(json.dumps(service.get("/api/pulse")["tasks"]), flush=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
            measure(browser, service)
            browser.close()


main()
