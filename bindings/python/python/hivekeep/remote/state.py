"""The state of a store behind a service: the verbs of the compiled module, as requests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from hivekeep import _hivekeep
from hivekeep.errors import Conflict, HivekeepError, Invalid, Locked, NotFound, NotSupported
from hivekeep.pages import Walk, not_understood
from hivekeep.remote.exchange import path_of
from hivekeep.remote.waiting import ClaimWait
from hivekeep.remote.wire import Wire

__all__ = ["Audit", "Chat", "Documents", "Mapping", "Queue", "Registry", "Schedules", "State", "refused"]

_PAGE_MAX = 1000
_MISSING = object()
_BUILT_IN = frozenset({"", "assignments", "chat", "config", "documents", "queue", "registry"})
"""The names that no collection of a user may have, of those that a service would take."""
_WAIT_MS = 30_000
"""A wait for a task lasts this long in one request, because somebody on the way may close a connection that is silent."""
_BUSY_PAUSE = 1.0


def refused(what: str, instead: str) -> NotSupported:
    """The exception of a verb that no service has."""
    return NotSupported(f"a service cannot do this; {instead}: verb={what}")


class State:
    """The state now, or as of a point."""

    def __init__(self, wire: Wire, at: str | None = None, gone: Callable[[], None] = lambda: None) -> None:
        self._wire, self._at, self._gone = wire, at, gone

    def mapping(self, collection: str | None = None) -> Mapping:
        return Mapping(self._wire, self._at, self._gone, collection)

    def queue(self) -> Queue:
        return Queue(self._wire, self._at, self._gone)

    def registry(self) -> Registry:
        return Registry(self._wire, self._at, self._gone)

    def schedules(self) -> Schedules:
        return Schedules(self._wire, self._at, self._gone)

    def chat(self) -> Chat:
        return Chat(self._wire, self._at, self._gone)

    def audit(self) -> Audit:
        return Audit(self._wire, self._at, self._gone)

    def documents(self) -> Documents:
        return Documents()


class _Part:
    """A part of the state. ``gone`` raises once the view of it is closed or its point is no longer kept."""

    def __init__(self, wire: Wire, at: str | None, gone: Callable[[], None]) -> None:
        self._wire, self._at, self._gone = wire, at, gone

    def _read(self, *path: str, **query: object) -> Any:
        if self._at is not None:
            self._gone()
        return self._wire.ask("GET", path_of("api", *path), query={"at": self._at, **query})

    def _find(self, *path: str, missing: object = None) -> Any:
        """One of many; ``missing`` if it is not there."""
        if not path[-1]:
            raise Invalid("a name has at least one character")
        try:
            return self._read(*path)
        except NotFound:
            return missing

    def at_once(self) -> Any:
        """Itself: the pages of a walk are of the moments in which they are read."""
        return self

    def _refuse_past(self) -> None:
        if self._at is not None:
            raise Conflict("a view of the past cannot be changed")


class Mapping(_Part):
    """Config, or a collection."""

    def __init__(self, wire: Wire, at: str | None, gone: Callable[[], None], collection: str | None) -> None:
        super().__init__(wire, at, gone)
        self._is_config = collection is None
        self._name = "config" if collection is None else collection

    def get(self, key: str, default: Any) -> Any:
        self._refuse_built_in()
        if not self._is_config:
            found = self._find("collections", self._name, key)
            return default if found is None else found["value"]
        # By itself, because the deepest value has no room around it.
        found = self._find("config", key, missing=_MISSING)
        return default if found is _MISSING else found

    def contains(self, key: str) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def count(self) -> int:
        found = self._read("collections")["collections"].get(self._name)
        return 0 if found is None else int(found["count"])

    def page(self, start: str | None, behind: bool, end: str | None, limit: int) -> tuple[list[tuple[str, Any]], bool]:
        self._refuse_built_in()
        page: list[tuple[str, Any]] = []
        if start is not None and not behind and (end is None or start < end) and start:
            found = self._find("collections", self._name, start)
            if found is not None:
                page.append((start, found["value"]))
        # The pages of a service begin behind a key, which is in hexadecimal.
        cursor = None if not start else start.encode().hex()
        try:
            answer = self._read("collections", self._name, cursor=cursor, limit=min(limit, _PAGE_MAX))
        except NotFound:
            return page, False
        last = page[-1][0] if page else start if behind else None
        for record in answer["records"]:
            # Texts are in the order of their bytes, which is that of their characters.
            if end is not None and record["key"] >= end:
                return page, False
            # Each record is behind the one before, so that a walk ends.
            if last is not None and record["key"] <= last:
                raise not_understood("a page goes on before its beginning")
            last = record["key"]
            page.append((last, record["value"]))
        if answer["next"] is not None and not page:
            raise not_understood("a page without records goes on")
        return page, answer["next"] is not None

    def put(self, key: str, value: Any) -> None:
        if self._is_config and key:
            self._refuse_past()
            self._wire.ask("PUT", path_of("api", "config", key), value)
        else:
            self._change(put={key: value})

    def put_all(self, values: dict[str, Any]) -> None:
        self._change(put=values)

    def put_new(self, key: str, value: Any) -> Any:
        return self._change(put_new={key: value}).get(key, value)

    def take(self, key: str, default: Any) -> Any:
        return self._change(remove=[key]).get(key, default)

    def remove(self, key: str) -> bool:
        return key in self._change(remove=[key])

    def clear(self) -> None:
        self._change(clear=True)

    def _change(self, **fields: Any) -> Any:
        self._refuse_past()
        self._refuse_built_in()
        return self._wire.ask("PATCH", path_of("api", "collections", self._name), fields)["before"]


    def _refuse_built_in(self) -> None:
        if not self._is_config and self._name in _BUILT_IN:
            raise Invalid(f"this is no name for a collection of your own: collection={self._name!r}")


class Queue(_Part):
    """The task queue."""

    def enqueue(self, task: dict[str, Any]) -> tuple[Any, bool, list[str]]:
        self._refuse_past()
        again = task["idempotency_key"] is not None
        return _enqueued(self._wire.ask("POST", "/api/queue", _known(task), again=again))

    def enqueue_all(self, tasks: list[dict[str, Any]]) -> list[tuple[Any, bool, list[str]]]:
        self._refuse_past()
        again = all(task["idempotency_key"] is not None for task in tasks)
        fields = {"tasks": [_known(task) for task in tasks], "full": True}
        rows = self._wire.ask("POST", "/api/queue/batch", fields, again=again)["tasks"]
        return [(row["task"], not row["existing"], row.get("differs", [])) for row in rows]

    def claim(self, bot: str, options: dict[str, Any], wait_ms: int) -> list[dict[str, Any]]:
        self._refuse_past()
        fields, until = _claiming(options, bot=bot), time.monotonic() + wait_ms / 1000
        while True:
            left = max(int((until - time.monotonic()) * 1000), 0)
            slice = min(left, _WAIT_MS)
            try:
                claims = self._claims("/api/queue/claim", {**fields, "wait_ms": slice}, slice / 1000)["claims"]
            except Locked:
                # As many wait as may.
                if not left:
                    raise
                time.sleep(min(_BUSY_PAUSE, left / 1000))
                continue
            if claims or left <= slice:
                return list(claims)

    def claim_later(
        self, bot: str, options: dict[str, Any], wait_ms: int, told: Callable[[Any, BaseException | None], object]
    ) -> ClaimWait:
        self._refuse_past()
        fields = _claiming(options, bot=bot)
        loop = asyncio.get_running_loop()
        return ClaimWait(loop, self._wire, fields, wait_ms / 1000, self.delivered, self.give_back, told)

    def complete(self, id: str, token: int, result: Any) -> Any:
        return self._act(id, "complete", token=token, result=result)

    def complete_and_claim(self, id: str, token: int, result: Any, options: dict[str, Any]) -> Any:
        fields = _claiming(options, token=token, result=result)
        return self._claims(path_of("api", "queue", id, "complete-and-claim"), fields, 0)

    def fail(self, id: str, token: int, error: str, retry: bool, delay_ms: int | None) -> Any:
        return self._act(id, "fail", token=token, error=error, retry=retry, delay_ms=delay_ms)

    def extend(self, id: str, token: int, lease_ms: int) -> Any:
        return self._act(id, "extend", again=True, token=token, lease_ms=lease_ms)

    def release(self, id: str, token: int) -> Any:
        return self._act(id, "release", token=token)

    def cancel(self, id: str) -> Any:
        return self._act(id, "cancel")

    def requeue(self, id: str) -> Any:
        return self._act(id, "requeue")

    def assign(self, id: str, bot: str | None) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "queue", id, "assign"), {"bot": bot})

    def get(self, id: str) -> Any:
        return self._find("queue", id)

    def page(self, state: str | None, cursor: str | None, limit: int) -> Any:
        return self._read("queue", state=state, cursor=cursor, limit=limit)

    def counts(self) -> Any:
        if self._at is not None:
            raise refused("counts of a point", "count the tasks of the view")
        return self._wire.ask("GET", "/api/pulse")["tasks"]

    def why(self, id: str, bot: str | None) -> Any:
        if self._at is not None:
            raise refused("why of a point", "ask the store")
        return self._wire.ask("GET", path_of("api", "queue", id, "why"), query={"bot": bot})

    def why_nothing(self, bot: str) -> str:
        raise refused("why_nothing", "claim, or ask why(id, bot) of a task")

    def stuck(self, limit: int) -> dict[str, str]:
        raise refused("stuck", "ask why(id) of a task, or run hivekeep queue where the store is")

    def purge(self, older_than_ms: int) -> int:
        self._refuse_past()
        purged, more = 0, True
        while more:
            answer = self._wire.ask("POST", "/api/queue/purge", {"older_than": f"{older_than_ms}ms", "limit": 10_000})
            purged, more = purged + answer["purged"], answer["more"] and answer["purged"] > 0
        return purged

    def delivered(self, answer: bytes) -> Any:
        """An answer with claims. Claims that cannot become objects go back, so that they are not held for nobody."""
        try:
            return self._wire.json.read(answer)
        except BaseException:
            with contextlib.suppress(HivekeepError):
                self.undelivered(answer)
            raise

    def undelivered(self, answer: bytes) -> None:
        """Gives back the claims of an answer that nobody takes."""
        self.give_back(_hivekeep.Json(None).read(answer)["claims"])

    def give_back(self, claims: list[Any]) -> None:
        """Gives back claims that nobody takes."""
        for claim in claims:
            with contextlib.suppress(HivekeepError):
                self._wire.ask("POST", path_of("api", "queue", claim["id"], "release"), {"token": claim["token"]})

    def _claims(self, path: str, fields: dict[str, Any], wait: float) -> Any:
        return self.delivered(self._wire.ask_bytes("POST", path, fields, wait=wait, undelivered=self.undelivered))

    def _act(self, id: str, verb: str, again: bool = False, **fields: Any) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "queue", id, verb), _known(fields), again=again)


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are set. The payload and the result may be null."""
    return {name: value for name, value in fields.items() if value is not None or name in ("payload", "result")}


def _claiming(options: dict[str, Any], **fields: Any) -> dict[str, Any]:
    if options["aging_ms"] is not None:
        raise refused("claim(aging=..)", "leave it out: the service has a setting for all bots")
    return {**fields, **_known(options)}


def _enqueued(answer: dict[str, Any]) -> tuple[Any, bool, list[str]]:
    return answer, not answer["existing"], answer.get("differs", [])


class Registry(_Part):
    """The bots of the fleet."""

    def put(self, id: str, fields: dict[str, Any]) -> Any:
        self._refuse_past()
        return self._wire.ask("PUT", path_of("api", "registry", id), fields)

    def get(self, id: str) -> Any:
        return self._find("registry", id)

    def remove(self, id: str) -> bool:
        self._refuse_past()
        try:
            self._wire.ask("DELETE", path_of("api", "registry", id))
        except NotFound:
            return False
        return True

    def count(self) -> int:
        return int(self._read("collections")["collections"]["registry"]["count"])

    def page(self, cursor: str | None, limit: int) -> Any:
        return _keyed(self._read("registry", cursor=cursor, limit=limit), "bots")

    def heartbeat(self, id: str) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "registry", id, "heartbeat"), {}, again=True)["timestamp"]

    def assignments(self, bot: str | None, cursor: str | None, limit: int) -> Any:
        return _keyed(self._read("assignments", bot=bot, cursor=cursor, limit=limit), "assignments")


class Schedules(_Part):
    """The tasks that come back by the calendar."""

    def add(self, fields: dict[str, Any]) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", "/api/schedules", fields)

    def get(self, name: str) -> Any:
        return self._find("schedules", name)

    def count(self) -> int:
        found = self._read("collections")["collections"].get("schedules")
        return 0 if found is None else int(found["count"])

    def page(self, cursor: str | None, limit: int) -> Any:
        return _keyed(self._read("schedules", cursor=cursor, limit=limit), "schedules")

    def pause(self, name: str) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "schedules", name, "pause"), {})

    def resume(self, name: str) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "schedules", name, "resume"), {})

    def remove(self, name: str) -> None:
        self._refuse_past()
        self._wire.ask("DELETE", path_of("api", "schedules", name))

    def run(self, name: str) -> Any:
        self._refuse_past()
        return self._wire.ask("POST", path_of("api", "schedules", name, "run"), {})


def _keyed(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return {"items": answer[name], "next": answer["next"]}


class _Numbered(_Part):
    """Rows that are numbered in the order in which they came."""

    def _page(self, path: str, name: str, page: dict[str, Any], **query: object) -> list[Any]:
        found = list(_limited(page["limit"], self._rows(path, name, page, query)))
        return found

    def _rows(self, path: str, name: str, page: dict[str, Any], query: dict[str, object]) -> Iterator[Any]:
        oldest, after, before = page["oldest"], page["after"], page["before"]
        for number in (after, before, page["limit"]):
            if number is not None and not 0 <= number < 1 << 64:
                raise Invalid(f"a number is out of range: {number}")
        first, last = (after, before) if oldest else (before, after)
        cursor: object = first
        ask, walk = functools.partial(self._read, path, oldest="true" if oldest else None, **query), Walk()
        while True:
            answer = ask(cursor=cursor, limit=max(min(page["limit"], _PAGE_MAX), 1))
            for row in answer[name]:
                number = row["sequence"]
                if last is not None and (number >= last if oldest else number <= last):
                    return
                # Each row is behind the one before, so that a walk ends.
                if first is not None and (number <= first if oldest else number >= first):
                    raise not_understood("a page goes on before its beginning")
                first = number
                yield row
            if answer["next"] is None:
                return
            walk.go_on(len(answer[name]), cursor, answer["next"])
            cursor = answer["next"]


def _limited(limit: int, rows: Iterator[Any]) -> Iterator[Any]:
    if limit == 0:
        return
    for number, row in enumerate(rows, 1):
        yield row
        if number >= limit:
            return


class Chat(_Numbered):
    """The messages of the fleet."""

    def append(self, message: dict[str, Any]) -> int:
        self._refuse_past()
        return int(self._wire.ask("POST", "/api/chat", _known(message))["sequence"])

    def get(self, sequence: int) -> Any:
        page = {"oldest": True, "after": sequence - 1 if sequence > 0 else None, "before": None, "limit": 1}
        if sequence < 0:
            raise Invalid(f"a number is out of range: {sequence}")
        found = self._page("chat", "messages", page)
        return found[0] if found and found[0]["sequence"] == sequence else None

    def remove(self, sequence: int) -> bool:
        raise refused("chat.remove", "remove it where the store is")

    def page(self, bot: str | None, conversation: str | None, page: dict[str, Any]) -> list[Any]:
        return self._page("chat", "messages", page, bot=bot, conversation=conversation)


class Audit(_Numbered):
    """The audit trail, and the events of the store."""

    def append(self, entry: dict[str, Any]) -> int:
        self._refuse_past()
        return int(self._wire.ask("POST", "/api/audit", _known(entry))["sequence"])

    def page(self, page: dict[str, Any]) -> list[Any]:
        return self._page("audit", "entries", page)

    def events(self, page: dict[str, Any]) -> list[Any]:
        return self._page("events", "events", page)


class Documents:
    """Documents, which no service has routes for."""

    def put(self, kind: str, source: str, value: Any) -> tuple[int, int, int]:
        raise self._refused()

    def get(self, kind: str, source: str, default: Any) -> Any:
        raise self._refused()

    def remove(self, kind: str, source: str) -> bool:
        raise self._refused()

    def list(self) -> list[tuple[str, str]]:
        raise self._refused()

    def _refused(self) -> NotSupported:
        return refused("documents", "keep it in a collection, or open the store where it is")
