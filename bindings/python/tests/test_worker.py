"""Workers hand tasks to a function."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import hivekeep

WORKER = """
import os, sys, time, hivekeep

log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def handle(task):
    os.write(log, f"{task.payload} begun {task.attempt}\\n".encode())
    time.sleep(0.02)
    return task.payload * 2

with hivekeep.open(sys.argv[1]) as store:
    print("ready", flush=True)
    counts = store.worker(sys.argv[3], handle, concurrency=3, lease="2s")
    print(counts.done, flush=True)
"""


def start(path: Path, log: Path, bot: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), str(log), bot]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    return worker


def test_a_worker_does_every_task_and_completes_it_with_the_result(store: hivekeep.Store) -> None:
    store.queue.enqueue_all([hivekeep.NewTask(number) for number in range(50)])
    together, most, lock = 0, 0, threading.Lock()

    def handle(task: hivekeep.Claim) -> int:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.005)
        with lock:
            together -= 1
        return int(task.payload) * 2

    counts = store.worker("BOT-1", handle, concurrency=4, until_empty=True)
    assert counts == hivekeep.WorkerCounts(done=50) and 1 < most <= 4
    assert sorted(task.result for task in store.queue.list("done")) == [number * 2 for number in range(50)]


def test_an_exception_fails_the_task_and_a_poisonous_one_ends_as_dead(store: hivekeep.Store) -> None:
    store.queue.enqueue("poison", id="poison", max_attempts=1)
    store.queue.enqueue("slow", id="slow", max_attempts=2)
    store.queue.enqueue("never", id="never")
    store.queue.enqueue("exit", id="exit")
    store.queue.enqueue("odd", id="odd")

    def handle(task: hivekeep.Claim) -> object:
        match task.payload:
            case "slow" if task.attempt == 1:
                raise hivekeep.TaskFailed("not yet", delay=0)
            case "never":
                raise hivekeep.TaskFailed("not here", retry=False)
            case "exit":
                sys.exit(3)
            case "odd":
                return object()
            case "poison":
                raise ValueError("poison")
        return task.attempt

    counts = store.worker("BOT-1", handle, until_empty=True)
    assert counts == hivekeep.WorkerCounts(done=1, failed=5)
    assert store.queue["poison"].state == "dead" and store.queue["poison"].last_error == "ValueError: poison"
    assert store.queue["slow"].result == 2
    assert store.queue["never"].state == "failed"
    assert store.queue["exit"].last_error == "SystemExit: 3" and store.queue["exit"].state == "scheduled"
    assert "JSON has no such type" in (store.queue["odd"].last_error or "")


def test_a_worker_that_found_the_queue_empty_works_again_and_counts_on(store: hivekeep.Store) -> None:
    worker = hivekeep.Worker(store, "BOT-1", lambda task: task.payload, until_empty=True)
    for number in range(3):
        store.queue.enqueue(number)
        assert worker.run().done == number + 1
    worker.stop()
    store.queue.enqueue("more")
    assert worker.run().done == 3


def test_leases_are_extended_while_the_function_runs(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="long")
    others: list[object] = []

    def handle(task: hivekeep.Claim) -> None:
        time.sleep(4)
        others.extend(store.queue.claim("BOT-2"))

    counts = store.worker("BOT-1", handle, lease="3s", until_empty=True)
    assert counts == hivekeep.WorkerCounts(done=1) and others == []
    assert store.queue["long"].attempts == 1


def test_a_task_that_was_cancelled_meanwhile_is_lost_and_the_worker_goes_on(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="cancelled")
    store.queue.enqueue(2, id="other")

    def handle(task: hivekeep.Claim) -> None:
        if task.id == "cancelled":
            store.queue.cancel(task.id)

    assert store.worker("BOT-1", handle, until_empty=True) == hivekeep.WorkerCounts(done=1, lost=1)
    assert store.queue["cancelled"].state == "cancelled"


def test_a_worker_in_another_thread_waits_for_tasks_and_stops_when_told(store: hivekeep.Store) -> None:
    worker = hivekeep.Worker(store, "BOT-1", lambda task: task.payload, concurrency=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    store.queue.enqueue("late", id="late")
    until = time.monotonic() + 10
    while store.queue["late"].state != "done" and time.monotonic() < until:
        time.sleep(0.01)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive() and worker.counts == hivekeep.WorkerCounts(done=1)


def test_a_store_that_is_closed_under_a_worker_ends_it_with_an_error(path: Path) -> None:
    store = hivekeep.open(path)
    worker = hivekeep.Worker(store, "BOT-1", lambda task: None)
    threading.Timer(0.3, store.close).start()
    with pytest.raises(hivekeep.Reopen):
        worker.run()


@pytest.mark.local
def test_sigterm_lets_the_running_tasks_end_and_claims_no_more(store: hivekeep.Store, path: Path, tmp_path: Path) -> None:
    store.queue.enqueue_all([hivekeep.NewTask(number) for number in range(400)])
    worker = start(path, tmp_path / "log", "BOT-1")
    time.sleep(0.5)
    worker.terminate()
    output, _ = worker.communicate(timeout=20)
    assert worker.returncode == 0
    counts = store.queue.counts()
    assert 0 < counts.done == int(output) < 400
    assert counts == hivekeep.TaskCounts(done=counts.done, ready=400 - counts.done)


@pytest.mark.local
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_worker_gets_the_task_of_one_that_was_killed_long_before_its_lease_ends(
    store: hivekeep.Store, path: Path
) -> None:
    store.queue.enqueue("work", id="work")
    lines = f"""
import time, hivekeep
with hivekeep.open({str(path)!r}) as store:
    store.worker("BOT-1", lambda task: (print("begun", flush=True), time.sleep(600)), lease="1h")
"""
    with subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "begun\n"
            # This process has had the store open, and has only waited since.
            worker = hivekeep.Worker(store, "BOT-2", lambda task: task.attempt)
            thread = threading.Thread(target=worker.run)
            thread.start()
        finally:
            other.kill()
    until = time.monotonic() + 30
    while store.queue["work"].state != "done" and time.monotonic() < until:
        time.sleep(0.05)
    worker.stop()
    thread.join(10)
    assert store.queue["work"].result == 2


@pytest.mark.local
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_workers_that_are_killed_again_and_again_end_every_task_once(
    store: hivekeep.Store, path: Path, tmp_path: Path
) -> None:
    tasks, log = 1_500, tmp_path / "log"
    store.queue.enqueue_all([hivekeep.NewTask(number, id=f"t{number}", max_attempts=100) for number in range(tasks)])
    chance = random.Random(7)
    workers = [start(path, log, f"BOT-{number}") for number in range(2)]
    kills, until = 0, time.monotonic() + 120
    while store.queue.counts().done < tasks and time.monotonic() < until:
        time.sleep(chance.uniform(0.1, 0.3))
        if kills < 4:
            number = chance.randrange(2)
            os.kill(workers[number].pid, signal.SIGKILL)
            workers[number].communicate()
            workers[number] = start(path, log, f"BOT-{number}")
            kills += 1
    for worker in workers:
        worker.terminate()
        worker.communicate(timeout=20)
    assert kills == 4 and store.queue.counts() == hivekeep.TaskCounts(done=tasks)
    assert all(task.result == task.payload * 2 for task in store.queue.list("done"))
    begun = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert set(begun) == {str(number) for number in range(tasks)}
    # Only a task that ran when its worker was killed ran again, and each kill met three tasks at most.
    assert sum(begun.values()) <= tasks + kills * 3
