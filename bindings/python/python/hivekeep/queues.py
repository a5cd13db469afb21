"""The task queue, and claims of its tasks."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Literal
from weakref import WeakSet

from hivekeep import _hivekeep
from hivekeep.errors import HivekeepError, Invalid
from hivekeep.mappings import JSON
from hivekeep.pages import PAGE, items
from hivekeep.records import Enqueued, Priority, Task, TaskCounts, TaskState, Why
from hivekeep.times import Duration, Time, from_text, to_ms, to_text

__all__ = ["Claim", "NewTask", "Queue", "QueueView", "TaskFailed"]

LEASE: Duration = 30
_ERROR_MAX = 16_000


class TaskFailed(Exception):
    """Raise it in a claim's block, or in a worker's handler, to fail the task in a way of your own.

    :param reason: the text that the task keeps.
    :param retry: whether the task is tried again; with ``False`` it has failed for good.
    :param delay: when it is tried again; unless set, the delay grows with every attempt.
    """

    def __init__(self, reason: str, *, retry: bool = True, delay: Duration | None = None) -> None:
        super().__init__(reason)
        if delay is not None and not retry:
            raise Invalid("retry=False and a delay exclude each other; leave one out")
        self.reason, self.retry, self.delay = reason, retry, delay


class NewTask:
    """A task to enqueue; its parameters are those of :meth:`Queue.enqueue`."""

    def __init__(
        self,
        payload: JSON,
        *,
        id: str | None = None,
        priority: Priority | None = None,
        after: Iterable[str] = (),
        not_before: Time | None = None,
        delay: Duration | None = None,
        capabilities: Iterable[str] = (),
        assigned_to: str | None = None,
        idempotency_key: str | None = None,
        allow_different: bool = False,
        allow_missing: bool = False,
        max_attempts: int | None = None,
        attributes: Mapping[str, JSON] | None = None,
    ) -> None:
        if not_before is not None and delay is not None:
            raise Invalid("not_before and delay exclude each other; leave one out")
        self._fields: dict[str, Any] = {
            "payload": payload,
            "id": id,
            "priority": priority,
            "depends_on": _names("after", after),
            "not_before": None if not_before is None else to_text(not_before),
            "delay_ms": None if delay is None else to_ms(delay),
            "capabilities": _names("capabilities", capabilities),
            "assigned_to": assigned_to,
            "idempotency_key": idempotency_key,
            "allow_different": allow_different,
            "allow_missing_dependencies": allow_missing,
            "max_attempts": max_attempts,
            "attributes": attributes,
        }


def _names(what: str, names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise Invalid(f"pass a list of names, not one text: {what}={names!r}")
    return list(names)


class Claim:
    """A claimed task. Its ``with`` block completes it with ``result``, and an exception fails it with its text.

    A signal such as Ctrl-C releases it, as if it had never been claimed. A claim that nobody has begun goes back once
    nothing refers to it. It is begun by its block, by its verbs, and by reading ``token``, which others may
    need to continue with it.
    """

    id: str
    """The task."""
    payload: JSON
    """The payload that the producer gave."""
    attempt: int
    """The number of this attempt, from 1."""
    deadline: datetime
    """The end of the lease. :meth:`extend` moves it."""
    attributes: dict[str, JSON]
    """The attributes that the producer gave."""
    result: JSON
    """Set it in the block: the task is completed with it."""

    def __init__(self) -> None:
        raise TypeError("claim tasks with store.queue.claim(bot)")

    _queue: Queue
    _token: int
    _process: int
    _begun: bool
    _ended: bool

    @classmethod
    def _of(cls, queue: Queue, bot: str, fields: Mapping[str, JSON]) -> Claim:
        claim = cls.__new__(cls)
        claim._queue, claim.bot, claim._process = queue, bot, os.getpid()
        claim.id, claim._token, claim.payload = fields["id"], fields["token"], fields["payload"]
        claim.deadline, claim.attempt = from_text(fields["deadline"]), fields["attempt"]
        claim.attributes = fields["attributes"]
        claim.result, claim._begun, claim._ended = None, False, False
        queue._claims.add(claim)
        return claim

    bot: str
    """The bot that has claimed it."""

    @property
    def _raw(self) -> _hivekeep.Queue:
        return self._queue._now()

    @property
    def token(self) -> int:
        """The proof that the bot holds the task, for those who go on with it in another way."""
        self._begun = True
        return self._token

    def complete(self, result: JSON = None) -> Task:
        """Completes the task.

        :raises Conflict: when the lease has ended and the task was given on.
        """
        self._begun = True
        task = Task._from_json(self._raw.complete(self.id, self._token, result))
        self._ended = True
        return task

    def complete_and_claim(
        self,
        result: JSON = None,
        *,
        limit: int = 1,
        lease: Duration = LEASE,
        max_concurrent: int | None = None,
        aging: Duration | None = None,
    ) -> Sequence[Claim]:
        """Completes the task and claims the bot's next ones, in the same commit; see :meth:`Queue.claim`.

        :raises Conflict: when the lease has ended and the task was given on. Then nothing is claimed.
        """
        self._begun = True
        options = claim_options(limit, lease, max_concurrent, aging)
        fields = self._raw.complete_and_claim(self.id, self._token, result, options)["claims"]
        self._ended = True
        return [Claim._of(self._queue, self.bot, each) for each in fields]

    def fail(self, error: str | BaseException, *, retry: bool = True, delay: Duration | None = None) -> Task:
        """Fails the task. It is tried again later, unless ``retry`` is false or it has no attempt left.

        :param delay: when it is tried again; unless set, the delay grows with every attempt.
        """
        if delay is not None and not retry:
            raise Invalid("retry=False and a delay exclude each other; leave one out")
        self._begun = True
        delay_ms = None if delay is None else to_ms(delay)
        task = Task._from_json(self._raw.fail(self.id, self._token, _error_text(error), retry, delay_ms))
        self._ended = True
        return task

    def release(self) -> Task:
        """Gives the task back as if it had not been claimed: no attempt is counted, and it keeps its place."""
        self._begun = True
        task = Task._from_json(self._raw.release(self.id, self._token))
        self._ended = True
        return task

    def extend(self, lease: Duration = LEASE) -> datetime:
        """Extends the lease, from now; gives its end."""
        self._begun = True
        holder = Task._from_json(self._raw.extend(self.id, self._token, to_ms(lease))).holder
        if holder is not None:
            self.deadline = holder.deadline
        return self.deadline

    def __enter__(self) -> Claim:
        self._begun = True
        return self

    def __exit__(
        self, of: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> Literal[False]:
        if self._ended:
            return False
        if error is None:
            self._complete_or_fail()
        else:
            # The exception of the block is what the caller is to see.
            with contextlib.suppress(HivekeepError):
                self._end_by(error)
        return False

    def _complete_or_fail(self) -> None:
        """A result that cannot be stored fails the task, which would be claimed for nobody otherwise."""
        try:
            self.complete(self.result)
        except Exception as error:
            if isinstance(error, Invalid) or not isinstance(error, HivekeepError):
                with contextlib.suppress(HivekeepError):
                    self.fail(error)
            raise

    def _end_by(self, error: BaseException) -> None:
        if isinstance(error, TaskFailed):
            try:
                self.fail(error.reason, retry=error.retry, delay=error.delay)
            except Invalid:
                # The delay is refused. The task fails nevertheless.
                self.fail(error.reason, retry=error.retry)
        elif isinstance(error, Exception):
            self.fail(error)
        else:
            self.release()

    def _release_unless_begun(self) -> None:
        # A forked child has copies of its parent's claims.
        if not getattr(self, "_begun", True) and self._process == os.getpid():
            with contextlib.suppress(HivekeepError):
                self.release()

    __del__ = _release_unless_begun

    def __repr__(self) -> str:
        return f"<hivekeep.Claim of {self.id!r} by {self.bot!r}, attempt {self.attempt}>"


def release_unbegun(claims: Iterable[Claim]) -> None:
    """Gives back the claims that nobody has begun."""
    for claim in list(claims):
        claim._release_unless_begun()


def _error_text(error: str | BaseException) -> str:
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception_only(type(error), error)).strip()
    text = error.encode("utf-8", "replace").decode()
    return text if len(text) <= _ERROR_MAX else text[:_ERROR_MAX] + " .."


class QueueView:
    """The task queue, to read."""

    def __init__(self, owner: object, raw: _hivekeep.Queue) -> None:
        self._owner, self._raw = owner, raw

    def get(self, id: str) -> Task | None:
        """A task; none if there is no such task."""
        fields = self._raw.get(id)
        return None if fields is None else Task._from_json(fields)

    def __getitem__(self, id: str) -> Task:
        task = self.get(id)
        if task is None:
            raise KeyError(id)
        return task

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._raw.get(id) is not None

    def list(self, state: TaskState | None = None) -> Iterator[Task]:
        """The tasks by id, or those in one state in the order of that state, read page by page."""
        raw = self._raw.at_once()
        yield from map(Task._from_json, items(lambda cursor: raw.page(state, cursor, PAGE), "tasks"))

    def __iter__(self) -> Iterator[Task]:
        return self.list()

    def counts(self) -> TaskCounts:
        """How many tasks there are in each state."""
        return TaskCounts._from_json(self._raw.counts())

    def __len__(self) -> int:
        return sum(self._raw.counts().values())


class Queue(QueueView):
    """The task queue: tasks are enqueued, claimed, and completed or failed."""

    def __init__(
        self,
        owner: object,
        raw: _hivekeep.Queue,
        claims: WeakSet[Claim],
        now: Callable[[], _hivekeep.Queue] | None = None,
    ) -> None:
        super().__init__(owner, raw)
        self._claims = claims
        # The way to the queue of a claim that was made here: a transaction ends before its claims do.
        self._now = now or (lambda: raw)

    def enqueue(
        self,
        payload: JSON,
        *,
        id: str | None = None,
        priority: Priority | None = None,
        after: Iterable[str] = (),
        not_before: Time | None = None,
        delay: Duration | None = None,
        capabilities: Iterable[str] = (),
        assigned_to: str | None = None,
        idempotency_key: str | None = None,
        allow_different: bool = False,
        allow_missing: bool = False,
        max_attempts: int | None = None,
        attributes: Mapping[str, JSON] | None = None,
    ) -> Task:
        """Enqueues a task.

        :param payload: the work, in words of your own.
        :param id: a name for the task; generated unless set.
        :param priority: ``"P0"`` to ``"P3"``; ``"P2"`` unless set.
        :param after: the tasks that must be done first.
        :param not_before: no bot may claim it before this time.
        :param delay: how long from now until a bot may claim it.
        :param capabilities: what a bot must be able to do to claim it: its ``specializations``.
        :param assigned_to: the only bot that may claim it.
        :param idempotency_key: a second task with the same key is not enqueued; the first one is returned.
        :param allow_different: whether to return it even if it differs from this one.
        :param allow_missing: whether ``after`` may name tasks that do not exist yet.
        :param max_attempts: after that many failed attempts the task is dead; five unless set.
        :param attributes: fields of your own.
        """
        new = NewTask(
            payload,
            id=id,
            priority=priority,
            after=after,
            not_before=not_before,
            delay=delay,
            capabilities=capabilities,
            assigned_to=assigned_to,
            idempotency_key=idempotency_key,
            allow_different=allow_different,
            allow_missing=allow_missing,
            max_attempts=max_attempts,
            attributes=attributes,
        )
        return Task._from_json(self._raw.enqueue(new._fields)[0])

    def enqueue_once(self, task: NewTask) -> Enqueued:
        """Enqueues a task, and tells whether it is new."""
        return Enqueued._of(self._raw.enqueue(task._fields))

    def enqueue_all(self, tasks: Iterable[NewTask]) -> Sequence[Enqueued]:
        """Enqueues many tasks in one commit, all of them or none. They may depend on each other in any order."""
        return [Enqueued._of(raw) for raw in self._raw.enqueue_all([task._fields for task in tasks])]

    def claim(
        self,
        bot: str,
        *,
        limit: int = 1,
        lease: Duration = LEASE,
        wait: Duration = 0,
        max_concurrent: int | None = None,
        aging: Duration | None = None,
    ) -> Sequence[Claim]:
        """Claims ready tasks, the most urgent first.

        :param limit: how many at most.
        :param lease: how long the bot has them; it may extend each one.
        :param wait: how long to wait for the first one. A commit of any process ends the wait, and Ctrl-C does.
        :param max_concurrent: how many tasks the bot may hold: three, or ``limit`` if that is more. If the registered bot
            has a ``max_concurrent`` too, the smaller number counts.
        :param aging: raises the priority of a task for each such period that it has been ready.
        """
        options = claim_options(limit, lease, max_concurrent, aging)
        return [Claim._of(self, bot, fields) for fields in self._raw.claim(bot, options, to_ms(wait))]

    def complete(self, id: str, token: int, result: JSON = None) -> Task:
        """Completes a task by the token of its claim."""
        return Task._from_json(self._raw.complete(id, token, result))

    def fail(
        self, id: str, token: int, error: str | BaseException, *, retry: bool = True, delay: Duration | None = None
    ) -> Task:
        """Fails a task by the token of its claim; see :meth:`Claim.fail`."""
        if delay is not None and not retry:
            raise Invalid("retry=False and a delay exclude each other; leave one out")
        delay_ms = None if delay is None else to_ms(delay)
        return Task._from_json(self._raw.fail(id, token, _error_text(error), retry, delay_ms))

    def extend(self, id: str, token: int, lease: Duration = LEASE) -> Task:
        """Extends the lease of a claim by its token, from now."""
        return Task._from_json(self._raw.extend(id, token, to_ms(lease)))

    def release(self, id: str, token: int) -> Task:
        """Gives a task back by the token of its claim, as if it had not been claimed."""
        return Task._from_json(self._raw.release(id, token))

    def cancel(self, id: str) -> Task:
        """Cancels a task that has not ended."""
        return Task._from_json(self._raw.cancel(id))

    def requeue(self, id: str) -> Task:
        """Makes a failed, dead or cancelled task ready again."""
        return Task._from_json(self._raw.requeue(id))

    def assign(self, id: str, bot: str | None) -> Task:
        """Assigns a task to one bot, or with ``None`` to any."""
        return Task._from_json(self._raw.assign(id, bot))

    def why(self, id: str, bot: str | None = None) -> Why:
        """Explains why a task is not claimed, by any bot or by this one."""
        return Why._from_json(self._raw.why(id, bot))

    def why_nothing(self, bot: str) -> str:
        """Explains in one line why a claim of a bot is empty."""
        return self._raw.why_nothing(bot)

    def stuck(self, limit: int = 100) -> dict[str, str]:
        """Tasks that cannot proceed by themselves, each with the reason in one line."""
        return self._raw.stuck(limit)

    def purge(self, older_than: Duration) -> int:
        """Removes the tasks that ended longer ago than that; gives their number."""
        return self._raw.purge(to_ms(older_than))


def claim_options(
    limit: int, lease: Duration, max_concurrent: int | None, aging: Duration | None
) -> dict[str, int | None]:
    """The options of a claim, for the compiled module."""
    if limit < 1:
        raise Invalid(f"a claim takes at least one task: limit={limit}")
    return {
        "lease_ms": to_ms(lease),
        "max": limit,
        "max_concurrent": limit if max_concurrent is None and limit > 3 else max_concurrent,
        "aging_ms": None if aging is None else to_ms(aging),
    }
