"""The way to a service: its address, its key, and connections that are used again."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hivekeep import _hivekeep
from hivekeep.errors import Forbidden, HivekeepError, Invalid, Io, Locked, NotSupported, Reopen, Uncertain, _of_kind
from hivekeep.remote.exchange import Answer, BadAnswer, TooLong, request

__all__ = ["Address", "Wire"]

_IDLE_MAX = 8
_NO_QUERY: Mapping[str, object] = {}
_NO_BODY = object()
_PIECE = 256 << 10
_HINTS = {
    "allow_different": "allow_different=True takes the earlier task",
    "allow_missing_dependencies": "allow_missing=True waits for tasks that are not enqueued yet",
    "discard": "store.undo_discarding() undoes it anyway",
    "POST /api/check": "store.check() lists all damage",
    "/diff": "store.diff(earlier, later) shows what changed",
    "/release": "store.release_point(point) releases it",
    "POST /api/points": "store.point() makes a restore point",
    "GET /api/points/{point}": "hivekeep point show POINT lists what a repair lost of it",
    "GET /api/points": "store.points(all=True) lists all restore points",
    "dry_run": "plan it again",
}
_KINDS = {"busy": "locked", "too_many_requests": "locked", "unauthorized": "forbidden", "too_large": "invalid"}
_STATUSES = {400: "invalid", 401: "forbidden", 403: "forbidden", 404: "not_found", 409: "conflict", 413: "invalid"}
# These changed nothing, so that any request may be sent again.
_UNDONE = frozenset({"locked", "not_committed", "reopen"})
TRIES = 4
_LONGEST_PAUSE = 5.0
_ON_ITS_WAY = 0.5


class Address:
    """Where a service listens."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self.path: str | None = None
        self.tls: ssl.SSLContext | None = None
        if url.startswith("unix:"):
            self.path, self.host, self.port, self.prefix = url[len("unix:") :].removeprefix("//"), "localhost", 0, ""
            if not self.path:
                raise Invalid("name the socket, as in unix:/run/hivekeep.sock")
            self.name = "localhost"
            self.shown = f"unix:{self.path}"
            return
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None or parts.query:
            # The text is not shown, because it may hold a secret.
            raise Invalid("pass an address such as http://127.0.0.1:8001, https://HOST or unix:PATH, and the key as key=..")
        if parts.scheme == "https":
            self.tls = tls or ssl.create_default_context()
        self.host, self.port = host, port or (443 if self.tls else 80)
        shown = f"[{host}]" if ":" in host else host
        self.name = shown if port is None else f"{shown}:{port}"
        self.prefix = parts.path.rstrip("/")
        self.shown = f"{parts.scheme}://{self.name}{self.prefix}"

    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        if self.tls is not None or self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def connect(self, timeout: float) -> socket.socket:
        """A new connection."""
        if self.path is not None:
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                unix.settimeout(timeout)
                unix.connect(self.path)
            except BaseException:
                unix.close()
                raise
            return unix
        plain = socket.create_connection((self.host, self.port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain
        except BaseException:
            plain.close()
            raise


class _Idle:
    """The connections of a process that nobody uses now."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []

    def take(self) -> socket.socket | None:
        """One that the service has not closed."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                found = self._idle.pop()
            # Nothing was asked, so whatever can be read says that it was closed.
            try:
                if not select.select([found], [], [], 0)[0]:
                    return found
            except ValueError:
                # Its number is too high for select.
                pass
            found.close()

    def put(self, connection: socket.socket) -> None:
        """For the next request."""
        with self._lock:
            if len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes all of them."""
        while (found := self.take()) is not None:
            found.close()


class Wire:
    """Requests to one service. Many threads may use it, and forked children too."""

    def __init__(
        self, address: Address, key: str | None, timeout: float, max_answer: int, json: _hivekeep.Json
    ) -> None:
        self.address, self.timeout, self.max_answer, self.json = address, timeout, max_answer, json
        self._key = key
        self._idle = _Idle()
        self.closed = False

    def __repr__(self) -> str:
        return f"<hivekeep.remote.Wire to {self.address.shown}>"

    def close(self) -> None:
        """Closes all connections that nobody uses now. Others are closed with their answer."""
        self.closed = True
        self._connections().close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = _NO_BODY,
        *,
        again: bool = False,
        wait: float = 0,
        query: Mapping[str, object] = _NO_QUERY,
    ) -> Any:
        """Asks, and gives the answer as an object.

        :param again: whether a request that changes something may be sent twice; one that only reads always may.
        :param wait: so much longer than the time-out the answer may take.
        """
        return self.json.read(self.ask_bytes(method, path, body, again=again, wait=wait, query=query))

    def ask_bytes(
        self,
        method: str,
        path: str,
        body: Any = _NO_BODY,
        *,
        again: bool = False,
        wait: float = 0,
        undelivered: Callable[[bytes], None] | None = None,
        query: Mapping[str, object] = _NO_QUERY,
    ) -> bytes:
        """Asks, and gives the answer as it came.

        :param undelivered: takes an answer that comes although a signal has ended the call.
        """
        sent = self.request(method, path, body, query)
        tries, until = 0, time.monotonic() + self.timeout + wait
        while True:
            tries += 1
            try:
                may_again, what = again or method == "GET", f"{method} {path}"
                return self.body_of(self._exchange(sent, until, may_again, what, undelivered), may_again, what)
            except _NotDone as failure:
                pause = min(failure.pause or random.uniform(0.5, 1.5) * 0.1 * 2**tries, _LONGEST_PAUSE)
                if tries >= TRIES or time.monotonic() + pause >= until:
                    raise failure.error from None
            time.sleep(pause)

    def request(self, method: str, path: str, body: Any, query: Mapping[str, object]) -> bytes:
        """A request as bytes."""
        if self.closed:
            raise Reopen("the store is closed; connect again")
        headers = {"Host": self.address.name, "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        text = None if body is _NO_BODY else self.json.write(body)
        return request(method, self.address.prefix + path, query, headers, text)

    def body_of(self, answer: Answer, again: bool, what: str) -> bytes:
        """The body of an answer that says that it was done."""
        is_json = "json" in answer.headers.get("content-type", "")
        if 200 <= answer.status < 300 and is_json:
            return answer.body
        if not is_json and not 400 <= answer.status < 500:
            # Somebody on the way said it, who does not know whether the service has done it.
            raise self.lost(BadAnswer(f"the answer is not of the service: status={answer.status}"), again, what)
        error = self._error_of(answer)
        if error.kind in _UNDONE and answer.status in (429, 503):
            raise _NotDone(error, _seconds(answer.headers.get("retry-after")))
        raise error

    def _error_of(self, answer: Answer) -> HivekeepError:
        try:
            problem = self.json.read(answer.body)
            kind, detail = str(problem["kind"]), str(problem["detail"])
            hint = next((words for name, words in _HINTS.items() if name in str(problem.get("hint", ""))), None)
        except (HivekeepError, LookupError, TypeError):
            kind, detail, hint = "", f"the service refused the request: status={answer.status}", None
        if detail.startswith("unknown path") or kind == "method_not_allowed":
            return NotSupported(f"the service is older than this package, and cannot do that: {detail}")
        known = _of_kind(_KINDS.get(kind, kind or _STATUSES.get(answer.status, "io")), detail, hint)
        return known if type(known) is not HivekeepError else _of_kind(_STATUSES.get(answer.status, "io"), detail, hint)

    def _exchange(
        self, sent: bytes, until: float, again: bool, what: str, undelivered: Callable[[bytes], None] | None
    ) -> Answer:
        """Sends a request, and reads its answer."""
        connection = self._connections().take()
        if connection is None:
            try:
                connection = self.address.connect(_left(until))
            except ssl.SSLError as error:
                raise Io(f"the service cannot be trusted: {error}: service={self.address.shown}") from error
            except OSError as error:
                raise _NotDone(self.unreachable(error)) from error
        answer = Answer(self.max_answer)
        try:
            connection.settimeout(_left(until))
            connection.sendall(sent)
            _receive(connection, answer, until)
        except (OSError, BadAnswer, TooLong) as error:
            connection.close()
            raise self.lost(error, again, what) from error
        except BaseException:
            # A signal, such as Ctrl-C.
            if undelivered is not None:
                with contextlib.suppress(Exception):
                    # The service gives back what it sends to a half that was ended; what is on its way already comes now.
                    connection.shutdown(socket.SHUT_WR)
                    _receive(connection, answer, time.monotonic() + _ON_ITS_WAY)
                    undelivered(self.body_of(answer, again, what))
            connection.close()
            raise
        if answer.keeps and not self.closed:
            self._connections().put(connection)
        else:
            connection.close()
        return answer

    def unreachable(self, error: BaseException) -> HivekeepError:
        """The exception of a request that was not sent."""
        return Io(f"the service cannot be reached, and nothing was done: {error}: service={self.address.shown}")

    def lost(self, error: BaseException, again: bool, what: str) -> Exception:
        """The exception of a request whose answer did not come."""
        if isinstance(error, TooLong):
            return self.too_long()
        if not again:
            return Uncertain(
                f"the answer did not come, and the service may have done it; look before you do it again: {error}: "
                f"request={what!r} service={self.address.shown}"
            )
        if isinstance(error, TimeoutError):
            return Locked(f"the service did not answer in time; try again: request={what!r} service={self.address.shown}")
        return _NotDone(Io(f"the answer did not come: {error}: request={what!r} service={self.address.shown}"))

    def too_long(self) -> Invalid:
        """The exception of an answer that is longer than may be read."""
        return Invalid(f"the answer is too long; ask for less, or raise max_answer: bytes={self.max_answer}")

    def _connections(self) -> _Idle:
        if self._idle.process != os.getpid():
            # A forked child leaves the connections of its parent alone.
            self._idle = _Idle()
        return self._idle


class _NotDone(Exception):
    """The request may be sent again."""

    def __init__(self, error: HivekeepError, pause: float = 0) -> None:
        super().__init__(str(error))
        self.error, self.pause = error, pause


def _receive(connection: socket.socket, answer: Answer, until: float) -> None:
    while True:
        connection.settimeout(_left(until))
        data = connection.recv(_PIECE)
        if not data:
            return answer.end()
        if answer.feed(data):
            return None


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("its time is over")
    return left


def _seconds(text: str | None) -> float:
    with contextlib.suppress(ValueError, TypeError):
        return max(float(str(text)), 0)
    return 0


def checked_key(key: str | None, address: Address, insecure_no_tls: bool) -> str | None:
    """A key that can be sent. No message shows it."""
    if key is None:
        return None
    text = key.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Forbidden("this is no key: a key has letters, digits, - and _ only")
    if not address.is_private() and not insecure_no_tls:
        raise Invalid("others can read a key on its way to this address; use https://, or allow it with insecure_no_tls=True")
    return text
