"""The same for asyncio: every call is awaited, and none holds up the event loop.

::

    import hivekeep.aio

    async with hivekeep.aio.open("fleet.redb") as store:
        async with store.write() as tx:
            await tx.config.put("limits", {"builds": 3})
        async for claim in store.queue.tasks("BOT-1"):
            async with claim as task:
                task.result = await build(task.payload)

Names and parameters are those of :mod:`hivekeep`. Calls run on threads of the event loop's executor, but for waits for a
task, which need no thread: thousands of bots may wait. A cancelled call that has begun runs to its end. A cancelled
claim gives back what it had claimed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar
from weakref import WeakSet

from hivekeep import _hivekeep, fleets, mappings, points, queues, schedules, stores
from hivekeep.errors import Conflict, HivekeepError
from hivekeep.mappings import JSON, Codec
from hivekeep.points import Selector
from hivekeep.queues import LEASE, claim_options
from hivekeep.records import Assignment, Bot, Schedule, Task, TaskState
from hivekeep.times import Duration, to_ms

__all__ = [
    "Audit",
    "AuditView",
    "Chat",
    "ChatView",
    "Claim",
    "Documents",
    "DocumentsView",
    "Guard",
    "JSONMapping",
    "MutableJSONMapping",
    "Plan",
    "Queue",
    "QueueView",
    "Registry",
    "RegistryView",
    "Schedules",
    "SchedulesView",
    "Store",
    "Transaction",
    "View",
    "open",
]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
D = TypeVar("D")

_PAGE = 256
_LONGEST_WAIT: Duration = 3600


class _Ways:
    """How the calls of a store leave the event loop."""

    def __init__(self) -> None:
        # The tasks that are inside of a transaction. A write of one of them past it would wait for itself.
        self.writing: WeakSet[asyncio.Task[Any]] = WeakSet()
        # One transaction of this store at a time. The others wait here, where they need no thread.
        self.turn = asyncio.Lock()
        # Transactions have a thread of their own: if all others wait for a transaction, it must be able to go on.
        self.own: ThreadPoolExecutor | None = None

    def refuse_inside(self) -> None:
        """Refuses a write past the transaction that this task is inside of."""
        if asyncio.current_task() in self.writing:
            raise Conflict("this task is inside of a transaction; use its verbs, or leave the block first")

    async def run(self, call: Callable[[], R]) -> R:
        """Runs a call on a thread of the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, call)

    async def to_the_end(self, call: Callable[[], R]) -> R:
        """Runs a call whose end must be known even if this task is cancelled."""
        running = asyncio.ensure_future(self.run(call))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            # It has ended by now, and a failure of it says more than the cancellation.
            running.result()
            raise

    async def walk(self, items: Callable[[], Iterator[R]]) -> AsyncIterator[R]:
        """The items of an iterator, many at a time."""
        iterator, more = await self.run(lambda: iter(items())), True
        while more:
            page = await self.run(lambda: list(itertools.islice(iterator, _PAGE)))
            more = len(page) == _PAGE
            for item in page:
                yield item


class _Inside(_Ways):
    """The same for the verbs of a transaction. Once it has ended, what is left of it, such as claims, goes the way of the
    store.
    """

    def __init__(self, store: _Ways) -> None:
        super().__init__()
        self.store, self.has_ended = store, False
        self.turn = store.turn
        if store.own is None:
            store.own = ThreadPoolExecutor(1, "hivekeep-transaction")
        self.own = store.own

    def refuse_inside(self) -> None:
        if self.has_ended:
            self.store.refuse_inside()

    async def run(self, call: Callable[[], R]) -> R:
        if self.has_ended:
            return await self.store.run(call)
        return await asyncio.get_running_loop().run_in_executor(self.own, call)


class _Twin(Generic[S]):
    """An object whose calls run on another thread."""

    def __init__(self, sync: S, ways: _Ways) -> None:
        self._sync, self._ways = sync, ways


def _twin(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """The same method, awaited."""

    @functools.wraps(method)
    async def twin(self: _Twin[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._ways.run(functools.partial(method, self._sync, *args, **kwargs))

    return twin


def _changing(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """The same method, awaited, which changes the store and so is refused past a transaction of its task."""

    @functools.wraps(method)
    async def twin(self: _Twin[S], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self._ways.refuse_inside()
        return await self._ways.run(functools.partial(method, self._sync, *args, **kwargs))

    return twin


class JSONMapping(_Twin[mappings.JSONMapping[T]]):
    """Config or a collection, to read."""

    contains = _twin(mappings.JSONMapping.__contains__)
    count = _twin(mappings.JSONMapping.__len__)

    async def get(self, key: str, default: D | None = None) -> T | D | None:
        """The value of a key, or the default."""
        return await self._ways.run(lambda: self._sync.get(key, default))

    def range(self, start: str | None = None, end: str | None = None) -> AsyncIterator[tuple[str, T]]:
        """The keys from ``start`` to before ``end`` with their values, in the order of keys."""
        return self._ways.walk(lambda: self._sync.range(start, end))

    def items(self) -> AsyncIterator[tuple[str, T]]:
        """Every key with its value, in the order of keys."""
        return self.range()


class MutableJSONMapping(JSONMapping[T]):
    """Config or a collection, to read and to change."""

    _sync: mappings.MutableJSONMapping[T]

    put = _changing(mappings.MutableJSONMapping.__setitem__)
    remove = _changing(mappings.MutableJSONMapping.__delitem__)
    update = _changing(mappings.MutableJSONMapping.update)
    clear = _changing(mappings.MutableJSONMapping.clear)

    async def setdefault(self, key: str, default: Any = None) -> T:
        """The value of a key, which is set first if it is not there."""
        self._ways.refuse_inside()
        return await self._ways.run(lambda: self._sync.setdefault(key, default))

    async def pop(self, key: str, *default: T) -> T:
        """Removes a key, and gives its value, or the default.

        :raises KeyError: when it is not there, and there is no default.
        """
        self._ways.refuse_inside()
        return await self._ways.run(lambda: self._sync.pop(key, *default))


class Claim(_Twin[queues.Claim]):
    """A claimed task; see :class:`hivekeep.Claim`. A cancelled block releases it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sync, name)

    @property
    def payload(self) -> JSON:
        """The payload that the producer gave."""
        return self._sync.payload

    @property
    def id(self) -> str:
        """The task."""
        return self._sync.id

    @property
    def token(self) -> int:
        """The proof that the bot holds the task."""
        return self._sync.token

    @property
    def result(self) -> JSON:
        """Set it in the block: the task is completed with it."""
        return self._sync.result

    @result.setter
    def result(self, result: JSON) -> None:
        self._sync.result = result

    complete = _changing(queues.Claim.complete)
    fail = _changing(queues.Claim.fail)
    release = _changing(queues.Claim.release)
    extend = _changing(queues.Claim.extend)

    async def complete_and_claim(self, result: JSON = None, **options: Any) -> Sequence[Claim]:
        """Completes the task and claims the bot's next ones; see :meth:`hivekeep.Claim.complete_and_claim`. When it is
        cancelled, these go back.
        """
        self._ways.refuse_inside()
        running = asyncio.ensure_future(self._ways.run(lambda: self._sync.complete_and_claim(result, **options)))
        try:
            following = await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            if running.exception() is None:
                await self._ways.run(lambda: queues.release_unbegun(running.result()))
            raise
        return [Claim(claim, self._ways) for claim in following]

    async def __aenter__(self) -> Claim:
        self._sync.__enter__()
        return self

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        await self._ways.to_the_end(lambda: self._sync.__exit__(of, error, trace))
        return False


class QueueView(_Twin[queues.QueueView]):
    """The task queue, to read."""

    get = _twin(queues.QueueView.get)
    counts = _twin(queues.QueueView.counts)

    def list(self, state: TaskState | None = None) -> AsyncIterator[Task]:
        """The tasks by id, or those in one state in the order of that state."""
        return self._ways.walk(lambda: self._sync.list(state))


class Queue(QueueView):
    """The task queue."""

    _sync: queues.Queue

    enqueue = _changing(queues.Queue.enqueue)
    enqueue_once = _changing(queues.Queue.enqueue_once)
    enqueue_all = _changing(queues.Queue.enqueue_all)
    complete = _changing(queues.Queue.complete)
    fail = _changing(queues.Queue.fail)
    extend = _changing(queues.Queue.extend)
    release = _changing(queues.Queue.release)
    cancel = _changing(queues.Queue.cancel)
    requeue = _changing(queues.Queue.requeue)
    assign = _changing(queues.Queue.assign)
    purge = _changing(queues.Queue.purge)
    why = _twin(queues.Queue.why)
    why_nothing = _twin(queues.Queue.why_nothing)
    stuck = _twin(queues.Queue.stuck)

    async def claim(
        self,
        bot: str,
        *,
        limit: int = 1,
        lease: Duration = LEASE,
        wait: Duration = 0,
        max_concurrent: int | None = None,
        aging: Duration | None = None,
    ) -> Sequence[Claim]:
        """Claims ready tasks; see :meth:`hivekeep.Queue.claim`. When it is cancelled, what it had claimed goes back."""
        self._ways.refuse_inside()
        options, wait_ms = claim_options(limit, lease, max_concurrent, aging), to_ms(wait)
        raw = self._sync._raw
        if wait_ms:
            fields = await _wait_for_claims(self._ways, raw, bot, options, wait_ms)
        else:
            fields = await _delivered(self._ways, raw, lambda: raw.claim(bot, options, 0))
        return [Claim(queues.Claim._of(self._sync, bot, each), self._ways) for each in fields]

    async def tasks(
        self, bot: str, *, lease: Duration = LEASE, max_concurrent: int | None = None, aging: Duration | None = None
    ) -> AsyncIterator[Claim]:
        """One task after the other, for ever: waits for each. Break, or cancel the task that iterates."""
        while True:
            claims = await self.claim(
                bot, lease=lease, wait=_LONGEST_WAIT, max_concurrent=max_concurrent, aging=aging
            )
            for claim in claims:
                yield claim


async def _wait_for_claims(
    ways: _Ways, raw: _hivekeep.Queue, bot: str, options: dict[str, int | None], wait_ms: int
) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[dict[str, Any]]] = loop.create_future()

    def deliver(claims: list[dict[str, Any]] | None, error: BaseException | None) -> None:
        if future.cancelled():
            loop.run_in_executor(None, _give_back, raw, claims or [])
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(claims or [])

    def told(claims: list[dict[str, Any]] | None, error: BaseException | None) -> None:
        try:
            loop.call_soon_threadsafe(deliver, claims, error)
        except RuntimeError:
            # The event loop is closed.
            _give_back(raw, claims or [])

    waits = raw.claim_later(bot, options, wait_ms, told)
    try:
        return await future
    except asyncio.CancelledError:
        waits.cancel()
        if future.done() and not future.cancelled() and future.exception() is None:
            await ways.run(lambda: _give_back(raw, future.result()))
        raise


async def _delivered(ways: _Ways, raw: _hivekeep.Queue, claim: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Claims, and gives them back when this task is cancelled meanwhile."""
    running = asyncio.ensure_future(ways.run(claim))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if running.exception() is None:
            await ways.run(lambda: _give_back(raw, running.result()))
        raise


def _give_back(raw: _hivekeep.Queue, claims: Sequence[dict[str, Any]]) -> None:
    for claim in claims:
        with contextlib.suppress(HivekeepError):
            raw.release(claim["id"], claim["token"])


class RegistryView(_Twin[fleets.RegistryView]):
    """The bots of the fleet, to read."""

    get = _twin(fleets.RegistryView.get)
    count = _twin(fleets.RegistryView.__len__)

    def __aiter__(self) -> AsyncIterator[Bot]:
        return self._ways.walk(lambda: iter(self._sync))

    def assignments(self, bot: str | None = None) -> AsyncIterator[Assignment]:
        """The tasks that are assigned to bots or claimed by them, of all bots or of one."""
        return self._ways.walk(lambda: self._sync.assignments(bot))


class Registry(RegistryView):
    """The bots of the fleet."""

    put = _changing(fleets.Registry.put)
    remove = _changing(fleets.Registry.remove)
    heartbeat = _changing(fleets.Registry.heartbeat)


class SchedulesView(_Twin[schedules.SchedulesView]):
    """The tasks that come back by the calendar, to read."""

    get = _twin(schedules.SchedulesView.get)
    count = _twin(schedules.SchedulesView.__len__)
    list = _twin(schedules.SchedulesView.list)

    def __aiter__(self) -> AsyncIterator[Schedule]:
        return self._ways.walk(lambda: iter(self._sync))


class Schedules(SchedulesView):
    """The tasks that come back by the calendar."""

    add = _changing(schedules.Schedules.add)
    pause = _changing(schedules.Schedules.pause)
    resume = _changing(schedules.Schedules.resume)
    remove = _changing(schedules.Schedules.remove)
    run = _changing(schedules.Schedules.run)


class ChatView(_Twin[fleets.ChatView]):
    """The messages of the fleet, to read."""

    get = _twin(fleets.ChatView.get)
    list = _twin(fleets.ChatView.list)


class Chat(ChatView):
    """The messages of the fleet."""

    append = _changing(fleets.Chat.append)
    remove = _changing(fleets.Chat.remove)


class AuditView(_Twin[fleets.AuditView]):
    """The audit trail, to read."""

    list = _twin(fleets.AuditView.list)


class Audit(AuditView):
    """The audit trail."""

    append = _changing(fleets.Audit.append)


class DocumentsView(_Twin[fleets.DocumentsView]):
    """Documents, to read."""

    get = _twin(fleets.DocumentsView.get)

    async def list(self) -> Sequence[tuple[str, str]]:
        """Kind and source of every document."""
        return await self._ways.run(lambda: tuple(self._sync))


class Documents(DocumentsView):
    """Documents."""

    put = _changing(fleets.Documents.put)
    remove = _changing(fleets.Documents.remove)


class View(_Twin[stores.View]):
    """The state of one moment, to read."""

    close = _twin(stores.View.close)

    @property
    def config(self) -> JSONMapping[JSON]:
        """The configuration."""
        return JSONMapping(self._sync.config, self._ways)

    def collection(self, name: str, codec: Codec[T] | None = None) -> JSONMapping[T]:
        """The records under that name."""
        return JSONMapping(self._sync.collection(name, codec), self._ways)

    @property
    def queue(self) -> QueueView:
        """The task queue."""
        return QueueView(self._sync.queue, self._ways)

    @property
    def registry(self) -> RegistryView:
        """The bots of the fleet."""
        return RegistryView(self._sync.registry, self._ways)

    @property
    def schedules(self) -> SchedulesView:
        """The tasks that come back by the calendar."""
        return SchedulesView(self._sync.schedules, self._ways)

    @property
    def chat(self) -> ChatView:
        """The messages of the fleet."""
        return ChatView(self._sync.chat, self._ways)

    @property
    def audit(self) -> AuditView:
        """The audit trail."""
        return AuditView(self._sync.audit, self._ways)

    @property
    def documents(self) -> DocumentsView:
        """Documents."""
        return DocumentsView(self._sync.documents, self._ways)

    async def __aenter__(self) -> View:
        return self

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        await self.close()
        return False


class _Opening(Generic[T]):
    """An object that is awaited, or entered by ``async with``."""

    def __init__(self, opens: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._opens = opens
        self._opened: Any = None

    def __await__(self) -> Generator[Any, Any, T]:
        return self._opens().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._opens()
        entered: T = await self._opened.__aenter__()
        return entered

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        await self._opened.__aexit__(of, error, trace)
        return False


class _Writable(_Twin[S]):
    """The state to read and to change."""

    @property
    def config(self) -> MutableJSONMapping[JSON]:
        """The configuration."""
        return MutableJSONMapping(self._state.config, self._around)

    def collection(self, name: str, codec: Codec[T] | None = None) -> MutableJSONMapping[T]:
        """The records under a name of your own."""
        return MutableJSONMapping(self._state.collection(name, codec), self._around)

    @property
    def queue(self) -> Queue:
        """The task queue."""
        return Queue(self._state.queue, self._around)

    @property
    def registry(self) -> Registry:
        """The bots of the fleet."""
        return Registry(self._state.registry, self._around)

    @property
    def schedules(self) -> Schedules:
        """The tasks that come back by the calendar."""
        return Schedules(self._state.schedules, self._around)

    @property
    def chat(self) -> Chat:
        """The messages of the fleet."""
        return Chat(self._state.chat, self._around)

    @property
    def audit(self) -> Audit:
        """The audit trail."""
        return Audit(self._state.audit, self._around)

    @property
    def documents(self) -> Documents:
        """JSON that programs hand over as a whole."""
        return Documents(self._state.documents, self._around)

    @property
    def _state(self) -> stores._Writable:
        raise NotImplementedError

    @property
    def _around(self) -> _Ways:
        return self._ways


class Transaction(_Writable[stores.Transaction]):
    """A transaction, for an ``async with`` block: everything in it, or nothing."""

    _task: asyncio.Task[Any] | None = None

    def __init__(self, sync: stores.Transaction, ways: _Ways) -> None:
        super().__init__(sync, ways)
        # Its own verbs are not past it.
        self._inside = _Inside(ways)

    @property
    def _state(self) -> stores._Writable:
        return self._sync

    @property
    def _around(self) -> _Ways:
        return self._inside

    async def __aenter__(self) -> Transaction:
        self._ways.refuse_inside()
        await self._ways.turn.acquire()
        running = asyncio.ensure_future(self._inside.run(self._sync.__enter__))
        try:
            await asyncio.shield(running)
        except BaseException:
            # It may begin later, when nobody is there to end it.
            running.add_done_callback(self._give_up)
            raise
        self._task = asyncio.current_task()
        if self._task is not None:
            self._ways.writing.add(self._task)
        return self

    def _give_up(self, running: asyncio.Future[stores.Transaction]) -> None:
        if not running.cancelled() and running.exception() is None:
            tx = running.result()
            taken_back = asyncio.ensure_future(self._inside.run(tx._raw.take_back))
            taken_back.add_done_callback(lambda _: self._ways.turn.release())
        else:
            self._ways.turn.release()

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        try:
            await self._inside.to_the_end(lambda: self._sync.__exit__(of, error, trace))
        finally:
            self._inside.has_ended = True
            self._ways.turn.release()
            if self._task is not None:
                self._ways.writing.discard(self._task)
        return False


class Plan(_Twin[points.Plan]):
    """A restore that is planned and not done."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sync, name)

    apply = _changing(points.Plan.apply)

    def __str__(self) -> str:
        return str(self._sync)


class Guard(_Twin[points.Guard]):
    """Guarded work, for an ``async with`` block. Its check may be a coroutine function."""

    _check: Callable[[], Any] | None = None

    @property
    def point(self) -> str:
        """The id of the point before the work."""
        return self._sync.point

    @property
    def rolled_back(self) -> points.RollBack | None:
        """The report, once it has rolled back."""
        return self._sync.rolled_back

    async def __aenter__(self) -> Guard:
        self._ways.refuse_inside()
        await self._ways.to_the_end(self._sync.__enter__)
        return self

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if error is None and self._check is not None:
            outcome: Any = None
            try:
                outcome = self._check()
                if asyncio.iscoroutine(outcome):
                    outcome = await outcome
            except BaseException as failure:
                failed = failure
                await self._ways.to_the_end(lambda: self._sync.__exit__(type(failed), failed, None))
                raise
            self._sync._check = lambda: outcome
        await self._ways.to_the_end(lambda: self._sync.__exit__(of, error, trace))
        return False


class Store(_Writable[stores.Store]):
    """An open store; see :class:`hivekeep.Store`."""

    @property
    def _state(self) -> stores._Writable:
        return self._sync

    @property
    def sync(self) -> stores.Store:
        """The store itself. Its calls block."""
        return self._sync

    @property
    def path(self) -> os.PathLike[str]:
        """The absolute path of the file."""
        return self._sync.path

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._sync.closed

    @property
    def durability(self) -> stores.Durability:
        """When a write is answered."""
        return self._sync.durability

    close = _changing(stores.Store.close)
    reopen = _twin(stores.Store.reopen)
    events = _twin(stores.Store.events)
    point = _changing(stores.Store.point)
    points = _twin(stores.Store.points)
    find_point = _twin(stores.Store.find_point)
    hold_point = _changing(stores.Store.hold_point)
    release_point = _changing(stores.Store.release_point)
    forget_points = _changing(stores.Store.forget_points)
    diff = _twin(stores.Store.diff)
    restore = _changing(stores.Store.restore)
    undo = _changing(stores.Store.undo)
    undo_discarding = _changing(stores.Store.undo_discarding)
    backup = _changing(stores.Store.backup)
    backups = _twin(stores.Store.backups)
    backup_data = _twin(stores.Store.backup_data)
    summary = _twin(stores.Store.summary)
    check = _twin(stores.Store.check)
    compact = _changing(stores.Store.compact)
    adopt = _changing(stores.Store.adopt)
    crash = _twin(stores.Store.crash)
    acknowledge_crashes = _changing(stores.Store.acknowledge_crashes)
    upkeep = _changing(stores.Store.upkeep)
    fire_schedules = _changing(stores.Store.fire_schedules)

    def with_durability(self, durability: stores.Durability) -> Store:
        """The same store, whose writes are answered at that moment; see :meth:`hivekeep.Store.with_durability`."""
        return Store(self._sync.with_durability(durability), self._ways)

    def write(self, *, max_hold: Duration = 10) -> Transaction:
        """A transaction, for an ``async with`` block; see :meth:`hivekeep.Store.write`."""
        tx = self._sync.write(max_hold=max_hold)
        tx._in_thread = False
        return Transaction(tx, self._ways)

    def view(self) -> _Opening[View]:
        """The state of this moment, for an ``async with`` block."""
        return _Opening(functools.partial(self._view, self._sync.view))

    def at(self, selector: Selector) -> _Opening[View]:
        """The state as of a point, for an ``async with`` block."""
        return _Opening(functools.partial(self._view, functools.partial(self._sync.at, selector)))

    async def _view(self, opens: Callable[[], stores.View]) -> View:
        return View(await self._ways.run(opens), self._ways)

    async def plan_restore(self, selector: Selector, **options: Any) -> Plan:
        """Plans a restore, and changes nothing; see :meth:`hivekeep.Store.plan_restore`."""
        plan = await self._ways.run(lambda: self._sync.plan_restore(selector, **options))
        return Plan(plan, self._ways)

    async def plan_undo(self) -> Plan:
        """Plans to undo the last restore, and changes nothing."""
        return Plan(await self._ways.run(self._sync.plan_undo), self._ways)

    def guard(
        self,
        description: str,
        *,
        only: Sequence[str] = (),
        keep_finished: bool = False,
        check: Callable[[], Any] | None = None,
    ) -> Guard:
        """Guards work, for an ``async with`` block; see :meth:`hivekeep.Store.guard`."""
        guard = Guard(self._sync.guard(description, only=only, keep_finished=keep_finished), self._ways)
        guard._check = check
        return guard

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        await self._ways.to_the_end(self._sync.close)
        if self._ways.own is not None:
            self._ways.own.shutdown(wait=False)
        return False


def open(path: str | os.PathLike[str], **options: Any) -> _Opening[Store]:
    """Opens the store at ``path``, for ``async with`` or ``await``; the options are those of :func:`hivekeep.open`."""

    async def opens() -> Store:
        ways = _Ways()
        return Store(await ways.run(lambda: stores.open(path, **options)), ways)

    return _Opening(opens)
