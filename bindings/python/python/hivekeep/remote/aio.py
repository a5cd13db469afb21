"""The same for asyncio: every call is awaited, as in :mod:`hivekeep.aio`. Waits for a task need no thread.

::

    import hivekeep.remote.aio

    async with hivekeep.remote.aio.connect("https://fleet.example:8001", key="hk_BOT-1_..") as store:
        async for claim in store.queue.tasks("BOT-1"):
            async with claim as task:
                task.result = await build(task.payload)
"""

from __future__ import annotations

from typing import Any

from hivekeep import aio, remote

__all__ = ["connect"]


def connect(url: str, **options: Any) -> aio._Opening[aio.Store]:
    """Connects to the service at ``url``, for ``async with`` or ``await``; see :func:`hivekeep.remote.connect`."""

    async def opens() -> aio.Store:
        return aio.Store(remote.connect(url, **options), aio._Ways())

    return aio._Opening(opens)
