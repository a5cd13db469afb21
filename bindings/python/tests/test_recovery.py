"""Restore points, views of the past, restores, guards, backups, checks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import hivekeep


def test_a_point_shows_the_past_and_is_compared_and_restored_and_undone(store: hivekeep.Store) -> None:
    store.config["limits"] = {"builds": 3}
    store.queue.enqueue("build", id="t")
    point = store.point("before the night", tags={"by": "test"})
    assert point.description == "before the night" and point.tags == {"by": "test"} and point.manual
    assert point.timestamp.tzinfo is not None and store.points()[0] == point
    store.config["limits"] = {"builds": 0}
    store.collection("rooms")["roof"] = 21
    with store.at(point) as past:
        assert past.config["limits"] == {"builds": 3} and dict(past.collection("rooms")) == {}
        assert past.queue["t"].state == "ready"
    diff = store.diff(point)
    assert [str(change) for change in diff] == ["changed config/limits", "added rooms/roof"]
    assert (diff[0].before, diff[0].after) == ({"builds": 3}, {"builds": 0})
    assert diff.counts() == {"config": hivekeep.Counts(changed=1), "rooms": hivekeep.Counts(added=1)}
    plan = store.plan_restore(point, only=["config"])
    assert plan.total == 1 and plan.point == point and "config: 0 added, 1 changed" in str(plan)
    assert store.config["limits"] == {"builds": 0}
    report = plan.apply()
    assert report.collections == {"config": hivekeep.Counts(changed=1)} and report.undo is not None
    assert store.config["limits"] == {"builds": 3} and store.collection("rooms")["roof"] == 21
    assert store.undo().total == 1 and store.config["limits"] == {"builds": 0}
    assert store.restore(point).total == 2 and len(store.collection("rooms")) == 0
    assert store.check().is_sound


@pytest.mark.local
def test_a_point_is_checked_alone(store: hivekeep.Store) -> None:
    assert store.check(at=store.point()).is_sound


def test_points_are_named_in_many_ways(store: hivekeep.Store) -> None:
    store.config["a"] = 1
    first = store.point("first")
    between = datetime.now(timezone.utc)
    time.sleep(0.5)
    store.config["a"] = 2
    second = store.point("second")
    ago = store.find_point(datetime.now(timezone.utc) - between)
    assert ago is not None and ago.id == first.id
    for selector in (first, first.id, "latest~1", between, between.isoformat()):
        found = store.find_point(selector)
        assert found is not None and found.id == first.id, selector
    assert store.find_point("latest") == second and store.find_point("now") is None
    with pytest.raises(LookupError):
        store.at("feedfeed")
    with pytest.raises(LookupError):
        store.at(timedelta(days=1))
    with pytest.raises(hivekeep.Invalid):
        store.at(datetime(2026, 1, 1))


def test_points_are_held_released_and_forgotten(store: hivekeep.Store) -> None:
    point = store.point("kept", held=True)
    with pytest.raises(hivekeep.Conflict):
        store.forget_points([point])
    assert not store.release_point(point).held and store.hold_point(point).held
    store.release_point(point)
    assert [each.id for each in store.forget_points([point])] == [point.id]
    with pytest.raises(LookupError):
        store.at(point)


def test_an_undo_over_later_work_is_refused_and_can_discard_it(store: hivekeep.Store) -> None:
    store.config["a"] = 1
    point = store.point()
    store.config["a"] = 2
    plan = store.plan_restore(point)
    store.config["a"] = 3
    assert plan.apply().total == 1 and store.config["a"] == 1
    store.config["a"] = 4
    with pytest.raises(hivekeep.Conflict) as raised:
        store.undo()
    assert raised.value.hint is not None and "undo_discarding" in raised.value.hint
    store.undo_discarding()
    assert store.config["a"] == 3
    with pytest.raises(hivekeep.Invalid):
        store.restore(point, only="config")


def test_finished_tasks_stay_finished_when_told_so(store: hivekeep.Store) -> None:
    store.queue.enqueue(1, id="t")
    point = store.point()
    with store.queue.claim("BOT-1")[0]:
        pass
    assert store.plan_restore(point).tasks_run_again == 1
    store.restore(point, keep_finished=True)
    assert store.queue["t"].state == "done"
    store.restore(point)
    assert store.queue["t"].state == "ready"


@pytest.mark.local
def test_a_guard_keeps_good_work_and_rolls_bad_work_back(store: hivekeep.Store) -> None:
    store.config["a"] = 1
    with store.guard("deploy 17", check=lambda: store.config["a"] == 2) as guard:
        store.config["a"] = 2
    assert store.config["a"] == 2 and guard.rolled_back is None and not store.points()[0].held
    with pytest.raises(hivekeep.GuardFailed) as raised:
        with store.guard("deploy 18", check=lambda: False):
            store.config["a"] = 3
    assert raised.value.kind == "guard_failed" and store.config["a"] == 2
    with pytest.raises(ZeroDivisionError):
        with store.guard("deploy 19", only=["config"]) as guard:
            store.config["a"], store.collection("kept")["b"] = 3, 1
            1 / 0
    assert guard.rolled_back is not None and guard.rolled_back.reason == "ZeroDivisionError: division by zero"
    assert guard.rolled_back.point == guard.point
    assert store.config["a"] == 2 and store.collection("kept")["b"] == 1
    store.undo()
    assert store.config["a"] == 3

    def broken() -> None:
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        with store.guard("deploy 20", check=broken):
            store.config["a"] = 4
    assert store.config["a"] == 3
    with pytest.raises(hivekeep.HivekeepError):
        with store.guard("deploy 21", only=["none"]):
            raise AssertionError("it must not begin")


def test_backups_hold_documents_and_parts_of_the_state(store: hivekeep.Store) -> None:
    store.registry.put("BOT-1")
    live = store.backup("registry")
    backup = store.backup("queue", {"tasks": [1, 2]}, source="me", tags={"a": "b"})
    assert (live.of, backup.of, backup.item_count, backup.source, backup.tags) == ("live", "documents", 2, "me", {"a": "b"})
    assert store.backup_data(backup.backup_id) == {"tasks": [1, 2]}
    assert backup.backup_id in [each.backup_id for each in store.backups("queue")]
    with pytest.raises(hivekeep.NotFound):
        store.backup_data("none")


@pytest.mark.local
def test_a_scheduler_makes_points_of_changed_state(store: hivekeep.Store) -> None:
    store.config["a"] = 1
    with store.scheduler(every="10ms") as scheduler:
        until = time.monotonic() + 20
        while not store.points() and time.monotonic() < until:
            time.sleep(0.02)
        assert scheduler.errors == []
    assert store.points() and not store.points()[0].manual


@pytest.mark.local
def test_a_scheduler_goes_on_although_its_caller_keeps_nothing_of_it(store: hivekeep.Store) -> None:
    store.scheduler(every="10ms")
    gc.collect()
    store.config["a"] = 1
    until = time.monotonic() + 20
    while not store.points() and time.monotonic() < until:
        time.sleep(0.02)
    assert store.points()


@pytest.mark.local
def test_the_summary_and_the_check_count_what_is_there(store: hivekeep.Store, path: Path) -> None:
    store.queue.enqueue(1)
    store.point()
    summary = store.summary()
    assert summary.store == str(path) and summary.tasks.ready == 1 and summary.points["total"] == 1
    assert summary.collections["queue"]["count"] == 1 and summary.crash is None
    report = store.check()
    assert report.is_sound and report.findings == () and report.records >= 1
    with store.view():
        with pytest.raises(hivekeep.Conflict):
            store.compact()
    assert store.compact() in (True, False)
    store.upkeep()


@pytest.mark.local
def test_a_crash_of_another_process_is_noticed_and_its_tasks_come_back(store: hivekeep.Store, path: Path) -> None:
    store.queue.enqueue(1, id="t")
    lines = f"""
import hivekeep, os, signal
store = hivekeep.open({str(path)!r})
claims = store.queue.claim("BOT-1", lease="1h")
assert claims[0].token
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", lines]).returncode == -signal.SIGKILL
    assert store.queue["t"].state == "claimed"
    store.upkeep()
    assert store.queue["t"].state == "ready"
    crash = store.crash()
    assert crash is not None and crash.tasks_returned == 1 and crash.session["pid"] != os.getpid()
    assert store.acknowledge_crashes() == 1 and store.crash() is None


@pytest.mark.local
def test_a_process_that_ends_with_a_claim_gives_it_back(store: hivekeep.Store, path: Path) -> None:
    store.queue.enqueue(1, id="t")
    lines = f"import hivekeep; store = hivekeep.open({str(path)!r}); claims = store.queue.claim('BOT-1', lease='1h')"
    subprocess.run([sys.executable, "-c", lines], check=True)
    store.upkeep()
    assert store.queue["t"].state == "ready"


@pytest.mark.local
def test_files_of_the_replaced_service_are_adopted(store: hivekeep.Store, tmp_path: Path) -> None:
    (tmp_path / "hive").mkdir()
    (tmp_path / "hive" / "registry.json").write_text('{"bots": {"BOT-1": {"port": 8001}}}')
    report = store.adopt(tmp_path / "hive", time_zone="Europe/Vienna")
    assert report["taken"]["bots"] == 1 and store.registry["BOT-1"].port == 8001
    assert store.adopt(str(tmp_path / "hive"))["taken"].get("bots", 0) == 0
    with pytest.raises(hivekeep.NotFound):
        store.adopt(tmp_path / "none")
    with pytest.raises(hivekeep.Invalid):
        store.adopt(tmp_path / "hive", time_zone="Mars/Olympus")
