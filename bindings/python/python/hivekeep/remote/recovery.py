"""Restore points, restores and upkeep of a store behind a service: the verbs of the compiled module, as requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from hivekeep.errors import Conflict, Invalid, Io, NotFound, _of_kind
from hivekeep.pages import items
from hivekeep.remote.exchange import path_of
from hivekeep.remote.state import State, refused
from hivekeep.remote.wire import Wire

__all__ = ["Plan", "Recovery", "Upkeep", "View"]

_PAGE_MAX = 1000
_LOOK_EVERY = 0.1
_PATIENCE = 10
"""Work of the service that stands still is watched for so many times as long as an answer may take."""


class View:
    """The state as of a point."""

    def __init__(self, wire: Wire, point: str) -> None:
        self._wire, self._point, self._closed = wire, point, False

    def close(self) -> None:
        self._closed = True

    @property
    def state(self) -> State:
        return State(self._wire, self._point, self._refuse_closed)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Conflict("the view is closed; open another with store.at()")


class Recovery:
    """Restore points, and restores to them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def point(self, description: str, tags: dict[str, str], held: bool, automatic: bool) -> Any:
        return self._wire.ask("POST", "/api/points", {"description": description, "tags": tags, "held": held})

    def point_of_documents(self, description: str, documents: list[tuple[str, Any]], automatic: bool) -> Any:
        raise refused("point_of_documents", "open the store where it is")

    def points(self, all: bool) -> list[Any]:
        return list(self._pages("/api/points", "points", all="true" if all else None))

    def find(self, selector: str) -> Any:
        if selector == "now":
            return None
        return self._wire.ask("GET", path_of("api", "points", selector))

    def at(self, selector: str) -> View:
        if selector == "now":
            raise refused("a view of now", "read the store itself, or make a point and read that")
        point = self.find(selector)
        return View(self._wire, point["id"] or f"epoch {point['epoch']}")

    def hold(self, selector: str) -> Any:
        return self._wire.ask("POST", path_of("api", "points", selector, "hold"), {})

    def release(self, selector: str) -> Any:
        return self._wire.ask("POST", path_of("api", "points", selector, "release"), {})

    def forget(self, selectors: list[str]) -> list[Any]:
        if len(selectors) > 1:
            raise refused("forget_points of several", "forget one after the other")
        return [self._wire.ask("DELETE", path_of("api", "points", selector)) for selector in selectors]

    def diff(self, earlier: str, later: str) -> Any:
        changes = self._pages(path_of("api", "points", earlier, "diff"), "changes", to=later)
        return {"changes": list(changes)}

    def plan(self, selector: str, wanted: dict[str, Any]) -> Plan:
        if wanted.pop("partial"):
            raise refused("restore(partial=True)", "restore it where the store is")
        return Plan(self._wire, path_of("api", "points", selector, "restore"), wanted)

    def plan_undo(self) -> Plan:
        return Plan(self._wire, "/api/undo", {})

    def undo(self, discard: bool) -> Any:
        return self._wire.ask("POST", "/api/undo", {"discard": discard})

    def guard(self, description: str, only: list[str], keep_finished: bool) -> Any:
        raise refused("guard", "make a point first, and restore it when the work fails")

    def backup(self, kind: str, source: str | None, tags: dict[str, str], *data: Any) -> Any:
        if data and data[0] is None:
            raise Invalid("a service cannot back up null")
        fields = {"backup_type": kind, "source": source, "tags": tags, **({"data": data[0]} if data else {})}
        made = self._wire.ask("POST", "/api/disaster-recovery/backup", fields)
        return self.find_backup(made["backup_id"])

    def backups(self, kind: str | None) -> list[Any]:
        answer = self._wire.ask("GET", "/api/disaster-recovery/backup-history", query={"backup_type": kind, "limit": 1_000_000})
        return list(answer["backups"])

    def find_backup(self, id: str) -> Any:
        found = next((backup for backup in self.backups(None) if backup["backup_id"] == id), None)
        if found is None:
            raise NotFound(f"there is no such backup: backup={id}")
        return found

    def backup_data(self, id: str) -> Any:
        return self._wire.ask("POST", path_of("api", "disaster-recovery", "restore", id), {}, again=True)["data"]

    def _pages(self, path: str, name: str, **query: object) -> Iterator[Any]:
        """A list as a whole. All of its pages together are no longer than one answer may be."""
        left = self._wire.max_answer

        def page(cursor: str | None) -> Any:
            nonlocal left
            answer = self._wire.ask_bytes("GET", path, query={"limit": _PAGE_MAX, "cursor": cursor, **query})
            left -= len(answer)
            if left < 0:
                raise self._wire.too_long()
            return self._wire.json.read(answer)

        return items(page, name)


class Plan:
    """A planned restore. It is made again when it is applied."""

    def __init__(self, wire: Wire, path: str, wanted: dict[str, Any]) -> None:
        self._wire, self._path, self._wanted = wire, path, wanted
        self._planned = wire.ask("POST", path, {**wanted, "dry_run": True}, again=True)

    def json(self) -> Any:
        return self._planned

    def text(self) -> str:
        point = self._planned["point"]
        named = point["id"] or f"epoch {point['epoch']}"
        lines = [f"restore {named} of {point['timestamp']}"]
        for name, counts in self._planned["collections"].items():
            lines.append(f"  {name}: {', '.join(f'{counts[kind]} {kind}' for kind in ('added', 'changed', 'removed'))}")
        for field, words in (("tasks_run_again", "finished tasks run again"), ("tasks_forgotten", "tasks are forgotten")):
            if self._planned[field]:
                lines.append(f"  {self._planned[field]} {words}")
        return "\n".join(lines)

    def apply(self) -> Any:
        return self._wire.ask("POST", self._path, self._wanted)


class Upkeep:
    """The care of the store."""

    def __init__(self, wire: Wire, sleep: Callable[[float], None] = time.sleep) -> None:
        self._wire, self._sleep = wire, sleep

    def summary(self) -> Any:
        raise refused("summary", "GET /api/pulse and GET /api/disaster-recovery/status have such numbers")

    def check(self, at: str | None) -> Any:
        if at is not None:
            raise refused("check of a point", "check it where the store is")
        job = self._wire.ask("POST", "/api/check", {}, again=True)
        done, idle = None, 0.0
        while job["state"] == "running":
            done, idle = job["done"], idle + _LOOK_EVERY if job["done"] == done else 0.0
            if idle >= self._wire.timeout * _PATIENCE:
                raise Io(f"the service makes no progress with the check, and may go on with it later: waited_s={idle:.0f}")
            self._sleep(_LOOK_EVERY)
            job = self._wire.ask("GET", path_of("api", "check", job["id"]))
        if job["state"] == "failed":
            raise _of_kind(job["error"], f"the check has failed; see the log of the service: check={job['id']}")
        return job["report"]

    def compact(self) -> bool:
        raise refused("compact", "run hivekeep compact where the store is")

    def adopt(self, paths: list[Any], time_zone: str | None, again: bool) -> Any:
        raise refused("adopt", "run hivekeep adopt where the store is")

    def crash(self) -> Any:
        raise refused("crash", "GET /api/disaster-recovery/status tells of a crash")

    def acknowledge_crashes(self) -> int:
        return int(self._wire.ask("POST", "/api/crash/ack", {})["acknowledged"])

    def upkeep(self) -> None:
        """A service does it by itself."""

    def notice_crashes(self) -> None:
        """A service does it by itself."""

    def fire_schedules(self) -> list[str]:
        """A service fires them by itself."""
        return []

    def scheduler(self, backup_ms: int | None, retain: bool, purge_ms: int | None, fire_schedules: bool) -> Any:
        raise refused("scheduler", "hivekeep serve makes points and fires schedules by itself: --backup-every")
