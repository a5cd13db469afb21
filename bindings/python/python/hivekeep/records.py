"""Records of a store, as this package gives them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

from hivekeep import _hivekeep
from hivekeep.mappings import JSON
from hivekeep.times import from_text

__all__ = [
    "Assignment",
    "AuditEntry",
    "Bot",
    "Enqueued",
    "Event",
    "Holder",
    "Level",
    "Message",
    "Missed",
    "Overlap",
    "Priority",
    "Schedule",
    "Task",
    "TaskCounts",
    "TaskState",
    "Why",
]

Priority: TypeAlias = Literal["P0", "P1", "P2", "P3"]
"""All of P0 go before any of P1, and so on."""

TaskState: TypeAlias = Literal["scheduled", "waiting", "ready", "claimed", "done", "failed", "dead", "cancelled"]
"""A task is scheduled or waiting until it is ready to be claimed. The last four have ended."""

Level: TypeAlias = Literal["info", "warning", "error", "critical"]
"""How grave an entry of the audit trail is."""

Missed: TypeAlias = Literal["none", "last", "all"]
"""The missed due times of a schedule that fire later; of all, the last 1,000."""

Overlap: TypeAlias = Literal["allow", "skip"]
"""Whether due times of a schedule fire while its last task is not finished."""

R = TypeVar("R", bound="Record")


class Record:
    """The base of all records: they are made from JSON, and unknown fields of newer versions are left out."""

    _times: ClassVar[frozenset[str]] = frozenset()
    _others: ClassVar[Mapping[str, Any]] = {}
    _names: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _from_json(cls: type[R], fields: Mapping[str, JSON]) -> R:
        return cls(**_values(cls, fields))


class _Unread(Record):
    """A record that is read when somebody looks at it. Nobody looks at most of the tasks that are written."""

    @classmethod
    def _from_json(cls: type[R], fields: Mapping[str, JSON] | _hivekeep.TaskFields) -> R:
        record = cls.__new__(cls)
        record.__dict__["_unread"] = fields
        return record

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Only for what is not there.
            self._read()
            try:
                return self.__dict__[name]
            except KeyError:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def _read(self) -> None:
        unread = self.__dict__.get("_unread")
        if unread is not None:
            # Another thread may do the same meanwhile, and comes to the same.
            values = _values(type(self), unread.read() if isinstance(unread, _hivekeep.TaskFields) else unread)
            for name, default in _defaults(type(self)):  # type: ignore[arg-type]
                if name not in values:
                    values[name] = default()
            self.__dict__.update(values)
            self.__dict__.pop("_unread", None)

    def __getstate__(self) -> dict[str, Any]:
        self._read()
        return self.__dict__


def _unread(of: type[R]) -> type[R]:
    """Takes the defaults of fields from a class, where they would be found in place of those of an unread record."""
    for field in dataclasses.fields(of):  # type: ignore[arg-type]
        if field.name in vars(of):
            delattr(of, field.name)
    return of


@functools.cache
def _defaults(of: type[Record]) -> Sequence[tuple[str, Callable[[], Any]]]:
    """The fields that may be absent, each with what makes its default."""
    found: list[tuple[str, Callable[[], Any]]] = []
    for field in dataclasses.fields(of):  # type: ignore[arg-type]
        if field.default_factory is not dataclasses.MISSING:
            found.append((field.name, field.default_factory))
        elif field.default is not dataclasses.MISSING:
            found.append((field.name, functools.partial(_same, field.default)))
    return found


def _same(value: Any) -> Any:
    return value


def _values(of: type[Record], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that are there, by their names."""
    values: dict[str, Any] = {}
    for name, json_name, convert in _readers(of):  # type: ignore[arg-type]
        if json_name in fields:
            value = fields[json_name]
            values[name] = value if value is None or convert is None else convert(value)
    return values


@functools.cache
def _readers(cls: type[Record]) -> Sequence[tuple[str, str, Callable[[Any], Any] | None]]:
    """Each field of a record, its name in JSON, and the way to read it."""
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    others = {**cls._others, **dict.fromkeys(cls._times, from_text)}
    return [(name, cls._names.get(name, name), others.get(name)) for name in names]


@dataclasses.dataclass(frozen=True)
class Holder(Record):
    """The claim of a task."""

    _times = frozenset({"since", "deadline"})

    bot: str
    token: int
    since: datetime
    deadline: datetime
    lease_ms: int
    session: int | None = None


@_unread
@dataclasses.dataclass(frozen=True)
class Task(_Unread):
    """A task of the queue, as it was when it was read."""

    _times = frozenset({"not_before", "finished_at", "enqueued_at", "ready_since"})
    _others = {
        "holder": Holder._from_json,
        "capabilities": frozenset,
        "waiting_for": frozenset,
        "depends_on": frozenset,
    }

    id: str
    state: TaskState
    priority: Priority
    payload: JSON
    sequence: int
    attempts: int
    max_attempts: int
    enqueued_at: datetime
    holder: Holder | None = None
    assigned_to: str | None = None
    capabilities: frozenset[str] = frozenset()
    depends_on: frozenset[str] = frozenset()
    waiting_for: frozenset[str] = frozenset()
    not_before: datetime | None = None
    ready_since: datetime | None = None
    finished_at: datetime | None = None
    finished_by: str | None = None
    result: JSON = None
    last_error: str | None = None
    idempotency_key: str | None = None
    attributes: dict[str, JSON] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Enqueued(Record):
    """The task of an enqueue: the new one, or the earlier one with that key."""

    task: Task
    new: bool
    differs: tuple[str, ...] = ()
    """The fields in which an earlier task with the same idempotency key differs."""

    @classmethod
    def _of(cls, raw: tuple[Any, bool, Sequence[str]]) -> Enqueued:
        task, new, differs = raw
        return cls(Task._from_json(task), new, tuple(differs))


@dataclasses.dataclass(frozen=True)
class TaskCounts(Record):
    """How many tasks there are in each state."""

    scheduled: int = 0
    waiting: int = 0
    ready: int = 0
    claimed: int = 0
    done: int = 0
    failed: int = 0
    dead: int = 0
    cancelled: int = 0


@dataclasses.dataclass(frozen=True)
class Why(Record):
    """Why a task is not claimed, or which bots may claim it. As text it is one line."""

    _others = {"may_claim": tuple, "reasons": tuple}

    id: str
    state: TaskState
    text: str
    anybody: bool = False
    may_claim: tuple[str, ...] = ()
    may_claim_more: int = 0
    reasons: tuple[JSON, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Bot(Record):
    """A bot of the registry."""

    _times = frozenset({"registered_at", "last_heartbeat"})
    _others = {"specializations": frozenset}

    id: str
    kind: str | None = None
    status: str | None = None
    endpoint: str | None = None
    port: int | None = None
    pid: int | None = None
    repo: str | None = None
    specializations: frozenset[str] = frozenset()
    max_concurrent: int | None = None
    registered_at: datetime | None = None
    last_heartbeat: datetime | None = None
    attributes: dict[str, JSON] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Assignment(Record):
    """A task that is assigned to a bot, or claimed by it."""

    _times = frozenset({"since"})

    bot: str
    task: str
    hold: Literal["assigned", "claimed"]
    since: datetime


@dataclasses.dataclass(frozen=True)
class Schedule(Record):
    """A task that comes back by the calendar, as it was when it was read."""

    _times = frozenset({"created_at", "next_at", "last_due_at"})
    _names = {"every": "every_ms"}
    _others = {"every": lambda ms: timedelta(milliseconds=ms)}

    name: str
    missed: Missed
    overlap: Overlap
    paused: bool
    created_at: datetime
    task: dict[str, JSON]
    """The fields of its tasks."""
    every: timedelta | None = None
    cron: str | None = None
    time_zone: str | None = None
    next_at: datetime | None = None
    """The next due time. None while it is paused, and as of a point."""
    last_due_at: datetime | None = None
    """The last due time that became a task."""
    last_task: str | None = None

    @property
    def payload(self) -> JSON:
        """The payload of its tasks."""
        return self.task["payload"]


@dataclasses.dataclass(frozen=True)
class Message(Record):
    """A message of the chat."""

    _times = frozenset({"timestamp"})

    sequence: int
    conversation: str
    role: str
    content: str
    timestamp: datetime
    bot_id: str | None = None
    original_time: str | None = None
    attributes: dict[str, JSON] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class AuditEntry(Record):
    """An entry of the audit trail."""

    _times = frozenset({"timestamp", "recorded"})

    sequence: int
    action: str
    actor: str
    timestamp: datetime
    recorded: datetime
    level: Level = "info"
    target: str | None = None
    result: str | None = None
    details: JSON = None
    original: str | None = None


@dataclasses.dataclass(frozen=True)
class Event(Record):
    """Something that happened to the store: a backup, a restore, a crash."""

    _times = frozenset({"timestamp"})

    sequence: int
    event: str
    timestamp: datetime
    details: JSON = None
