"""Compares the package with other stores and queues from Python, with each one's syncs counted.

    pip install diskcache persist-queue huey
    python bindings/python/bench/compare.py [--rounds 15] [--folder FOLDER] [--only GROUP]

Contenders take turns, round by round, so that a busy moment of the machine meets all of them. A number is the median of the
rounds, in microseconds for one operation: of the clock, and of the processor (all threads of the process). `strace` counts
the calls that make a file durable, in a run of its own; without it, the column is empty. Behind each group stand the ratios
of these medians. `exclusive` is a store that this process has for itself, whose log makes a commit one sync.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
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
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import hivekeep
import hivekeep.aio

PAYLOAD = {"build": "4f2a", "branch": "main", "steps": ["lint", "test", "pack"], "started": 1764340000.5, "ok": True}
BATCH = 1000
PUSHES: list[float] = []
"""The milliseconds that single pushes took beside waiters, which is what one commit takes."""
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


def worker_cycles(**options: Any) -> Contender:
    """A worker at work: it completes a task and claims the next one in the same commit, as `store.worker` does."""

    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "queue.redb", **options) as store:
            queue = store.queue
            queue.enqueue(PAYLOAD)
            (held,) = queue.claim("BOT-1")

            def step(number: int) -> None:
                nonlocal held
                queue.enqueue(PAYLOAD)
                (held,) = held.complete_and_claim(number)

            yield step
            held.complete()

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


def singles(**options: Any) -> Contender:
    """1,000 tasks, each in a commit of its own."""

    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "single.redb", **options) as store:

            def step(number: int) -> None:
                for _ in range(BATCH):
                    store.queue.enqueue(PAYLOAD)

            yield step

    return make


def batches(**options: Any) -> Contender:
    """The same in one commit."""

    @contender
    def make(folder: Path) -> Iterator[Step]:
        with hivekeep.open(folder / "batch.redb", **options) as store:
            yield lambda number: store.queue.enqueue_all([hivekeep.NewTask(PAYLOAD) for _ in range(BATCH)])

    return make


@dataclasses.dataclass
class Group:
    """Contenders for one operation."""

    name: str
    steps: int
    """The operations of a round."""
    contenders: dict[str, Contender]
    ratios: list[tuple[str, str, str]]
    """A contender, one that it is divided by, and the aim."""
    rounds: int | None = None
    """The rounds, where the operation is long."""


OURS = ("hivekeep", "hivekeep, exclusive")


def against(other: str, aim: str) -> list[tuple[str, str, str]]:
    return [(own, other, aim) for own in OURS]


QUEUES = {"persist-queue: put, get, ack": persist_queue, "huey: enqueue, dequeue": huey_cycle}
AGAINST_QUEUES = [ratio for other in QUEUES for ratio in against(other, "below 1")]

GROUPS = [
    Group(
        "durable write of one value",
        40,
        {"hivekeep": puts(), "hivekeep, exclusive": puts(exclusive=True), "sqlite3, WAL, FULL": sqlite_insert},
        against("sqlite3, WAL, FULL", "at most 1.2"),
    ),
    Group(
        "task: enqueue, claim, complete",
        20,
        {"hivekeep": cycles(), "hivekeep, exclusive": cycles(exclusive=True), **QUEUES},
        AGAINST_QUEUES,
    ),
    Group(
        "task, at a worker: enqueue, complete and claim the next",
        20,
        {"hivekeep": worker_cycles(), "hivekeep, exclusive": worker_cycles(exclusive=True), **QUEUES},
        AGAINST_QUEUES,
    ),
    Group(
        "read of one value",
        2000,
        {"hivekeep": gets(), "hivekeep, exclusive": gets(exclusive=True), "diskcache": diskcache_get},
        against("diskcache", "at most 1"),
    ),
    Group(
        "1,000 tasks",
        1,
        {
            "singly": singles(),
            "singly, exclusive": singles(exclusive=True),
            "in a batch": batches(),
            "in a batch, exclusive": batches(exclusive=True),
        },
        [("singly", "in a batch", "at least 20"), ("singly, exclusive", "in a batch, exclusive", "at least 20")],
        rounds=5,
    ),
]


def measure(folder: Path, rounds: int, steps: int, contenders: dict[str, Contender]) -> dict[str, tuple[float, float]]:
    """Microseconds of the clock and of the processor for one step: the medians."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    with contextlib.ExitStack() as stack:
        ready: dict[str, Step] = {}
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


def count_syncs(group: Group, name: str) -> float | None:
    """How many syncs a step makes, by a process of its own under strace."""
    if shutil.which("strace") is None:
        return None
    counts = []
    few, many = (1, 3) if group.steps == 1 else (10, 60)
    for steps in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            command = ["strace", "-f", "-c", "-e", f"trace={SYNCS}", "-o", f"{folder}/counts", sys.executable, __file__]
            subprocess.run([*command, "--one", group.name, name, str(steps), "--folder", folder], check=True)
            counts.append(_total(Path(folder, "counts").read_text()))
    # The difference leaves out what opening and closing take.
    return (counts[1] - counts[0]) / (many - few)


def _total(table: str) -> int:
    rows = [line.split() for line in table.splitlines() if line.split()[-1:] and line.split()[-1] in SYNCS.split(",")]
    return sum(int(row[3]) for row in rows)


def run_one(folder: Path, group: str, name: str, steps: int) -> None:
    contenders = next(each.contenders for each in GROUPS if each.name == group)
    with contenders[name](folder) as step:
        for number in range(steps):
            step(number)


async def waiters(
    path: Path, push: Callable[[hivekeep.aio.Store], Awaitable[float]], count: int = 1000, **options: Any
) -> tuple[float, list[float]]:
    """The share of a processor that waiting takes, and the milliseconds from a push to the woken one, who has the task in
    hand: its claim is on the disk.
    """
    async with hivekeep.aio.open(path, **options) as store:
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
        await asyncio.sleep(10)
        share = (time.process_time() - processor) / (time.perf_counter() - clock)
        took = []
        for _ in range(60):
            pushed = await push(store)
            took.append((await woken.get() - pushed) * 1000)
            await asyncio.sleep(0.15)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return share, took


async def push_here(store: hivekeep.aio.Store) -> float:
    begun = time.perf_counter()
    await store.queue.enqueue(PAYLOAD)
    PUSHES.append((time.perf_counter() - begun) * 1000)
    return time.perf_counter()


@contextlib.contextmanager
def pushing_elsewhere(path: Path) -> Iterator[Callable[[hivekeep.aio.Store], Awaitable[float]]]:
    """Another process pushes, with the store open too. The clock of both is the same."""
    command = [sys.executable, __file__, "--push", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        to, back = process.stdin, process.stdout

        def ask() -> float:
            to.write("push\n")
            to.flush()
            return float(back.readline())

        yield lambda store: asyncio.to_thread(ask)
        to.close()


def push_when_asked(path: Path) -> None:
    with hivekeep.open(path) as store:
        for _ in sys.stdin:
            store.queue.enqueue(PAYLOAD)
            print(time.perf_counter(), flush=True)


def report_waiters(folder: Path) -> None:
    print("1,000 waits for a task (aims: under 2% of a processor, woken within 5 ms)")
    elsewhere = folder / "elsewhere.redb"
    hivekeep.open(elsewhere).close()
    rows: list[tuple[str, Coroutine[Any, Any, tuple[float, list[float]]]]] = [
        ("pushed by this process", waiters(folder / "here.redb", push_here)),
        ("pushed by this process, exclusive", waiters(folder / "own.redb", push_here, exclusive=True)),
    ]
    with pushing_elsewhere(elsewhere) as push:
        for name, work in [*rows, ("pushed by another process", waiters(elsewhere, push))]:
            share, took = asyncio.run(work)
            late = sum(each > 5 for each in took)
            commit = f"; the push itself {statistics.median(PUSHES):.2f} ms" if PUSHES else ""
            PUSHES.clear()
            print(
                f"  {name:34} {share:7.2%} of a processor; woken after {statistics.median(took):.2f} ms (median),"
                f" at most {max(took):.2f}; {late} of {len(took)} later than 5 ms{commit}",
                flush=True,
            )


def report(group: Group, rounds: int, parent: Path | None) -> None:
    print(group.name)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        found = measure(Path(folder), group.rounds or rounds, group.steps, group.contenders)
    for name, (clock, processor) in found.items():
        syncs = count_syncs(group, name)
        print(f"  {name:30} {clock:10.1f} {processor:13.1f} {'' if syncs is None else format(syncs, '.1f'):>7}", flush=True)
    for own, other, aim in group.ratios:
        print(f"    {own} : {other} = {found[own][0] / found[other][0]:.2f} (aim: {aim})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder unless set")
    parser.add_argument("--only", choices=[*(group.name for group in GROUPS), "waits"], help="measure only this group")
    parser.add_argument("--one", nargs=3, metavar=("GROUP", "NAME", "STEPS"), help=argparse.SUPPRESS)
    parser.add_argument("--push", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.folder, options.one[0], options.one[1], int(options.one[2]))
        return
    if options.push:
        push_when_asked(options.push)
        return
    print(f"hivekeep {hivekeep.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} processors")
    print(f"{'':32} {'clock µs':>10} {'processor µs':>13} {'syncs':>7}")
    for group in GROUPS:
        if options.only in (None, group.name):
            report(group, options.rounds, options.folder)
    if options.only in (None, "waits"):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            report_waiters(Path(folder))


if __name__ == "__main__":
    main()
