"""Schedules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import hivekeep


def test_a_schedule_is_added_listed_paused_resumed_run_and_removed(store: hivekeep.Store) -> None:
    schedules = store.schedules
    begun = datetime.now(timezone.utc)
    tidy = schedules.add("tidy", {"tidy": "up"}, every="10m", priority="P1", overlap="skip", missed="none", max_attempts=2)
    assert (tidy.name, tidy.every, tidy.cron, tidy.time_zone) == ("tidy", timedelta(minutes=10), None, None)
    assert (tidy.overlap, tidy.missed, tidy.paused, tidy.payload) == ("skip", "none", False, {"tidy": "up"})
    assert tidy.next_at is not None and timedelta(minutes=9) < tidy.next_at - begun < timedelta(minutes=11)
    nightly = schedules.add("nightly", "report", cron="30 2 * * *", time_zone="Europe/Vienna", attributes={"team": "a"})
    assert (nightly.cron, nightly.time_zone, nightly.every, nightly.missed) == ("30 2 * * *", "Europe/Vienna", None, "last")
    assert nightly.task["attributes"] == {"team": "a"}

    assert [each.name for each in schedules] == ["nightly", "tidy"] == [each.name for each in schedules.list()]
    assert len(schedules) == 2 and "tidy" in schedules and "none" not in schedules and schedules.get("none") is None
    assert schedules["tidy"] == tidy
    with pytest.raises(KeyError):
        schedules["none"]

    paused = schedules.pause("tidy")
    assert paused.paused and paused.next_at is None and schedules["tidy"].paused
    task = schedules.run("tidy")
    assert (task.payload, task.priority, task.state, task.max_attempts) == ({"tidy": "up"}, "P1", "ready", 2)
    assert task.attributes["schedule"] == "tidy" and schedules["tidy"].last_task == task.id
    resumed = schedules.resume("tidy")
    assert not resumed.paused and resumed.next_at is not None
    schedules.remove("nightly")
    assert [each.name for each in schedules] == ["tidy"] and task.id in store.queue


def test_a_schedule_that_is_wrong_or_missing_is_refused_by_its_kind(store: hivekeep.Store) -> None:
    schedules = store.schedules
    schedules.add("tidy", 1, every=60)
    with pytest.raises(hivekeep.Conflict, match="replace it"):
        schedules.add("tidy", 2, every=60)
    assert schedules.add("tidy", 2, every=timedelta(minutes=2), replace=True).payload == 2
    wrong: list[dict[str, Any]] = [
        {},
        {"every": 60, "cron": "0 3 * * *"},
        {"every": "10ms"},
        {"every": 60, "time_zone": "Europe/Vienna"},
        {"cron": "0 3 * * *", "time_zone": "Europe/Wien"},
        {"cron": "nonsense"},
        {"every": 60, "missed": "some"},
        {"every": 60, "max_attempts": 0},
        {"every": 60, "attributes": {"schedule": "other"}},
    ]
    for fields in wrong:
        with pytest.raises(hivekeep.Invalid):
            schedules.add("wrong", 1, **fields)
    with pytest.raises(hivekeep.Invalid):
        schedules.add("no name", 1, every=60)
    for verb in (schedules.pause, schedules.resume, schedules.remove, schedules.run):
        with pytest.raises(hivekeep.NotFound, match="schedule=none"):
            verb("none")
    assert len(schedules) == 1


def test_a_schedule_fires_each_due_time_once_by_itself(store: hivekeep.Store, request: pytest.FixtureRequest) -> None:
    if "local" in request.node.name:
        store.scheduler(every=None)
        store.scheduler(every=None)
    store.schedules.add("poll", "poll", every=1)
    until = time.monotonic() + 30
    while len(store.queue) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    tasks = list(store.queue.list())
    due = [task.attributes["due_at"] for task in tasks]
    assert len(due) >= 2 and len(set(due)) == len(due)
    assert all(task.id.startswith("poll@") and task.attributes["schedule"] == "poll" for task in tasks)


def test_the_past_has_the_schedules_of_its_point(store: hivekeep.Store) -> None:
    store.schedules.add("tidy", 1, every=60)
    point = store.point("before")
    store.schedules.remove("tidy")
    store.schedules.add("other", 2, every=60)
    with store.at(point) as past:
        assert [each.name for each in past.schedules] == ["tidy"] and len(past.schedules) == 1
        assert past.schedules["tidy"].next_at is None
    store.restore(point)
    assert [each.name for each in store.schedules] == ["tidy"]


@pytest.mark.local
def test_a_transaction_adds_a_schedule_with_all_else_or_not_at_all(store: hivekeep.Store) -> None:
    with store.write() as tx:
        tx.config["tidy"] = True
        tx.schedules.add("tidy", 1, every=60)
        assert "tidy" in tx.schedules
    with pytest.raises(ZeroDivisionError), store.write() as tx:
        tx.schedules.pause("tidy")
        1 / 0
    assert not store.schedules["tidy"].paused


@pytest.mark.local
def test_a_program_without_a_scheduler_fires_what_is_due_by_a_call(store: hivekeep.Store) -> None:
    store.schedules.add("poll", "poll", every=1)
    assert store.fire_schedules() == []
    time.sleep(1.1)
    with store.scheduler(every=None, fire_schedules=False):
        time.sleep(0.3)
    tasks = store.fire_schedules()
    assert tasks and all(store.queue[task].payload == "poll" for task in tasks)


def test_schedules_are_awaited_too(opens: Callable[..., Any], path: Path) -> None:
    async def work() -> None:
        async with opens() as store:
            await store.schedules.add("tidy", "tidy", every="10m")
            await store.schedules.pause("tidy")
            assert [each.name async for each in store.schedules] == ["tidy"]
            assert (await store.schedules.list())[0].paused and await store.schedules.count() == 1
            assert (await store.schedules.run("tidy")).state == "ready"
            await store.schedules.resume("tidy")
            point = await store.point("x")
            async with store.at(point) as past:
                assert (await past.schedules.get("tidy")) is not None
            await store.schedules.remove("tidy")
            assert await store.schedules.get("tidy") is None

    asyncio.run(work())
