"""Forks, spawned processes, signals."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import hivekeep

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks of a process with threads are a matter of Linux")


pytestmark = pytest.mark.local


def in_child(work: Callable[[], None]) -> int:
    """Runs work in a forked child, and gives its exit code."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hung")


@linux
def test_a_forked_child_is_refused_and_opens_the_store_itself(store: hivekeep.Store, path: Path) -> None:
    store.config["a"] = 1
    config = store.config
    with store.view() as view:

        def child() -> None:
            for call in (lambda: config["a"], lambda: config.clear(), lambda: view.config["a"], store.view):
                with pytest.raises(hivekeep.Forked):
                    call()
            store.close()
            with hivekeep.open(path) as own:
                own.config["b"] = own.config["a"] + 1

        assert in_child(child) == 0
    assert dict(store.config) == {"a": 1, "b": 2}


@linux
def test_a_child_keeps_the_files_of_the_program_whose_names_begin_as_the_store_does(
    store: hivekeep.Store, path: Path
) -> None:
    store.config["a"] = 1
    own = Path(f"{path}.log")
    with own.open("w") as log:

        def child() -> None:
            print("of the child", file=log, flush=True)

        assert in_child(child) == 0
    assert own.read_text() == "of the child\n"


@linux
def test_a_child_that_forked_within_a_block_is_refused_and_the_block_goes_on(store: hivekeep.Store) -> None:
    with store.write() as tx:
        tx.config["a"] = 1

        def child() -> None:
            with pytest.raises(hivekeep.Forked):
                tx.config["b"] = 2
            with pytest.raises(hivekeep.Forked):
                tx.__exit__(None, None, None)

        assert in_child(child) == 0
        tx.config["c"] = 3
    assert dict(store.config) == {"a": 1, "c": 3}


@linux
def test_children_that_fork_amid_writes_of_other_threads_neither_hang_nor_harm(store: hivekeep.Store, path: Path) -> None:
    stop = threading.Event()

    def write(name: str) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            store.config[name] = count

    threads = [threading.Thread(target=write, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()

    def child() -> None:
        with pytest.raises(hivekeep.Forked):
            store.config["mine"] = 1

    try:
        assert [in_child(child) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert "mine" not in store.config and set(store.config) == {"t0", "t1", "t2"}


@linux
def test_a_child_that_outlives_its_parent_keeps_no_lock(path: Path) -> None:
    to_parent, from_child = os.pipe()
    parent = os.fork()
    if parent == 0:
        store = hivekeep.open(path, exclusive=True)
        store.config["a"] = 1
        if os.fork() == 0:
            os.write(from_child, str(os.getpid()).encode())
            time.sleep(30)
        os._exit(0)
    os.waitpid(parent, 0)
    grandchild = int(os.read(to_parent, 20))
    try:
        with hivekeep.open(path) as store:
            assert store.config["a"] == 1
    finally:
        os.kill(grandchild, signal.SIGKILL)
        os.close(to_parent)
        os.close(from_child)


def _add(store: hivekeep.Store, count: int) -> None:
    for _ in range(count):
        with store.write() as tx:
            tx.config["count"] = tx.config.get("count", 0) + 1


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_of_every_start_method_write_to_a_store_that_was_sent_to_them(
    store: hivekeep.Store, method: str
) -> None:
    context = multiprocessing.get_context(method)
    # fork sends nothing, so its child would be refused; a pool pickles what it is given.
    with context.Pool(2) as pool:
        pool.starmap(_add, [(store, 5), (store, 5)], chunksize=1)
    assert store.config["count"] == 10


def test_processes_share_a_log_and_each_sees_what_the_others_committed(path: Path) -> None:
    beside = lambda part: [found.name for found in path.parent.iterdir() if part in found.name]  # noqa: E731
    with hivekeep.open(path, shared_log=True) as store:
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            pool.starmap(_add, [(store, 20), (store, 20)], chunksize=1)
        with hivekeep.open(path) as joined:
            _add(joined, 5)
            assert store.config["count"] == joined.config["count"] == 45
            assert beside(".wal.") and beside(".turns")
        assert hivekeep.open(path, read_only=True).config["count"] == 45
        with pytest.raises(hivekeep.Locked):
            hivekeep.open(path, exclusive=True, lock_timeout=0)
    assert beside(".wal.") == beside(".turns") == []
    with hivekeep.open(path, exclusive=True) as store:
        assert store.config["count"] == 45
    with pytest.raises(hivekeep.Invalid, match="shared_log=True"):
        hivekeep.open(path, exclusive=True, shared_log=True)


def test_a_pickled_store_names_the_path_and_does_not_create_it(store: hivekeep.Store, path: Path) -> None:
    store.config["a"] = 1
    sent = pickle.dumps(store)
    with pickle.loads(sent) as other:
        assert other.path == path and other.config["a"] == 1
    store.close()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(sent)


def test_ctrl_c_ends_the_wait_for_a_transaction(store: hivekeep.Store) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with store.write():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    inside.wait(5)
    # The signal is for the process, and the main thread handles it.
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            with store.write() as tx:
                tx.config["a"] = 1
        assert time.monotonic() - begun < 2
    finally:
        leave.set()
        other.join()
        timer.join()
    store.config["b"] = 2
    assert dict(store.config) == {"b": 2}
