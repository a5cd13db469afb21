"""A worker: it hands the tasks of a bot to a function, until it is told to stop."""

from __future__ import annotations

import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from hivekeep.errors import Conflict, HivekeepError, Invalid, NotFound
from hivekeep.mappings import JSON
from hivekeep.queues import Claim, TaskFailed, claim_options
from hivekeep.times import Duration, to_ms

if TYPE_CHECKING:
    from hivekeep.stores import Store

__all__ = ["Handler", "Worker", "WorkerCounts"]

Handler: TypeAlias = Callable[[Claim], JSON]
"""Does a task. The task is completed with the value that it returns, and failed with the text of an exception."""

_log = logging.getLogger("hivekeep.worker")
_WAIT = 0.5
"""A wait for a task lasts this many seconds at most, so that a worker that should stop does."""
_LOOK_EVERY = 2.0
"""The seconds between two looks for crashed processes. A look costs a write only if there is one."""
_TRANSIENT = frozenset({"locked", "full", "io", "not_committed", "uncertain", "reopen"})
"""Kinds of errors of the store after which a worker tries again."""
_LONGEST_PAUSE = 5.0


@dataclasses.dataclass
class WorkerCounts:
    """How many tasks a worker has ended, and in which way."""

    done: int = 0
    failed: int = 0
    """Attempts that failed. The queue tries a task again until it has no attempt left."""
    lost: int = 0
    """Tasks whose lease had ended before they did, or that were cancelled meanwhile. Their results are dropped."""


class Worker:
    """Hands the tasks of a bot to a function, on several threads.

    Leases are extended while the function runs, so a lease says only how soon the tasks of a worker that has died are
    given on. A task that is done is completed and the next one claimed in the same commit. When the worker stops, each
    function runs to its end, and no more tasks are claimed.

    :param handler: does a task; see :data:`Handler`. It may raise :class:`~hivekeep.TaskFailed` to say how it failed.
    :param concurrency: how many tasks at a time.
    :param lease: for how long tasks are claimed, before they are extended.
    :param aging: see :meth:`Queue.claim <hivekeep.Queue.claim>`.
    :param until_empty: whether to stop once there is nothing to claim.
    """

    def __init__(
        self,
        store: Store,
        bot: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        lease: Duration = 30,
        aging: Duration | None = None,
        until_empty: bool = False,
    ) -> None:
        if concurrency < 1:
            raise Invalid(f"a worker does at least one task at a time: concurrency={concurrency}")
        self._store, self._bot, self._handler = store, bot, handler
        self._concurrency, self._lease, self._until_empty = concurrency, lease, until_empty
        self._options = claim_options(1, lease, concurrency, aging)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[int, Claim] = {}
        self._counts = WorkerCounts()
        self._error: BaseException | None = None

    @property
    def counts(self) -> WorkerCounts:
        """The numbers so far."""
        with self._lock:
            return dataclasses.replace(self._counts)

    def stop(self) -> None:
        """Claims no more tasks, from any thread. :meth:`run` returns once the tasks that have begun are done."""
        self._stop.set()

    def run(self) -> WorkerCounts:
        """Works until :meth:`stop`, SIGTERM or Ctrl-C; gives the numbers. A second Ctrl-C does not wait for the tasks.

        A worker that ended because the queue was empty may run again, and counts on.

        :raises HivekeepError: when the store can no longer be used, after the tasks that have begun are done.
        """
        threads = [
            threading.Thread(target=self._work, name=f"hivekeep-worker-{number}", daemon=True)
            for number in range(self._concurrency)
        ]
        done = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(done,), name="hivekeep-leases", daemon=True)
        with self._signals():
            for thread in (*threads, keeper):
                thread.start()
            try:
                for thread in threads:
                    while thread.is_alive():
                        # Signals are handled between two of these.
                        thread.join(0.1)
            except BaseException:
                self._stop.set()
                raise
            finally:
                done.set()
            keeper.join()
        if self._error is not None:
            raise self._error
        return self.counts

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Lets signals stop the worker. Only the main thread may handle them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()

    def _work(self) -> None:
        try:
            claims: Sequence[Claim] = ()
            while not self._stop.is_set():
                claims = claims or self._claim()
                if not claims and self._until_empty:
                    return
                claims = [following for claim in claims for following in self._do(claim)]
            for claim in claims:
                self._patiently(claim.release)
        except BaseException as error:
            self._error = self._error or error
            self._stop.set()

    def _claim(self) -> Sequence[Claim]:
        wait = 0 if self._until_empty else to_ms(_WAIT)
        queue = self._store.queue
        fields = self._patiently(lambda: queue._raw.claim(self._bot, self._options, wait)) or []
        return [Claim._of(queue, self._bot, each) for each in fields]

    def _do(self, claim: Claim) -> Sequence[Claim]:
        """Does a task, and gives the claims that were made when it was completed."""
        token = claim.token
        with self._lock:
            self._running[token] = claim
        try:
            result = self._handler(claim)
        except BaseException as error:
            with self._lock:
                self._running.pop(token)
            return self._failed(claim, error)
        with self._lock:
            self._running.pop(token)
        return self._completed(claim, result)

    def _completed(self, claim: Claim, result: JSON) -> Sequence[Claim]:
        queue = self._store.queue
        raw = queue._raw

        def complete() -> list[dict[str, Any]]:
            if self._stop.is_set():
                raw.complete(claim.id, claim.token, result)
                return []
            following: list[dict[str, Any]] = raw.complete_and_claim(claim.id, claim.token, result, self._options)["claims"]
            return following

        if claim._ended:
            return ()
        try:
            following = self._patiently(complete, claim)
        except Exception as error:
            # The result is too long, or no JSON, or cannot even be read.
            if isinstance(error, HivekeepError) and not isinstance(error, Invalid):
                raise
            return self._failed(claim, error)
        if following is None:
            return ()
        self._count("done")
        return [Claim._of(queue, self._bot, fields) for fields in following]

    def _failed(self, claim: Claim, error: BaseException) -> Sequence[Claim]:
        if claim._ended:
            return ()
        _log.warning("task %s failed: %s: %s", claim.id, type(error).__name__, error, exc_info=error)
        if isinstance(error, TaskFailed):
            retry, delay, text = error.retry, error.delay, error.reason
            failed = self._patiently(lambda: claim.fail(text, retry=retry, delay=delay), claim)
        else:
            failed = self._patiently(lambda: claim.fail(error), claim)
        if failed is not None:
            self._count("failed")
        return ()

    def _patiently(self, call: Callable[[], Any], claim: Claim | None = None) -> Any:
        """Calls the store until it can be used. ``None`` when a claim was lost meanwhile, or the worker stops."""
        pause = 0.05
        while True:
            try:
                return call()
            except (Conflict, NotFound) as error:
                if claim is None:
                    raise
                _log.warning("task %s was lost: %s", claim.id, error)
                self._count("lost")
                return None
            except HivekeepError as error:
                if error.kind not in _TRANSIENT:
                    raise
                _log.warning("the store cannot be used, trying again: %s", error)
                if self._store.closed or (self._stop.is_set() and pause >= _LONGEST_PAUSE):
                    raise
                if self._stop.is_set() and claim is None:
                    return None
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._reopen()

    def _reopen(self) -> None:
        """Opens the file again if a failure has closed it."""
        try:
            self._store.reopen()
        except HivekeepError as error:
            _log.warning("the store cannot be opened again yet: %s", error)

    def _keep(self, done: threading.Event) -> None:
        """Extends the leases of running tasks, each when a third of it is over, and looks for crashed processes, whose tasks
        nobody else may give back.
        """
        third = to_ms(self._lease) / 3000
        begun = time.monotonic()
        extends, looks = begun + third, begun + _LOOK_EVERY
        while not done.wait(max(min(extends, looks) - time.monotonic(), 0)):
            now = time.monotonic()
            if now >= extends:
                extends = now + third
                self._extend()
            if now >= looks:
                looks = now + _LOOK_EVERY
                try:
                    self._store._raw.upkeep.notice_crashes()
                except HivekeepError as error:
                    _log.debug("crashes of other processes cannot be noticed now: %s", error)

    def _extend(self) -> None:
        with self._lock:
            running = dict(self._running)
        for token, claim in running.items():
            try:
                claim.extend(self._lease)
            except HivekeepError as error:
                with self._lock:
                    still = token in self._running
                # One that was completed a moment ago needs no lease.
                if still:
                    _log.warning("the lease of task %s was not extended: %s", claim.id, error)

    def _count(self, name: str) -> None:
        with self._lock:
            setattr(self._counts, name, getattr(self._counts, name) + 1)
