"""Compares the package with other stores and queues from Python, with each one's syncs counted.

    pip install diskcache persist-queue huey
    python bindings/python/bench/compare.py [--rounds 15] [--folder FOLDER]

Contenders take turns, round by round, so that a busy moment of the machine meets all of them. A number is the median of the
rounds, in microseconds for one operation: of the clock, and of the processor (all threads of the process). `strace` counts
the calls that make a file durable, in a run of its own; without it, the column is empty.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hivekeep
import hivekeep.aio

PAYLOAD = {"build": "4f2a", "branch": "main", "steps": ["lint", "test", "pack"], "started": 1764340000.5, "ok": True}
SYNCS = "fsync,fdatasync,msync,sync_file_range,sync,syncfs"

Step = Callable[[int], object]
Contender = Callable[[Path], contextlib.AbstractContextManager[Step]]


def contender(make: Callable[[Path], Iterator[Step]]) -> Contender:
    return contextlib.contextmanager(make)


def puts(**options: Any) -> Contender:
    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "put.redb", **options) as store:
            config = store.config

            def step(number: int) -> None:
                config[f"key{number % 500}"] = PAYLOAD

            yield step

    return make


@contender
def sqlite_insert(folder: Path) -> Iterator[Step]:
    base = sqlite3.connect(folder / "put.sqlite", isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=FULL")
    base.execute("CREATE TABLE config (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    with contextlib.closing(base):
        yield lambda number: base.execute(
            "INSERT OR REPLACE INTO config VALUES (?, ?)", (f"key{number % 500}", json.dumps(PAYLOAD))
        )


def cycles(**options: Any) -> Contender:
    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "queue.redb", **options) as store:
            queue = store.queue

            def step(number: int) -> None:
                queue.enqueue(PAYLOAD)
                for claim in queue.claim("BOT-1"):
                    with claim as task:
                        task.result = number

            yield step

    return make


@contender
def persist_queue(folder: Path) -> Iterator[Step]:
    import persistqueue

    queue = persistqueue.SQLiteAckQueue(str(folder / "persist"), auto_commit=True)

    def step(number: int) -> None:
        queue.put(PAYLOAD)
        queue.ack(queue.get())

    yield step
    queue.close()


def _huey_of(folder: Path) -> Any:
    import huey

    return huey.SqliteHuey(filename=str(folder / "huey.sqlite"), fsync=True, results=False)


@contender
def huey_cycle(folder: Path) -> Iterator[Step]:
    hue = _huey_of(folder)
    task = hue.task()(lambda payload: None)

    def step(number: int) -> None:
        task(PAYLOAD)
        assert hue.dequeue() is not None

    yield step
    hue.storage.close()


def _filled() -> dict[str, object]:
    return {f"key{number}": {**PAYLOAD, "number": number} for number in range(500)}


def gets(**options: Any) -> Contender:
    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "get.redb", **options) as store:
            store.config.update(_filled())
            config = store.config
            yield lambda number: config[f"key{number * 7 % 500}"]

    return make


@contender
def diskcache_get(folder: Path) -> Iterator[Step]:
    import diskcache

    with diskcache.Cache(str(folder / "cache")) as cache:
        for key, value in _filled().items():
            cache[key] = value
        yield lambda number: cache[f"key{number * 7 % 500}"]


@contender
def push_singly(folder: Path) -> Iterator[Step]:
    with hivekeep.open(folder / "single.redb") as store:
        yield lambda number: store.queue.enqueue(PAYLOAD)


@contender
def push_a_thousand(folder: Path) -> Iterator[Step]:
    with hivekeep.open(folder / "batch.redb") as store:
        yield lambda number: store.queue.enqueue_all([hivekeep.NewTask(PAYLOAD) for _ in range(1000)])


GROUPS: dict[str, tuple[int, dict[str, Contender]]] = {
    "durable write of one value": (
        40,
        {
            "hivekeep": puts(),
            "hivekeep, exclusive": puts(exclusive=True),
            "sqlite3, WAL, FULL": sqlite_insert,
        },
    ),
    "task: enqueue, claim, complete": (
        20,
        {
            "hivekeep": cycles(),
            "hivekeep, exclusive": cycles(exclusive=True),
            "persist-queue: put, get, ack": persist_queue,
            "huey: enqueue, dequeue": huey_cycle,
        },
    ),
    "read of one value": (
        2000,
        {"hivekeep": gets(), "hivekeep, exclusive": gets(exclusive=True), "diskcache": diskcache_get},
    ),
    "1,000 tasks": (1, {"in a batch": push_a_thousand}),
    "1 task": (40, {"singly": push_singly}),
}


def measure(folder: Path, rounds: int, steps: int, contenders: dict[str, Contender]) -> dict[str, tuple[float, float]]:
    """Microseconds of the clock and of the processor for one step: the medians."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    with contextlib.ExitStack() as stack:
        ready = {}
        for name, make in contenders.items():
            own = folder / f"{len(ready)}"
            own.mkdir()
            ready[name] = stack.enter_context(make(own))
        for step in ready.values():
            for number in range(steps):
                step(number)
        for turn in range(rounds):
            for name, step in ready.items():
                gc.collect()
                clock, processor = time.perf_counter(), time.process_time()
                for number in range(turn * steps, (turn + 1) * steps):
                    step(number)
                used = time.process_time() - processor
                times[name].append(((time.perf_counter() - clock) / steps * 1e6, used / steps * 1e6))
    return {name: (statistics.median(a for a, _ in each), statistics.median(b for _, b in each)) for name, each in times.items()}


def count_syncs(group: str, name: str) -> float | None:
    """How many syncs a step makes, by a process of its own under strace."""
    if shutil.which("strace") is None:
        return None
    counts = []
    for steps in (10, 60):
        with tempfile.TemporaryDirectory() as folder:
            command = ["strace", "-f", "-c", "-e", f"trace={SYNCS}", "-o", f"{folder}/counts", sys.executable, __file__]
            subprocess.run([*command, "--one", group, name, str(steps), "--folder", folder], check=True)
            counts.append(_total(Path(folder, "counts").read_text()))
    # The difference leaves out what opening and closing take.
    return (counts[1] - counts[0]) / 50


def _total(table: str) -> int:
    rows = [line.split() for line in table.splitlines() if line.split()[-1:] and line.split()[-1] in SYNCS.split(",")]
    return sum(int(row[3]) for row in rows)


def run_one(folder: Path, group: str, name: str, steps: int) -> None:
    with GROUPS[group][1][name](folder) as step:
        for number in range(steps):
            step(number)


async def waiters(folder: Path, count: int = 1000, seconds: float = 10) -> tuple[float, list[float]]:
    """The share of a processor that waiting takes, and the milliseconds from a push to the woken one."""
    async with hivekeep.aio.open(folder / "wait.redb") as store:
        woken: asyncio.Queue[float] = asyncio.Queue()

        async def wait(number: int) -> None:
            while True:
                for claim in await store.queue.claim(f"BOT-{number}", wait=3600):
                    await woken.put(time.perf_counter())
                    async with claim:
                        pass

        tasks = [asyncio.create_task(wait(number)) for number in range(count)]
        await asyncio.sleep(5)
        clock, processor = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - processor) / (time.perf_counter() - clock)
        took = []
        for _ in range(40):
            await store.queue.enqueue(PAYLOAD)
            pushed = time.perf_counter()
            took.append((await woken.get() - pushed) * 1000)
            await asyncio.sleep(0.15)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return share, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured; a temporary folder unless set")
    parser.add_argument("--one", nargs=3, metavar=("GROUP", "NAME", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.folder, options.one[0], options.one[1], int(options.one[2]))
        return
    print(f"hivekeep {hivekeep.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} processors")
    print(f"{'':32} {'clock µs':>10} {'processor µs':>13} {'syncs':>6}")
    for group, (steps, contenders) in GROUPS.items():
        print(group)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = measure(Path(folder), options.rounds, steps, contenders)
        for name, (clock, processor) in found.items():
            syncs = count_syncs(group, name)
            print(f"  {name:30} {clock:10.1f} {processor:13.1f} {'' if syncs is None else format(syncs, '.1f'):>6}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        share, took = asyncio.run(waiters(Path(folder)))
    print(f"1,000 waits: {share:.2%} of a processor; woken after {statistics.median(took):.2f} ms, at most {max(took):.2f} ms")


if __name__ == "__main__":
    main()
