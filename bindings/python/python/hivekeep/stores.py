"""The store: opening, transactions, views."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

from hivekeep import _hivekeep, fleets, forks, logs
from hivekeep.errors import HivekeepError
from hivekeep.fleets import (
    Audit,
    AuditView,
    Chat,
    ChatView,
    Documents,
    DocumentsView,
    Registry,
    RegistryView,
)
from hivekeep.mappings import JSON, Codec, JSONMapping, MutableJSONMapping
from hivekeep.points import (
    Backup,
    BackupKind,
    Change,
    CheckReport,
    Crash,
    Diff,
    Guard,
    Plan,
    Point,
    RestoreReport,
    Scheduler,
    Selector,
    Summary,
    restore_options,
    selector_text,
)
from hivekeep.queues import Claim, Queue, QueueView, release_unbegun
from hivekeep.records import Event
from hivekeep.schedules import Schedules, SchedulesView
from hivekeep.times import Duration, to_ms
from hivekeep.workers import Handler, Worker, WorkerCounts

__all__ = ["Durability", "Store", "Transaction", "View", "open"]

T = TypeVar("T")

Durability: TypeAlias = Literal["disk", "system"]
"""When a write is answered. ``"disk"``: once it is on the disk, so that a power cut does not take it. ``"system"``: once the
system has it, so that the end of the process does not take it; it is on the disk within about 100 ms, and a power cut takes
the newest writes only. Claims, restore points and restores are always on the disk.
"""


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    exclusive: bool = False,
    shared_log: bool = False,
    durability: Durability = "disk",
    verify: bool | None = None,
    cache_bytes: int = 64 << 20,
    lock_timeout: Duration = 10,
    history: Duration | None = None,
    session: bool = True,
    parse_float: Callable[[str], Any] | None = None,
) -> Store:
    """Opens the store at ``path``, and creates it if there is none.

    Several processes may have it open at the same time, unless one opens it ``exclusive``.

    :param create: whether to create a store that does not exist.
    :param read_only: changes nothing, and joins a store that others write to.
    :param exclusive: whether this process has the store for itself. A commit is then one sync instead of two.
    :param shared_log: whether this process shares a log with all others that write to the store. A commit of any of them is
        then one sync instead of two. A process that opens the store without it meanwhile joins them; programs of earlier
        versions are refused. All of them must run on one machine, and the file must be on a local disk.
    :param durability: the moment in which a write is answered; see :data:`Durability`. Other than ``"disk"`` needs ``exclusive``.
    :param verify: whether to compare the checksum of every page now; by itself it does so with small files.
    :param lock_timeout: how long to wait for another process's write before :class:`~hivekeep.Locked`.
    :param history: keeps every commit of that length of time as a point, to be read by its time.
    :param session: whether other processes notice a crash of this one, and take back its claimed tasks.
    :param parse_float: makes a number that is no integer of its text, as in :func:`json.loads`; ``decimal.Decimal`` keeps
        every digit.
    """
    options = {
        "create": create,
        "read_only": read_only,
        "exclusive": exclusive,
        "shared_log": shared_log,
        "durability": durability,
        "verify": verify,
        "cache_bytes": cache_bytes,
        "lock_timeout_ms": to_ms(lock_timeout),
        "history_ms": None if history is None else to_ms(history),
        "session": session,
        "parse_float": parse_float,
    }
    return Store._open(path, options)


class _Readable:
    """The state to read: now, in a transaction, or in the past."""

    _raw: _hivekeep.Store | _hivekeep.Transaction | _hivekeep.View


class _Writable(_Readable):
    """The state to read and to change."""

    _claims: weakref.WeakSet[Claim]
    """Those that nobody has begun go back before the store is closed."""

    @property
    def config(self) -> MutableJSONMapping[JSON]:
        """The configuration: JSON values by keys of up to 200 bytes."""
        return MutableJSONMapping(self, self._raw.state.mapping())

    def collection(self, name: str, codec: Codec[T] | None = None) -> MutableJSONMapping[T]:
        """The records under a name of your own; the first one that is set creates it.

        :param name: 1 to 64 letters, digits, ``-``, ``_`` and ``.``.
        :param codec: turns values into JSON and back; see :func:`hivekeep.codec`.
        """
        return MutableJSONMapping(self, self._raw.state.mapping(name), codec)

    @property
    def queue(self) -> Queue:
        """The task queue."""
        return Queue(self, self._raw.state.queue(), self._claims)

    @property
    def registry(self) -> Registry:
        """The bots of the fleet."""
        return Registry(self, self._raw.state.registry())

    @property
    def schedules(self) -> Schedules:
        """The tasks that come back by the calendar."""
        return Schedules(self, self._raw.state.schedules())

    @property
    def chat(self) -> Chat:
        """The messages of the fleet."""
        return Chat(self, self._raw.state.chat())

    @property
    def audit(self) -> Audit:
        """The audit trail."""
        return Audit(self, self._raw.state.audit())

    @property
    def documents(self) -> Documents:
        """JSON that programs hand over as a whole."""
        return Documents(self, self._raw.state.documents())


class Store(_Writable):
    """An open store. It may be used from every thread, and is closed at the end of its ``with`` block.

    Every change is on the disk when its call returns, unless another ``durability`` was chosen. To pickle a store is to send its path: it is opened again where
    it is unpickled.
    """

    _raw: _hivekeep.Store

    @classmethod
    def _open(cls, path: str | os.PathLike[str], options: dict[str, Any]) -> Store:
        store = cls.__new__(cls)
        logs.start()
        # Absolute, because the program may go to another folder.
        store._raw = _hivekeep.open(os.path.abspath(os.fsdecode(path)), **options)
        store._options = options
        store._claims = weakref.WeakSet()
        store._schedulers = []
        store._close = weakref.finalize(store, _close_quietly, store._raw, store._claims)
        forks.watch(store)
        return store

    _first: Store | None = None
    _options: dict[str, Any]
    _close: weakref.finalize[..., Any]
    _schedulers: list[Scheduler]

    def __init__(self) -> None:
        raise TypeError("open a store with hivekeep.open(path)")

    @property
    def path(self) -> Path:
        """The absolute path of the file."""
        return self._raw.path

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._raw.is_closed()

    def close(self) -> None:
        """Closes the file, once the calls in progress have ended. To close it again changes nothing.

        :raises Locked: when another process keeps writing; the store is still open then.
        """
        if not self._raw.is_closed():
            release_unbegun(self._claims)
            while self._schedulers:
                self._schedulers.pop().stop()
            self._raw.close()

    def reopen(self) -> None:
        """Opens the file again after a failure of the disk has closed it."""
        self._raw.reopen()

    @property
    def durability(self) -> Durability:
        """When a write is answered, in a store that was opened ``exclusive``. In others every write is synced first."""
        return self._raw.durability

    def with_durability(self, durability: Durability) -> Store:
        """The same open store, whose writes are answered at that moment, whatever it was opened with.

        ::

            soon = store.with_durability("system")
            soon.config["progress"] = 7
            # This one, and with it every write before it, survives a power cut.
            store.config["done"] = True

        Both are closed together. It has no effect in a store that was not opened ``exclusive``.
        """
        store = type(self).__new__(type(self))
        store._raw = self._raw.with_durability(durability)
        # A shared store has one durability, and is not opened with another.
        store._options = {**self._options, "durability": durability} if self._options.get("exclusive") else self._options
        store._claims, store._schedulers, store._close = self._claims, self._schedulers, self._close
        # The file is closed when nobody refers to the first one any more.
        store._first = self
        return store

    def events(
        self, *, oldest: bool = False, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Event]:
        """Backups, restores, crashes and whatever else has happened to the store, the newest first unless ``oldest``."""
        return fleets.events(self._raw.state.audit(), oldest, after, before, limit)

    def write(self, *, max_hold: Duration = 10) -> Transaction:
        """A transaction, for a ``with`` block: everything in it, or nothing.

        The end of the block commits, and an exception takes everything back. Other writers wait meanwhile, so a
        transaction that is held for longer than ``max_hold`` is taken back too, with :class:`~hivekeep.NotCommitted`.
        """
        return Transaction._prepare(self, max_hold)

    def worker(
        self,
        bot: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        lease: Duration = 30,
        aging: Duration | None = None,
        until_empty: bool = False,
    ) -> WorkerCounts:
        """Hands the tasks of a bot to a function until SIGTERM or Ctrl-C; gives the numbers.

        See :class:`~hivekeep.Worker`, which can also be stopped by the program itself.
        """
        return Worker(
            self, bot, handler, concurrency=concurrency, lease=lease, aging=aging, until_empty=until_empty
        ).run()

    def point(
        self, description: str = "", *, tags: Mapping[str, str] | None = None, held: bool = False
    ) -> Point:
        """Makes a restore point of everything as it is now, in one commit.

        :param tags: texts of your own.
        :param held: whether retention never forgets it, until :meth:`release_point`.
        """
        return Point._from_json(self._raw.recovery.point(description, dict(tags or {}), held, False))

    def points(self, *, all: bool = False) -> list[Point]:
        """The restore points, the newest first; with ``all`` also those of restores, documents and single commits."""
        return [Point._from_json(fields) for fields in self._raw.recovery.points(all)]

    def find_point(self, selector: Selector) -> Point | None:
        """The point that a selector names; none for ``"now"``."""
        fields = self._raw.recovery.find(selector_text(selector))
        return None if fields is None else Point._from_json(fields)

    def hold_point(self, selector: Selector) -> Point:
        """Keeps a point until it is released."""
        return Point._from_json(self._raw.recovery.hold(selector_text(selector)))

    def release_point(self, selector: Selector) -> Point:
        """Lets retention forget a point again."""
        return Point._from_json(self._raw.recovery.release(selector_text(selector)))

    def forget_points(self, selectors: Iterable[Selector]) -> list[Point]:
        """Forgets points; gives them."""
        texts = [selector_text(selector) for selector in selectors]
        return [Point._from_json(fields) for fields in self._raw.recovery.forget(texts)]

    def at(self, selector: Selector) -> View:
        """The state as of a point, for a ``with`` block.

        :raises NotFound: when no point has that name.
        :raises Gone: when the point is no longer kept.
        """
        return View._of(self, self._raw.recovery.at(selector_text(selector)))

    def diff(self, earlier: Selector, later: Selector = "now") -> Diff:
        """The changes from one point to another, or to now."""
        fields = self._raw.recovery.diff(selector_text(earlier), selector_text(later))
        return Diff(Change._from_json(change) for change in fields["changes"])

    def plan_restore(
        self,
        selector: Selector,
        *,
        only: Iterable[str] = (),
        key: str | None = None,
        keep_finished: bool = False,
        verify: bool = False,
        partial: bool = False,
    ) -> Plan:
        """Plans a restore, and changes nothing.

        :param only: the collections to restore; all unless set. Queue and assignments belong together.
        :param key: the only record to restore, in the one collection.
        :param keep_finished: whether tasks that have ended since the point stay ended; otherwise they run again.
        :param verify: whether to verify every record first, not only those that it touches.
        :param partial: whether to restore the rest of a point of which a repair has lost a part.
        """
        options = restore_options(only, key, keep_finished, verify, partial)
        return Plan._of(self, self._raw.recovery.plan(selector_text(selector), options))

    def restore(
        self,
        selector: Selector,
        *,
        only: Iterable[str] = (),
        key: str | None = None,
        keep_finished: bool = False,
        verify: bool = False,
        partial: bool = False,
    ) -> RestoreReport:
        """Restores a point in one transaction, which :meth:`undo` undoes; see :meth:`plan_restore`."""
        options = restore_options(only, key, keep_finished, verify, partial)
        return RestoreReport._from_json(self._raw.recovery.plan(selector_text(selector), options).apply())

    def plan_undo(self) -> Plan:
        """Plans to undo the last restore, and changes nothing."""
        return Plan._of(self, self._raw.recovery.plan_undo())

    def undo(self) -> RestoreReport:
        """Undoes the last restore exactly. Undoing an undo does the restore again.

        :raises Conflict: when records have changed since; see :meth:`undo_discarding`.
        """
        return RestoreReport._from_json(self._raw.recovery.undo(False))

    def undo_discarding(self) -> RestoreReport:
        """Undoes the last restore, and with it what has changed since."""
        return RestoreReport._from_json(self._raw.recovery.undo(True))

    def guard(
        self,
        description: str,
        *,
        only: Iterable[str] = (),
        keep_finished: bool = False,
        check: Callable[[], object] | None = None,
    ) -> Guard:
        """Guards work, for a ``with`` block: a point before it, and a roll-back to that point when it fails.

        It fails by an exception, or when ``check``, called after it, raises one or returns ``False``. A roll-back also
        takes back what others have written meanwhile; ``only`` names the collections of the work.

        :raises GuardFailed: when ``check`` has returned ``False``.
        """
        collections = restore_options(only, None, False, False, False)["only"]
        raw = self._raw.recovery
        return Guard._prepare(lambda: raw.guard(description, collections, keep_finished), check)

    def backup(
        self, kind: BackupKind, document: JSON = ..., *, source: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Backup:
        """Makes a backup of a part of the live state, or of a document, with a restore point of its own."""
        data = () if document is ... else (document,)
        return Backup._from_json(self._raw.recovery.backup(kind, source, dict(tags or {}), *data))

    def backups(self, kind: BackupKind | None = None) -> list[Backup]:
        """The backups, the newest first."""
        return [Backup._from_json(fields) for fields in self._raw.recovery.backups(kind)]

    def backup_data(self, id: str) -> JSON:
        """The content of a backup. It was compared with its checksum."""
        return self._raw.recovery.backup_data(id)

    def scheduler(
        self,
        *,
        every: Duration | None = "1h",
        retain: bool = True,
        purge_finished: Duration | None = None,
        fire_schedules: bool = True,
    ) -> Scheduler:
        """Starts a thread that makes a restore point ``every`` so often if anything has changed, lets the policy of the
        store forget old ones, fires :attr:`schedules`, and takes back the tasks of dead processes.

        :param every: none makes no restore points.
        :param purge_finished: the age from which finished tasks are removed.
        :param fire_schedules: whether due times become tasks. A process that only makes points leaves that to others.
        """
        backup_ms = None if every is None else to_ms(every)
        purge_ms = None if purge_finished is None else to_ms(purge_finished)
        raw = self._raw.upkeep.scheduler(backup_ms, retain, purge_ms, fire_schedules)
        scheduler = Scheduler._of(self, raw)
        # It goes on although its caller keeps nothing of it.
        self._schedulers.append(scheduler)
        return scheduler

    def fire_schedules(self) -> list[str]:
        """Fires the schedules that are due; gives the new tasks. A scheduler does so by itself."""
        return self._raw.upkeep.fire_schedules()

    def summary(self) -> Summary:
        """The content of the store in numbers."""
        return Summary._from_json(self._raw.upkeep.summary())

    def check(self, at: Selector | None = None) -> CheckReport:
        """Verifies every record, chain and digest of the store, or one point of it."""
        return CheckReport._from_json(self._raw.upkeep.check(None if at is None else selector_text(at)))

    def compact(self) -> bool:
        """Makes the file as small as its content; says whether anything changed.

        :raises Conflict: while a view of any process is open.
        """
        return self._raw.upkeep.compact()

    def adopt(
        self, *paths: str | os.PathLike[str], time_zone: str | None = None, again: bool = False
    ) -> dict[str, JSON]:
        """Takes over the files of the service that Hivekeep replaces; gives the report. To do it again changes nothing.

        :param paths: files, or folders with known files in them.
        :param time_zone: of times without an offset from UTC, such as ``"Europe/Vienna"``; the system's unless set.
        :param again: whether to take over what was removed since it was taken over before.
        """
        return self._raw.upkeep.adopt(list(paths), time_zone, again)

    def crash(self) -> Crash | None:
        """The newest crash of a process with this store that nobody has acknowledged."""
        fields = self._raw.upkeep.crash()
        return None if fields is None else Crash._from_json(fields)

    def acknowledge_crashes(self) -> int:
        """Acknowledges every crash; gives their number."""
        return self._raw.upkeep.acknowledge_crashes()

    def upkeep(self) -> None:
        """Takes back the tasks of dead processes, and does the other small work of a store. A scheduler does so too."""
        self._raw.upkeep.upkeep()

    def view(self) -> View:
        """The state of this moment, for a ``with`` block: it does not change, whatever is written meanwhile."""
        return View._of(self, self._raw.view())

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        self.close()
        return False

    def __reduce__(self) -> tuple[object, ...]:
        return (_opened, (os.fspath(self.path), {**self._options, "create": False}))

    def __repr__(self) -> str:
        return f"<hivekeep.Store at {os.fspath(self.path)!r}{', closed' if self.closed else ''}>"


class Transaction(_Writable):
    """A transaction of :meth:`Store.write`. Its verbs are those of the store."""

    @classmethod
    def _prepare(cls, store: Store, max_hold: Duration) -> Transaction:
        tx = cls.__new__(cls)
        tx._store, tx._max_hold_ms, tx._in_thread = store, to_ms(max_hold), True
        tx._claims, tx._committed = store._claims, False
        return tx

    _raw: _hivekeep.Transaction
    _store: Store
    _max_hold_ms: int
    _in_thread: bool
    _committed: bool

    @property
    def queue(self) -> Queue:
        """The task queue. Once the block has committed, its claims go on in the store."""
        raw = self._raw.state.queue()
        # After a roll-back a token may be that of another claim, so it is only shown to the transaction that has ended.
        return Queue(self, raw, self._claims, lambda: self._store._raw.state.queue() if self._committed else raw)

    def __init__(self) -> None:
        raise TypeError("begin a transaction with: with store.write() as tx")

    def __enter__(self) -> Transaction:
        self._raw = self._store._raw.write(self._max_hold_ms, self._in_thread)
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if of is None:
            self._raw.commit()
            self._committed = True
        else:
            self._raw.take_back()
        return False


class View(_Readable):
    """The state of one moment, to read. Close it when done: the file cannot reuse space that a view still sees."""

    _raw: _hivekeep.View

    _owner: object

    @classmethod
    def _of(cls, owner: object, raw: _hivekeep.View) -> View:
        view = cls.__new__(cls)
        view._owner, view._raw = owner, raw
        return view

    def __init__(self) -> None:
        raise TypeError("open a view with store.view() or store.at(point)")

    @property
    def config(self) -> JSONMapping[JSON]:
        """The configuration."""
        return JSONMapping(self, self._raw.state.mapping())

    def collection(self, name: str, codec: Codec[T] | None = None) -> JSONMapping[T]:
        """The records under that name. A name that was never used has none."""
        return JSONMapping(self, self._raw.state.mapping(name), codec)

    @property
    def queue(self) -> QueueView:
        """The task queue."""
        return QueueView(self, self._raw.state.queue())

    @property
    def registry(self) -> RegistryView:
        """The bots of the fleet."""
        return RegistryView(self, self._raw.state.registry())

    @property
    def schedules(self) -> SchedulesView:
        """The tasks that come back by the calendar."""
        return SchedulesView(self, self._raw.state.schedules())

    @property
    def chat(self) -> ChatView:
        """The messages of the fleet."""
        return ChatView(self, self._raw.state.chat())

    @property
    def audit(self) -> AuditView:
        """The audit trail."""
        return AuditView(self, self._raw.state.audit())

    @property
    def documents(self) -> DocumentsView:
        """JSON that programs hand over as a whole."""
        return DocumentsView(self, self._raw.state.documents())

    def close(self) -> None:
        """Ends the view."""
        self._raw.close()

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        self.close()
        return False


def _opened(path: str, options: dict[str, Any]) -> Store:
    return Store._open(path, options)


def _close_quietly(raw: _hivekeep.Store, claims: weakref.WeakSet[Claim]) -> None:
    """Closes a store once nothing refers to it, or at the end of the program."""
    try:
        if not raw.is_closed():
            release_unbegun(claims)
            raw.close()
    except HivekeepError:
        # Nobody is left who could react, and the store recovers by itself.
        pass
