"""Bots, messages, the audit trail, documents, events."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

import hivekeep


def test_bots_are_registered_heard_of_and_removed(store: hivekeep.Store) -> None:
    bots = store.registry
    bot = bots.put("BOT-1", kind="worker", port=8001, specializations={"rust", "gpu"}, attributes={"team": 3})
    assert (bot.kind, bot.port, bot.specializations, bot.attributes) == ("worker", 8001, {"rust", "gpu"}, {"team": 3})
    assert bot.registered_at is not None and bot.last_heartbeat is None
    at = bots.heartbeat("BOT-1")
    assert bots["BOT-1"].last_heartbeat == at and at.tzinfo is not None
    assert len(bots) == 1 and "BOT-1" in bots and [bot.id for bot in bots] == ["BOT-1"]
    store.queue.enqueue(1, id="t", assigned_to="BOT-1")
    assert [(each.task, each.hold) for each in bots.assignments("BOT-1")] == [("t", "assigned")]
    bots.remove("BOT-1")
    assert bots.get("BOT-1") is None
    for call in (bots.remove, bots.heartbeat):
        with pytest.raises(hivekeep.NotFound):
            call("BOT-1")
    with pytest.raises(hivekeep.Invalid):
        bots.put("BOT-1", port=99999)


@pytest.mark.local
def test_many_bots_are_walked_page_by_page(store: hivekeep.Store) -> None:
    with store.write() as tx:
        for number in range(600):
            tx.registry.put(f"BOT-{number:03}")
        tx.registry.heartbeat("BOT-000")
    assert [bot.id for bot in store.registry] == [f"BOT-{number:03}" for number in range(600)]


def test_messages_are_listed_by_bot_and_conversation(store: hivekeep.Store) -> None:
    chat = store.chat
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    first = chat.append("standup", "user", "hello", bot_id="BOT-1", timestamp=when, attributes={"n": 1})
    second = chat.append("standup", "assistant", "hi")
    third = chat.append("night", "user", "good night", bot_id="BOT-1")
    assert first < second < third
    message = chat.get(first)
    assert message is not None and message.timestamp == when and message.attributes == {"n": 1}
    assert [each.sequence for each in chat.list()] == [third, second, first]
    assert [each.sequence for each in chat.list(bot="BOT-1", oldest=True)] == [first, third]
    assert [each.content for each in chat.list(conversation="standup", limit=1)] == ["hi"]
    assert [each.sequence for each in chat.list(oldest=True, after=first)] == [second, third]
    assert [each.sequence for each in chat.list(before=third)] == [second, first]
    assert chat.get(10**6) is None


@pytest.mark.local
def test_a_message_is_removed(store: hivekeep.Store) -> None:
    number = store.chat.append("standup", "user", "hello")
    assert store.chat.remove(number) and not store.chat.remove(number) and store.chat.get(number) is None


def test_the_audit_trail_is_appended_to(store: hivekeep.Store) -> None:
    number = store.audit.append("deploy", "BOT-1", target="prod", level="warning", details={"build": 17}, result="ok")
    (entry,) = store.audit.list(limit=1)
    assert (entry.sequence, entry.action, entry.actor, entry.level) == (number, "deploy", "BOT-1", "warning")
    assert entry.details == {"build": 17} and entry.timestamp.tzinfo is not None
    with pytest.raises(hivekeep.Invalid):
        store.audit.append("deploy", "BOT-1", level="loud")  # type: ignore[arg-type]


@pytest.mark.local
def test_documents_come_back_as_they_were(store: hivekeep.Store) -> None:
    documents = store.documents
    documents["state", "BOT-1"] = {"z": [1, 2.5, None], "a": 10**30}
    assert documents["state", "BOT-1"] == {"z": [1, 2.5, None], "a": 10**30}
    assert list(documents["state", "BOT-1"]) == ["z", "a"]
    assert list(documents) == [("state", "BOT-1")] and ("state", "BOT-1") in documents and len(documents) == 1
    assert documents.get("state", "BOT-2", 5) == 5
    with pytest.raises(KeyError):
        documents["state", "BOT-2"]
    assert documents.remove("state", "BOT-1") and not documents.remove("state", "BOT-1")


@pytest.mark.local
def test_views_have_every_part_and_change_none(store: hivekeep.Store) -> None:
    store.registry.put("BOT-1")
    store.queue.enqueue(1, id="t")
    store.chat.append("standup", "user", "hello")
    store.documents["state", "x"] = [1]
    with store.view() as view:
        store.queue.cancel("t")
        assert view.queue["t"].state == "ready" and "BOT-1" in view.registry
        assert [message.content for message in view.chat.list()] == ["hello"]
        assert view.documents["state", "x"] == [1] and view.audit.list() == store.audit.list()
        for part in (view.queue, view.registry, view.chat, view.documents, view.audit):
            assert not any(hasattr(part, verb) for verb in ("put", "append", "enqueue", "claim", "remove"))


def test_events_tell_of_the_sessions_of_the_store(store: hivekeep.Store) -> None:
    events = store.events(oldest=True)
    assert all(event.timestamp.tzinfo is not None for event in events)
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
