"""The same store behind a service, for programs on another machine, or of another user::

    import hivekeep.remote

    with hivekeep.remote.connect("https://fleet.example:8001", key="hk_BOT-1_..") as store:
        store.config["limits"]
        for claim in store.queue.claim("BOT-1", wait=30):
            with claim as task:
                task.result = build(task.payload)

Verbs, types and exceptions are those of :mod:`hivekeep`. A verb that no service has raises
:class:`~hivekeep.NotSupported` with its name.
"""

from __future__ import annotations

import os
import ssl
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hivekeep import _hivekeep, stores
from hivekeep.errors import Invalid
from hivekeep.queues import Claim, release_unbegun
from hivekeep.remote.recovery import Recovery, Upkeep
from hivekeep.remote.state import State, refused
from hivekeep.remote.wire import Address, Wire, checked_key
from hivekeep.times import Duration, to_ms

__all__ = ["Store", "connect"]


def connect(
    url: str,
    *,
    key: str | None = None,
    timeout: Duration = 30,
    max_answer: int = 256 << 20,
    tls: ssl.SSLContext | None = None,
    insecure_no_tls: bool = False,
    parse_float: Callable[[str], Any] | None = None,
) -> Store:
    """Connects to the service at ``url``, which has the form ``http://HOST:PORT``, ``https://HOST`` or ``unix:PATH``.

    :param key: the key of the program, ``hk_NAME_..``; its role says what the program may do.
    :param timeout: how long an answer may take, besides the wait of a claim.
    :param max_answer: the longest answer that is read, in bytes.
    :param tls: how the service's certificate is checked, as of :func:`ssl.create_default_context`.
    :param insecure_no_tls: whether to send the key to another machine where others on the way can read it.
    :param parse_float: as of :func:`hivekeep.open`.
    """
    address = Address(url, tls)
    seconds = to_ms(timeout) / 1000
    if not seconds:
        raise Invalid("timeout must be longer than 0")
    wire = Wire(address, checked_key(key, address, insecure_no_tls), seconds, max_answer, _hivekeep.Json(parse_float))
    return Store._to(wire)


class _Raw:
    """The verbs of the compiled module's store, as requests."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def path(self) -> Path:
        raise refused("path", "its address is store.url")

    def close(self) -> None:
        self._wire.close()

    def is_closed(self) -> bool:
        return self._wire.closed

    def reopen(self) -> None:
        """A service opens its store again by itself."""

    @property
    def durability(self) -> Any:
        raise refused("durability", "it is the service's: hivekeep serve --durability")

    def with_durability(self, durability: str) -> Any:
        raise refused("with_durability", "hivekeep serve --exclusive --durability system answers all writes so")

    def write(self, max_hold_ms: int, in_thread: bool) -> Any:
        raise refused("write", "update() of a mapping and enqueue_all() are one commit each")

    def view(self) -> Any:
        raise refused("view", "make a point, and read it with store.at(point)")

    @property
    def recovery(self) -> Recovery:
        return Recovery(self._wire)

    @property
    def upkeep(self) -> Upkeep:
        return Upkeep(self._wire)

    @property
    def state(self) -> State:
        return State(self._wire)


class Store(stores.Store):
    """A store behind a service; see :class:`hivekeep.Store`. It may be used from every thread and after a fork.

    Every change is on the disk of the service when its call returns. :class:`~hivekeep.Uncertain` says that an answer did
    not come, so that nobody knows whether the change was made. Requests that may be sent twice are.
    """

    _wire: Wire

    @classmethod
    def _to(cls, wire: Wire) -> Store:
        store = cls.__new__(cls)
        store._wire = wire
        store._raw = cast(_hivekeep.Store, _Raw(wire))
        store._options, store._schedulers = {}, []
        store._claims = weakref.WeakSet[Claim]()
        store._close = weakref.finalize(store, _close_quietly, wire, store._claims, os.getpid())
        return store

    def __init__(self) -> None:
        raise TypeError("connect to a store with hivekeep.remote.connect(url)")

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._wire.address.shown

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a remote store has a key and cannot be pickled; connect in the other process")

    def __repr__(self) -> str:
        return f"<hivekeep.remote.Store at {self.url!r}{', closed' if self.closed else ''}>"


def _close_quietly(wire: Wire, claims: weakref.WeakSet[Claim], process: int) -> None:
    """Closes a store once nothing refers to it, or at the end of the program."""
    # The claims of a parent are not those of a forked child.
    if not wire.closed and process == os.getpid():
        release_unbegun(claims)
        wire.close()
