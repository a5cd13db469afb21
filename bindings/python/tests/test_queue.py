"""The task queue, and claims."""

from __future__ import annotations

import copy
import dataclasses
import gc
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import hivekeep


def test_a_task_goes_through_the_queue_with_all_its_options(store: hivekeep.Store) -> None:
    queue = store.queue
    store.registry.put("BOT-1", specializations=["rust"])
    first = queue.enqueue({"build": "4f2a"}, id="build-1", priority="P1", idempotency_key="4f2a", attributes={"by": "ci"})
    assert first.state == "ready" and first.priority == "P1" and first.enqueued_at.tzinfo is not None
    second = queue.enqueue(None, after=["build-1"], capabilities=["rust"], assigned_to="BOT-1", max_attempts=2)
    assert (second.state, second.depends_on, second.capabilities) == ("waiting", {"build-1"}, {"rust"})
    later = queue.enqueue(3, delay="1h")
    assert later.state == "scheduled" and later.not_before is not None
    assert timedelta(minutes=59) < later.not_before - datetime.now(timezone.utc) <= timedelta(hours=1)
    far = queue.enqueue(4, not_before=datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    assert far.not_before == datetime(2099, 12, 31, 22, tzinfo=timezone.utc)
    assert queue.enqueue({"build": "4f2a"}, id="build-1", priority="P1", idempotency_key="4f2a", attributes={"by": "ci"}) == first
    with pytest.raises(hivekeep.Conflict) as raised:
        queue.enqueue({"build": "other"}, idempotency_key="4f2a")
    assert raised.value.hint is not None and "allow_different=True" in raised.value.hint
    again = queue.enqueue_once(hivekeep.NewTask("other", idempotency_key="4f2a", allow_different=True))
    assert again.task.id == "build-1" and not again.new and "payload" in again.differs
    with pytest.raises(hivekeep.HivekeepError):
        queue.enqueue(1, after=["nobody"])
    queue.enqueue(1, id="patient", after=["nobody"], allow_missing=True)
    assert queue.counts() == hivekeep.TaskCounts(ready=1, waiting=2, scheduled=2) and len(queue) == 5
    assert str(queue.why(second.id)) == "waiting: waits for build-1 (ready)"
    assert "nobody" in queue.why("patient").text
    assert [task.id for task in queue.list("ready")] == ["build-1"]
    assert {task.id for task in queue} == {"build-1", "patient", second.id, later.id, far.id}
    assert queue["build-1"] == first and "build-1" in queue and queue.get("none") is None
    with pytest.raises(KeyError):
        queue["none"]


def test_options_that_make_no_sense_are_refused(store: hivekeep.Store) -> None:
    queue = store.queue
    for options in (
        {"delay": 1, "not_before": "2100-01-01T00:00:00Z"},
        {"not_before": datetime(2100, 1, 1)},
        {"not_before": "tomorrow"},
        {"after": "build-1"},
        {"priority": "P9"},
        {"delay": -1},
        {"attributes": [1]},
    ):
        with pytest.raises(hivekeep.Invalid):
            queue.enqueue(1, **options)  # type: ignore[arg-type]
    with pytest.raises(hivekeep.Invalid):
        queue.claim("BOT-1", limit=0)
    with pytest.raises(hivekeep.Invalid):
        hivekeep.TaskFailed("no", retry=False, delay=1)
    assert len(queue) == 0


def test_many_tasks_are_enqueued_together_or_not_at_all(store: hivekeep.Store) -> None:
    review, build = hivekeep.NewTask("review", after=["build"]), hivekeep.NewTask("build", id="build")
    assert [each.task.state for each in store.queue.enqueue_all([review, build])] == ["waiting", "ready"]
    with pytest.raises(hivekeep.HivekeepError):
        store.queue.enqueue_all([hivekeep.NewTask(1), hivekeep.NewTask(2, after=["none"])])
    assert len(store.queue) == 2


def test_the_block_of_a_claim_completes_it_with_its_result(store: hivekeep.Store) -> None:
    store.queue.enqueue_all([hivekeep.NewTask(number) for number in range(5)])
    for claim in store.queue.claim("BOT-1", limit=10, lease="10m"):
        assert claim.attempt == 1 and claim.bot == "BOT-1" and claim.deadline > datetime.now(timezone.utc)
        with claim as task:
            task.result = task.payload * 2
    assert sorted(task.result for task in store.queue.list("done")) == [0, 2, 4, 6, 8]


def test_an_exception_in_the_block_fails_the_claim_with_its_text_and_goes_on(store: hivekeep.Store) -> None:
    task = store.queue.enqueue(1)
    with pytest.raises(ZeroDivisionError):
        with store.queue.claim("BOT-1")[0]:
            1 / 0
    failed = store.queue[task.id]
    assert failed.last_error == "ZeroDivisionError: division by zero" and failed.attempts == 1
    assert failed.state == "scheduled"
    # The first one may be ready again by now.
    other = store.queue.enqueue(2, priority="P0")
    with pytest.raises(hivekeep.TaskFailed):
        with store.queue.claim("BOT-1")[0]:
            raise hivekeep.TaskFailed("never works", retry=False)
    assert (store.queue[other.id].state, store.queue[other.id].last_error) == ("failed", "never works")


def test_ctrl_c_in_the_block_releases_the_claim(store: hivekeep.Store) -> None:
    task = store.queue.enqueue(1)
    with pytest.raises(KeyboardInterrupt):
        with store.queue.claim("BOT-1")[0]:
            raise KeyboardInterrupt
    assert (store.queue[task.id].state, store.queue[task.id].attempts) == ("ready", 0)


def test_a_claim_that_was_not_begun_goes_back_when_the_loop_ends(store: hivekeep.Store) -> None:
    store.queue.enqueue_all([hivekeep.NewTask(number) for number in range(4)])

    def stop_at_the_second() -> None:
        for number, claim in enumerate(store.queue.claim("BOT-1", limit=4)):
            if number == 1:
                raise RuntimeError("stop")
            with claim:
                pass

    with pytest.raises(RuntimeError, match="stop"):
        stop_at_the_second()
    gc.collect()
    assert store.queue.counts() == hivekeep.TaskCounts(done=1, ready=3)
    assert all(task.attempts == 0 for task in store.queue.list("ready"))


def test_a_claim_whose_token_was_read_stays_claimed(store: hivekeep.Store) -> None:
    store.queue.enqueue(1)
    id, token = [(claim.id, claim.token) for claim in store.queue.claim("BOT-1")][0]
    gc.collect()
    assert store.queue[id].state == "claimed"
    assert store.queue.complete(id, token, "by hand").result == "by hand"


def test_verbs_of_a_claim_end_it_and_the_block_does_nothing_more(store: hivekeep.Store) -> None:
    for number in range(4):
        store.queue.enqueue(number, id=f"t{number}")
    first, second, third = store.queue.claim("BOT-1", limit=3)
    with first:
        first.complete("early")
    with second:
        second.fail("broken", delay="1h")
    third.extend("1h")
    assert third.deadline - datetime.now(timezone.utc) > timedelta(minutes=59)
    with third:
        third.release()
    assert store.queue["t0"].result == "early" and store.queue["t1"].last_error == "broken"
    assert [store.queue[f"t{number}"].state for number in range(4)] == ["done", "scheduled", "ready", "ready"]
    with pytest.raises(hivekeep.Conflict):
        first.complete()


def test_a_task_is_completed_and_the_next_one_claimed_in_one_commit(store: hivekeep.Store) -> None:
    for number in range(4):
        store.queue.enqueue(number)
    (first,) = store.queue.claim("BOT-1")
    (second,) = first.complete_and_claim("done", lease="1h")
    assert (store.queue[first.id].state, store.queue[first.id].result) == ("done", "done")
    assert (second.payload, second.bot, second.attempt) == (1, "BOT-1", 1)
    assert second.deadline - datetime.now(timezone.utc) > timedelta(minutes=59)
    assert [claim.payload for claim in second.complete_and_claim(limit=5)] == [2, 3]
    # Nobody has begun these, so that they went back.
    gc.collect()
    assert store.queue.counts() == hivekeep.TaskCounts(ready=2, done=2)
    with pytest.raises(hivekeep.Conflict):
        second.complete_and_claim()
    assert store.queue.counts().ready == 2
    with first:
        pass


def test_a_task_that_was_written_is_read_when_somebody_looks_at_it_and_is_a_record_like_others(
    store: hivekeep.Store,
) -> None:
    ways: dict[str, Callable[[hivekeep.Task], object]] = {
        "a field": lambda task: task.payload,
        "a field with a default": lambda task: task.holder,
        "comparing": lambda task: task == store.queue[task.id],
        "printing": repr,
        "copying": copy.copy,
        "sending": pickle.dumps,
        "changing": lambda task: dataclasses.replace(task, priority="P0"),
        "as a dict": dataclasses.asdict,
    }
    written = [each.task for each in store.queue.enqueue_all([hivekeep.NewTask({"a": 1.5}) for _ in ways])]
    for task, (name, look) in zip(written, ways.items(), strict=True):
        assert vars(task).keys() == {"_unread"}, "nobody has looked at it"
        look(task)
        assert "_unread" not in vars(task), name
        same = pickle.loads(pickle.dumps(task))
        assert task == store.queue[task.id] == same == copy.copy(task) and repr(task) == repr(same), name
        assert (task.payload, task.holder, task.attributes, task.capabilities) == ({"a": 1.5}, None, {}, frozenset())
        with pytest.raises(AttributeError, match="'Task' object has no attribute 'colour'"):
            task.colour  # type: ignore[attr-defined]
        with pytest.raises(dataclasses.FrozenInstanceError):
            task.state = "done"  # type: ignore[misc]
    task = store.queue.enqueue(1)
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: (task.state, task.priority), range(200))) == {("ready", "P2")}


def test_a_lease_that_ends_gives_the_task_on_and_voids_the_claim(store: hivekeep.Store) -> None:
    store.queue.enqueue(1)
    (slow,) = store.queue.claim("BOT-1", lease="50ms")
    (quick,) = store.queue.claim("BOT-2", wait=5)
    assert quick.id == slow.id
    with pytest.raises(hivekeep.Conflict):
        with slow:
            pass
    with quick:
        pass
    assert store.queue[quick.id].finished_by == "BOT-2"


def test_a_wait_ends_with_a_commit_and_with_its_time(store: hivekeep.Store) -> None:
    begun = time.monotonic()
    assert store.queue.claim("BOT-1", wait=0.25) == []
    assert 0.2 < time.monotonic() - begun < 2
    threading.Timer(0.2, store.queue.enqueue, [1]).start()
    begun = time.monotonic()
    assert len(store.queue.claim("BOT-1", wait="1m")) == 1
    assert time.monotonic() - begun < 10


def test_a_commit_of_another_handle_ends_a_wait(store: hivekeep.Store, path: Path) -> None:
    with hivekeep.open(path) as other:
        threading.Timer(0.2, other.queue.enqueue, [1]).start()
        assert len(store.queue.claim("BOT-1", wait="1m")) == 1


def test_ctrl_c_ends_a_wait_for_a_task_and_leaves_nothing_claimed(store: hivekeep.Store) -> None:
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        store.queue.claim("BOT-1", wait="1m")
    assert time.monotonic() - begun < 2
    store.queue.enqueue(1, id="t")
    # A service may claim it for the wait that has ended. It sees then that nobody is there, and gives it back.
    time.sleep(0.3)
    until = time.monotonic() + 10
    while (task := store.queue["t"]).state != "ready" and time.monotonic() < until:
        time.sleep(0.01)
    assert (task.state, task.attempts) == ("ready", 0)


@pytest.mark.local
def test_claims_of_a_transaction_are_taken_back_with_it(store: hivekeep.Store) -> None:
    task = store.queue.enqueue(1)
    with pytest.raises(RuntimeError):
        with store.write() as tx:
            (claim,) = tx.queue.claim("BOT-1")
            claim.complete("done")
            assert tx.queue[task.id].state == "done" and store.queue[task.id].state == "ready"
            raise RuntimeError
    assert store.queue[task.id].state == "ready"
    with store.write() as tx:
        (claim,) = tx.queue.claim("BOT-1")
        claim.complete(tx.config.get("none"))
        with pytest.raises(hivekeep.Conflict):
            tx.queue.claim("BOT-1", wait=1)
    assert store.queue[task.id].state == "done"


def test_tasks_are_cancelled_requeued_assigned_and_purged(store: hivekeep.Store) -> None:
    queue = store.queue
    task = queue.enqueue(1)
    assert queue.assign(task.id, "BOT-2").assigned_to == "BOT-2"
    assert queue.claim("BOT-1") == [] and queue.why(task.id, "BOT-1").text == "waiting: assigned to BOT-2"
    assert queue.assign(task.id, None).assigned_to is None
    assert queue.cancel(task.id).state == "cancelled" and queue.requeue(task.id).state == "ready"
    queue.cancel(task.id)
    assert queue.purge("1d") == 0
    time.sleep(0.01)
    assert queue.purge(0) == 1 and len(queue) == 0


@pytest.mark.local
def test_the_queue_says_what_is_stuck_and_why_a_claim_is_empty(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="lost", after=["never"], allow_missing=True)
    assert store.queue.stuck() == {} and "nothing" in store.queue.why_nothing("BOT-1")


def test_a_long_error_is_cut_and_half_a_surrogate_pair_is_no_harm(store: hivekeep.Store) -> None:
    for text in ("x" * 200_000, "\ud800"):
        store.queue.enqueue(1)
        (claim,) = store.queue.claim("BOT-1")
        failed = claim.fail(text, retry=False)
        assert failed.last_error is not None and len(failed.last_error) < 20_000


def test_a_result_that_cannot_be_stored_fails_the_task(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="a", max_attempts=1)
    with pytest.raises(hivekeep.HivekeepError):
        for claim in store.queue.claim("BOT-1"):
            with claim as task:
                task.result = object()  # type: ignore[assignment]
    assert store.queue["a"].state == "dead"


def test_a_failure_whose_delay_is_refused_fails_the_task_all_the_same(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="a", max_attempts=1)
    with pytest.raises(hivekeep.TaskFailed):
        for claim in store.queue.claim("BOT-1"):
            with claim:
                raise hivekeep.TaskFailed("no", delay="4000d")
    assert store.queue["a"].state == "dead"


DIGITS = 5000
"""More than Python makes an integer of by itself."""


@pytest.mark.parametrize("wait", [0, 5])
def test_a_claim_whose_payload_cannot_become_an_object_goes_back(path: Path, wait: float) -> None:
    def refuse(text: str) -> object:
        raise RuntimeError("no " + text)

    with hivekeep.open(path) as store:
        store.queue.enqueue(1.5, id="odd")
    with hivekeep.open(path, parse_float=refuse) as store:
        with pytest.raises(RuntimeError, match=r"no 1\.5"):
            store.queue.claim("BOT-1", wait=wait)
        with pytest.raises(RuntimeError, match=r"no 1\.5"):
            with store.write() as tx:
                tx.queue.claim("BOT-1")
        with store.write() as tx:
            with pytest.raises(RuntimeError):
                tx.queue.claim("BOT-1")
    with hivekeep.open(path) as store:
        assert (store.queue["odd"].state, store.queue["odd"].attempts) == ("ready", 0)


def test_a_payload_with_a_number_of_thousands_of_digits_is_claimed(store: hivekeep.Store) -> None:
    store.queue.enqueue(10**DIGITS, id="large")
    (claim,) = store.queue.claim("BOT-1")
    with claim as task:
        task.result = -task.payload
    assert store.queue["large"].result == -(10**DIGITS)


def test_a_wait_begins_no_write_transaction(store: hivekeep.Store, path: Path) -> None:
    got: list[object] = []
    with hivekeep.open(path) as other:
        waits = threading.Thread(target=lambda: got.append(store.queue.claim("BOT-1", wait=1)))
        waits.start()
        time.sleep(0.3)
        with other.write(max_hold=30):
            # A write would wait for this block.
            waits.join(5)
            assert got == [[]]


@pytest.mark.local
def test_claims_of_a_transaction_go_on_when_it_has_committed(store: hivekeep.Store) -> None:
    store.queue.enqueue_all([hivekeep.NewTask(number, id=f"t{number}") for number in range(4)])
    with store.write() as tx:
        done, failed, left, _ = tx.queue.claim("BOT-1", limit=4)
    with done as task:
        task.result = "done"
    with pytest.raises(ZeroDivisionError):
        with failed:
            1 / 0
    del left, _
    gc.collect()
    states = [store.queue[f"t{number}"].state for number in range(4)]
    assert states == ["done", "scheduled", "ready", "ready"]


@pytest.mark.local
def test_claims_of_a_transaction_that_was_taken_back_are_void(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="t")
    with pytest.raises(RuntimeError):
        with store.write() as tx:
            (claim,) = tx.queue.claim("BOT-1")
            raise RuntimeError
    # It may have the number that the other one had.
    (other,) = store.queue.claim("BOT-2")
    with pytest.raises(hivekeep.Conflict):
        with claim:
            pass
    assert store.queue["t"].state == "claimed"
    other.complete()
