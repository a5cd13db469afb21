"""The same for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import hivekeep
from hivekeep import aio


Opens = Callable[..., Any]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


async def claimed(store: aio.Store) -> int:
    return (await store.queue.counts()).claimed


async def without_claims(store: aio.Store) -> None:
    """Waits until nothing is claimed any more."""
    until = time.monotonic() + 10
    while await claimed(store) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert await claimed(store) == 0


async def ready_again(store: aio.Store, id: str) -> None:
    """Waits until a task is ready and no attempt is counted."""
    until, seen = time.monotonic() + 10, 0
    while seen < 3:
        task = await store.queue.get(id)
        assert task is not None and time.monotonic() < until, task
        seen = seen + 1 if (task.state, task.attempts) == ("ready", 0) else 0
        await asyncio.sleep(0.005)


def test_every_part_of_a_store_is_awaited(path: Path) -> None:
    async def work() -> None:
        async with aio.open(path) as store:
            await store.config.put("limits", {"builds": 3})
            assert await store.config.get("limits") == {"builds": 3} and await store.config.get("none", 5) == 5
            assert await store.config.contains("limits") and await store.config.count() == 1
            rooms = store.collection("rooms")
            await rooms.update({f"{number:03}": number for number in range(600)})
            assert [value async for _, value in rooms.range("010")] == list(range(10, 600))
            assert await rooms.pop("000") == 0 and await rooms.pop("000", 7) == 7
            with pytest.raises(KeyError):
                await rooms.pop("000")
            assert await rooms.setdefault("new", 1) == 1
            await store.registry.put("BOT-1", specializations=["rust"])
            assert [bot.id async for bot in store.registry] == ["BOT-1"]
            await store.chat.append("standup", "user", "hello")
            assert [message.content for message in await store.chat.list()] == ["hello"]
            await store.audit.append("deploy", "BOT-1")
            await store.documents.put("state", "x", [1])
            assert await store.documents.list() == (("state", "x"),)
            point = await store.point("before")
            await store.config.put("limits", {"builds": 0})
            async with store.at(point) as past:
                assert await past.config.get("limits") == {"builds": 3}
            assert [str(change) for change in await store.diff(point)] == ["changed config/limits"]
            plan = await store.plan_restore(point, only=["config"])
            assert plan.total == 1 and (await plan.apply()).total == 1
            await store.undo()
            assert await store.config.get("limits") == {"builds": 0}
            assert (await store.check()).is_sound
        assert store.closed
        other = await aio.open(path)
        assert await other.config.count() == 1
        await other.close()

    run(work())


def test_a_block_is_all_or_nothing_and_a_write_past_it_is_refused(path: Path) -> None:
    async def add(store: aio.Store, key: str) -> None:
        async with store.write() as tx:
            count = await tx.config.get("count", 0)
            await asyncio.sleep(0.001)
            await tx.config.put("count", count + 1)
            await tx.config.put(key, count)

    async def work() -> None:
        async with aio.open(path) as store:
            await asyncio.gather(*(add(store, f"k{number}") for number in range(20)))
            assert await store.config.get("count") == 20
            with pytest.raises(ZeroDivisionError):
                async with store.write() as tx:
                    await tx.config.put("a", 1)
                    1 / 0
            async with store.write() as tx:
                with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
                    await store.config.put("a", 1)
                with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
                    await store.queue.claim("BOT-1")
                await tx.queue.enqueue(1)
            await store.config.put("b", 1)
            assert await store.config.get("a") is None and (await store.queue.counts()).ready == 1

    run(work())


def test_a_cancelled_block_is_taken_back_at_every_moment(path: Path) -> None:
    async def write(store: aio.Store, number: int) -> None:
        async with store.write() as tx:
            await tx.config.put(f"a{number}", number)
            await tx.config.put(f"b{number}", number)

    async def work() -> None:
        async with aio.open(path) as store:
            ended = 0
            for number in range(60):
                task = asyncio.create_task(write(store, number))
                await asyncio.sleep(number / 5000)
                task.cancel()
                try:
                    await task
                    ended += 1
                except asyncio.CancelledError:
                    pass
            # Each may be there or not, but never half of it, and nobody holds the store.
            keys = {key async for key, _ in store.config.items()}
            assert all((f"a{number}" in keys) == (f"b{number}" in keys) for number in range(60))
            await asyncio.wait_for(store.config.put("after", 1), 5)
            assert ended < 60

    run(work())


def test_a_task_wakes_one_waiter_and_its_block_completes_it(opens: Opens) -> None:
    async def work() -> None:
        async with opens() as store:
            waits = asyncio.create_task(store.queue.claim("BOT-1", wait=30))
            await asyncio.sleep(0.1)
            await store.queue.enqueue("build", id="t")
            (claim,) = await waits
            async with claim as task:
                assert task.payload == "build" and task.attempt == 1
                task.result = "built"
            task = await store.queue.get("t")
            assert task is not None and task.result == "built"
            assert await store.queue.claim("BOT-1", wait=0.05) == []
            await store.queue.enqueue("broken", id="u")
            (claim,) = await store.queue.claim("BOT-1")
            with pytest.raises(ZeroDivisionError):
                async with claim:
                    1 / 0
            failed = await store.queue.get("u")
            assert failed is not None and failed.last_error == "ZeroDivisionError: division by zero"

    run(work())


def test_a_wait_that_is_cancelled_at_any_moment_leaves_nothing_claimed(opens: Opens) -> None:
    async def work() -> None:
        async with opens() as store:
            cancelled = 0
            for number in range(60):
                waits = asyncio.create_task(store.queue.claim("BOT-1", wait=30))
                await asyncio.sleep(0.002)
                await store.queue.enqueue(number, id=f"t{number}")
                await asyncio.sleep(0.5 if number % 15 == 14 else number % 10 / 1000)
                waits.cancel()
                try:
                    (claim,) = await waits
                    async with claim:
                        pass
                except asyncio.CancelledError:
                    cancelled += 1
                    # A claim that had begun may still be on its way, and back.
                    await ready_again(store, f"t{number}")
                    await store.queue.cancel(f"t{number}")
            await asyncio.sleep(0.2)
            await without_claims(store)
            assert 0 < cancelled < 60, cancelled

    run(work())


def test_a_claim_without_a_wait_that_is_cancelled_goes_back(opens: Opens) -> None:
    async def work() -> None:
        async with opens() as store:
            for number in range(20):
                await store.queue.enqueue(number)
                claims = asyncio.create_task(store.queue.claim("BOT-1"))
                await asyncio.sleep(0)
                claims.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await claims
                await without_claims(store)

    run(work())


def test_a_task_is_completed_and_the_next_one_claimed_which_goes_back_when_that_is_cancelled(opens: Opens) -> None:
    async def work() -> None:
        async with opens() as store:
            for number in range(3):
                await store.queue.enqueue(number)
            (first,) = await store.queue.claim("BOT-1")
            (second,) = await first.complete_and_claim("done", lease="1h")
            assert second.payload == 1
            running = asyncio.create_task(second.complete_and_claim())
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await without_claims(store)
            assert (await store.queue.counts()).done == 2

    run(work())


def test_a_cancelled_block_of_a_claim_releases_it(opens: Opens) -> None:
    async def hold(store: aio.Store, begun: asyncio.Event) -> None:
        async for claim in store.queue.tasks("BOT-1"):
            async with claim:
                begun.set()
                await asyncio.sleep(60)

    async def work() -> None:
        async with opens() as store:
            await store.queue.enqueue(1, id="t")
            begun = asyncio.Event()
            task = asyncio.create_task(hold(store, begun))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            released = await store.queue.get("t")
            assert released is not None and (released.state, released.attempts) == ("ready", 0)

    run(work())


def test_hundreds_of_waiters_need_no_threads_and_one_gets_the_task(opens: Opens) -> None:
    async def work() -> None:
        async with opens() as store:
            waits = [asyncio.create_task(store.queue.claim(f"BOT-{number}", wait=60)) for number in range(300)]
            await asyncio.sleep(0.5)
            await asyncio.wait_for(store.queue.enqueue(1), 30)
            done, waiting = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1 and len(done.pop().result()) == 1
            again, waiting = await asyncio.wait(waiting, timeout=0.5)
            assert not again
            for wait in waiting:
                wait.cancel()
            assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True))

    run(work())


def test_claims_of_a_transaction_go_on_when_it_has_committed(path: Path) -> None:
    async def work() -> None:
        async with aio.open(path) as store:
            await store.queue.enqueue(1, id="t")
            async with store.write() as tx:
                (claim,) = await tx.queue.claim("BOT-1")
            async with store.write() as tx:
                # Not past this one, and not in its way.
                with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
                    await claim.complete()
                await tx.config.put("a", 1)
            async with claim as task:
                task.result = "done"
            done = await store.queue.get("t")
            assert done is not None and done.result == "done"

    run(work())


def test_claims_that_cannot_become_objects_go_back(opens: Opens) -> None:
    def refuse(text: str) -> object:
        raise RuntimeError("no " + text)

    async def work() -> None:
        async with opens(parse_float=refuse) as store:
            await store.queue.enqueue(1, id="t")
            (claim,) = await store.queue.claim("BOT-1", wait=1)
            await claim.complete()
            waits = asyncio.create_task(store.queue.claim("BOT-1", wait=30))
            await asyncio.sleep(0.1)
            # The answer of a service is read at once. Nobody looks at that of a store in this process.
            with contextlib.suppress(RuntimeError):
                await store.queue.enqueue(1.5, id="odd")
            with pytest.raises(RuntimeError):
                await waits
            await without_claims(store)

    run(work())


def test_a_guard_takes_a_check_that_is_awaited(path: Path) -> None:
    async def healthy() -> bool:
        return False

    async def work() -> None:
        async with aio.open(path) as store:
            await store.config.put("a", 1)
            async with store.guard("deploy 1"):
                await store.config.put("a", 2)
            with pytest.raises(hivekeep.GuardFailed):
                async with store.guard("deploy 2", check=healthy):
                    await store.config.put("a", 3)
            with pytest.raises(ZeroDivisionError):
                async with store.guard("deploy 3", check=lambda: 1 / 0):
                    await store.config.put("a", 4)
            assert await store.config.get("a") == 2

    run(work())


def test_the_twins_have_the_verbs_of_their_originals() -> None:
    for name in set(aio.__all__) - {"open", "JSONMapping", "MutableJSONMapping"}:
        original = {verb for verb in vars(getattr(hivekeep, name)) if not verb.startswith("_")}
        twin = {verb for of in getattr(aio, name).__mro__ for verb in vars(of) if not verb.startswith("_")}
        # Claims and plans hand on the rest. A worker has threads of its own, and so has a scheduler.
        missing = original - twin - {"worker", "scheduler"}
        if not hasattr(getattr(aio, name), "__getattr__"):
            assert not missing, (name, missing)
