"""Waits for a claim in async code: each has a connection, and none a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from hivekeep.errors import Locked
from hivekeep.remote.exchange import Answer, BadAnswer, TooLong
from hivekeep.remote.wire import TRIES, Wire, _NotDone

__all__ = ["ClaimWait"]

_SLICE = 30.0
_PAUSE = 1.0
_WHAT = "POST /api/queue/claim"
_ON_ITS_WAY = 2.0


class ClaimWait:
    """A wait in progress. ``told`` is called with the claims or with an exception, unless it is cancelled before."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wire: Wire,
        fields: dict[str, Any],
        wait: float,
        delivered: Callable[[bytes], Any],
        give_back: Callable[[list[Any]], None],
        told: Callable[[Any, BaseException | None], object],
    ) -> None:
        self._wire, self._fields, self._delivered, self._give_back = wire, fields, delivered, give_back
        self._until = time.monotonic() + wait
        self._task = loop.create_task(self._tell(told))

    def cancel(self) -> None:
        """Ends the wait. The service sees that the client is gone, and gives back the claims."""
        self._task.cancel()

    async def _tell(self, told: Callable[[Any, BaseException | None], object]) -> None:
        try:
            claims = await self._claims()
        except Exception as error:
            told(None, error)
        else:
            told(claims, None)

    async def _claims(self) -> list[Any]:
        failures = 0
        while True:
            left = max(self._until - time.monotonic(), 0)
            slice = min(left, _SLICE)
            try:
                body = await asyncio.wait_for(self._ask(slice), slice + self._wire.timeout)
            except (Locked, _NotDone) as error:
                # As many wait as may, or the service is not there.
                failures += isinstance(error, _NotDone) and not isinstance(error.error, Locked)
                if not left or failures >= TRIES:
                    raise error.error if isinstance(error, _NotDone) else error from None
                await asyncio.sleep(min(_PAUSE, left))
                continue
            except (asyncio.TimeoutError, OSError, EOFError, BadAnswer, TooLong) as error:
                raise self._wire.lost(error, False, _WHAT) from error
            claims: list[Any] = self._delivered(body)["claims"]
            if claims or left <= slice:
                return claims

    async def _ask(self, wait: float) -> bytes:
        fields = {**self._fields, "wait_ms": int(wait * 1000)}
        sent = self._wire.request("POST", "/api/queue/claim", fields, {})
        address, answer = self._wire.address, Answer(self._wire.max_answer)
        try:
            if address.path is not None:
                reader, writer = await asyncio.open_unix_connection(address.path)
            else:
                reader, writer = await asyncio.open_connection(address.host, address.port, ssl=address.tls)
        except OSError as error:
            raise _NotDone(self._wire.unreachable(error)) from error
        try:
            writer.write(sent)
            await _read(reader, answer)
        except asyncio.CancelledError:
            ending = asyncio.ensure_future(self._end(reader, writer, answer))
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)
            raise
        except BaseException:
            writer.transport.abort()
            raise
        writer.transport.abort()
        return self._wire.body_of(answer, False, _WHAT)

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
        """Ends a request for which nobody waits, and gives back claims that were on their way already. The service
        gives back those that it sends later.
        """
        try:
            if writer.can_write_eof():
                writer.write_eof()
            await asyncio.wait_for(_read(reader, answer), _ON_ITS_WAY)
            claims = self._delivered(self._wire.body_of(answer, False, _WHAT))["claims"]
            if claims:
                await asyncio.get_running_loop().run_in_executor(None, self._give_back, claims)
        except (Exception, asyncio.CancelledError):
            # It has not come, or is no claim. A lease ends by itself.
            pass
        finally:
            writer.transport.abort()


# A task that nobody refers to may be dropped before its end.
_ending: set[asyncio.Future[None]] = set()


async def _read(reader: asyncio.StreamReader, answer: Answer) -> None:
    while data := await reader.read(64 << 10):
        if answer.feed(data):
            return
    answer.end()
