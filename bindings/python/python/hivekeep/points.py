"""Restore points, differences, restores and guards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

from hivekeep import _hivekeep
from hivekeep.errors import HivekeepError, Invalid
from hivekeep.mappings import JSON
from hivekeep.records import Record, TaskCounts
from hivekeep.times import to_ms, to_text

__all__ = [
    "Backup",
    "BackupKind",
    "Change",
    "CheckReport",
    "Counts",
    "Crash",
    "Diff",
    "Finding",
    "Guard",
    "GuardFailed",
    "Plan",
    "Point",
    "RestoreReport",
    "RollBack",
    "Scheduler",
    "Selector",
    "Summary",
]

BackupKind: TypeAlias = Literal["registry", "queue", "bot_assignments", "full"]
"""The part of the state that is in a backup."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Counts(Record):
    """How many records were added, changed and removed."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.added + self.changed + self.removed


def _counts(collections: Mapping[str, JSON]) -> dict[str, Counts]:
    return {name: Counts._from_json(counts) for name, counts in collections.items()}


@dataclasses.dataclass(frozen=True)
class Point(Record):
    """A restore point: the whole state of one moment."""

    _times = frozenset({"timestamp", "sealed_at"})
    _others = {"backups": tuple}

    id: str | None
    """Its name; the point of a single commit, which ``history`` keeps, has none."""
    timestamp: datetime
    epoch: int
    sealed_at: datetime
    origin: str | None = None
    manual: bool = True
    description: str = ""
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    held: bool = False
    backups: tuple[str, ...] = ()
    collections: dict[str, dict[str, JSON]] = dataclasses.field(default_factory=dict)
    """Count, bytes and digest of each collection."""
    partial: bool = False
    """Whether a repair has lost a part of it."""


Selector: TypeAlias = Point | str | datetime | timedelta
"""Names a point: the point itself, its id or the beginning of it, ``"latest"``, ``"latest~2"``, ``"10m ago"``, a time, or
a timedelta for that long ago. ``"now"`` is no point, but can be compared with one."""


def selector_text(selector: Selector) -> str:
    """A selector as text."""
    if isinstance(selector, Point):
        return selector.id or f"epoch {selector.epoch}"
    if isinstance(selector, timedelta):
        return f"{to_ms(selector)}ms ago"
    return to_text(selector)


@dataclasses.dataclass(frozen=True)
class Change(Record):
    """A record that differs between two points."""

    collection: str
    key: str
    change: Literal["added", "changed", "removed", "lost"]
    before: JSON = None
    after: JSON = None

    def __str__(self) -> str:
        return f"{self.change} {self.collection}/{self.key}"


class Diff(tuple[Change, ...]):
    """The changes from one point to another."""

    __slots__ = ()

    def counts(self) -> dict[str, Counts]:
        """How many there are in each collection."""
        found: dict[str, dict[str, int]] = {}
        for change in self:
            of = found.setdefault(change.collection, {})
            of[change.change] = of.get(change.change, 0) + 1
        return _counts(found)


@dataclasses.dataclass(frozen=True)
class RestoreReport(Record):
    """The result of a restore, an undo, or a plan that was applied."""

    _others = {"collections": _counts}

    point: str
    collections: dict[str, Counts] = dataclasses.field(default_factory=dict)
    undo: str | None = None
    """The safety point, which undoes it; none if nothing had changed."""
    verified: str = "changed"
    claims_returned: int = 0
    tasks_run_again: int = 0
    tasks_forgotten: int = 0
    keep_finished: bool = False

    @property
    def total(self) -> int:
        """How many records were touched."""
        return sum(counts.total for counts in self.collections.values())


class Plan:
    """A restore that is planned and not done. It prints everything that it would do."""

    point: Point
    """The point that it goes back to."""
    collections: dict[str, Counts]
    """How many records it would touch in each collection."""
    tasks_run_again: int
    """How many finished tasks would run again."""
    tasks_forgotten: int
    """How many tasks would be forgotten, because they came later."""

    def __init__(self) -> None:
        raise TypeError("plan a restore with store.plan_restore(point)")

    _raw: _hivekeep.Plan
    _owner: object

    @classmethod
    def _of(cls, owner: object, raw: _hivekeep.Plan) -> Plan:
        plan, fields = cls.__new__(cls), raw.json()
        plan._owner, plan._raw = owner, raw
        plan.point, plan.collections = Point._from_json(fields["point"]), _counts(fields["collections"])
        plan.tasks_run_again, plan.tasks_forgotten = fields["tasks_run_again"], fields["tasks_forgotten"]
        return plan

    @property
    def total(self) -> int:
        """How many records it would touch."""
        return sum(counts.total for counts in self.collections.values())

    def apply(self) -> RestoreReport:
        """Restores the state as it is by now, in one transaction that can be undone.

        :raises Gone: when the point was forgotten since it was planned.
        """
        return RestoreReport._from_json(self._raw.apply())

    def __str__(self) -> str:
        return self._raw.text().rstrip()


@dataclasses.dataclass(frozen=True)
class RollBack(Record):
    """The report of a guard that has rolled back."""

    _others = {"collections": _counts}

    point: str
    reason: str
    collections: dict[str, Counts] = dataclasses.field(default_factory=dict)
    undo: str | None = None
    claims_returned: int = 0


class GuardFailed(HivekeepError):
    """The check of a guard has failed, and the store has its earlier state again."""

    kind = "guard_failed"


class Guard:
    """Guarded work, for a ``with`` block: an exception in it, or a check that fails, rolls everything back."""

    def __init__(self) -> None:
        raise TypeError("guard work with: with store.guard(description)")

    _begin: Callable[[], _hivekeep.Guard]
    _check: Callable[[], object] | None
    _raw: _hivekeep.Guard

    rolled_back: RollBack | None
    """The report, once it has rolled back."""

    @classmethod
    def _prepare(cls, begin: Callable[[], _hivekeep.Guard], check: Callable[[], object] | None) -> Guard:
        guard = cls.__new__(cls)
        guard._begin, guard._check, guard.rolled_back = begin, check, None
        return guard

    @property
    def point(self) -> str:
        """The id of the point before the work."""
        return self._raw.point

    def __enter__(self) -> Guard:
        self._raw = self._begin()
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if error is not None:
            self._roll_back(f"{type(error).__name__}: {error}")
            return False
        try:
            passes = self._check is None or self._check() is not False
        except BaseException as failure:
            self._roll_back(f"{type(failure).__name__}: {failure}")
            raise
        if not passes:
            self._roll_back("the check has failed")
            raise GuardFailed(f"the check has failed, and everything was rolled back: point={self.point}")
        self._raw.pass_()
        return False

    def _roll_back(self, reason: str) -> None:
        text = reason.encode("utf-8", "replace").decode()
        self.rolled_back = RollBack._from_json(self._raw.roll_back(text[:4000]))


@dataclasses.dataclass(frozen=True)
class Backup(Record):
    """A part of the state, or a document, as it was at a point."""

    _times = frozenset({"timestamp"})

    backup_id: str
    backup_type: BackupKind
    timestamp: datetime
    source: str
    size_bytes: int
    item_count: int
    checksum: str
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    of: Literal["live", "documents"] = "live"


@dataclasses.dataclass(frozen=True)
class Finding(Record):
    """A fault that a check has found."""

    table: str
    key: str
    what: str


def _findings(findings: Iterable[Mapping[str, JSON]]) -> tuple[Finding, ...]:
    return tuple(Finding._from_json(finding) for finding in findings)


@dataclasses.dataclass(frozen=True)
class CheckReport(Record):
    """The result of a check."""

    _others = {"findings": _findings}

    records: int
    bytes: int
    pre_images: int
    points: int
    found: int
    pages: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0


@dataclasses.dataclass(frozen=True)
class Crash(Record):
    """A process that has died with the store open."""

    session: dict[str, JSON]
    reason: str
    restore_point: str | None = None
    """The last point before it."""
    tasks_returned: int = 0


@dataclasses.dataclass(frozen=True)
class Summary(Record):
    """The content of a store in numbers."""

    _others = {"tasks": TaskCounts._from_json, "crash": Crash._from_json}

    store: str
    file_bytes: int
    collections: dict[str, dict[str, JSON]]
    """Count, bytes and digest of each collection."""
    tasks: TaskCounts
    points: dict[str, JSON]
    archive: dict[str, JSON]
    crash: Crash | None = None
    """The newest crash that nobody has acknowledged."""


class Scheduler:
    """A thread that makes restore points, forgets old ones, fires schedules and does the upkeep, until it is stopped."""

    def __init__(self) -> None:
        raise TypeError("start one with store.scheduler(every=..)")

    _raw: _hivekeep.Background
    _owner: object

    @classmethod
    def _of(cls, owner: object, raw: _hivekeep.Background) -> Scheduler:
        scheduler = cls.__new__(cls)
        scheduler._owner, scheduler._raw = owner, raw
        return scheduler

    @property
    def errors(self) -> list[str]:
        """The errors of the last restore point, retention, upkeep and schedules, where one has failed."""
        return self._raw.errors()

    def stop(self) -> None:
        """Ends the thread."""
        self._raw.stop()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        self.stop()
        return False


def restore_options(
    only: Iterable[str], key: str | None, keep_finished: bool, verify: bool, partial: bool
) -> dict[str, Any]:
    """The options of a restore, for the compiled module."""
    if isinstance(only, str):
        raise Invalid(f"pass a list of collections, not one text: only={only!r}")
    return {"only": list(only), "key": key, "keep_finished": keep_finished, "verify": verify, "partial": partial}
