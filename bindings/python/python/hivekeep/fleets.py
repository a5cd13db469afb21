"""Bots, messages, the audit trail and documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hivekeep import _hivekeep
from hivekeep.errors import NotFound
from hivekeep.mappings import JSON
from hivekeep.pages import PAGE, items
from hivekeep.records import Assignment, AuditEntry, Bot, Event, Level, Message
from hivekeep.times import Time, from_text, to_text

__all__ = ["Audit", "AuditView", "Chat", "ChatView", "Documents", "DocumentsView", "Registry", "RegistryView"]

_ABSENT = object()


class RegistryView:
    """The bots of the fleet, to read."""

    def __init__(self, owner: object, raw: _hivekeep.Registry) -> None:
        self._owner, self._raw = owner, raw

    def get(self, id: str) -> Bot | None:
        """A bot; none if it is not registered."""
        fields = self._raw.get(id)
        return None if fields is None else Bot._from_json(fields)

    def __getitem__(self, id: str) -> Bot:
        bot = self.get(id)
        if bot is None:
            raise KeyError(id)
        return bot

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._raw.get(id) is not None

    def __len__(self) -> int:
        return self._raw.count()

    def __iter__(self) -> Iterator[Bot]:
        """Every bot, by its id, read page by page."""
        raw = self._raw.at_once()
        yield from map(Bot._from_json, items(lambda cursor: raw.page(cursor, PAGE)))

    def assignments(self, bot: str | None = None) -> Iterator[Assignment]:
        """The tasks that are assigned to bots or claimed by them, of all bots or of one."""
        raw = self._raw.at_once()
        yield from map(Assignment._from_json, items(lambda cursor: raw.assignments(bot, cursor, PAGE)))


class Registry(RegistryView):
    """The bots of the fleet."""

    def put(
        self,
        id: str,
        *,
        kind: str | None = None,
        status: str | None = None,
        endpoint: str | None = None,
        port: int | None = None,
        pid: int | None = None,
        repo: str | None = None,
        specializations: Iterable[str] = (),
        max_concurrent: int | None = None,
        registered_at: Time | None = None,
        attributes: Mapping[str, JSON] | None = None,
    ) -> Bot:
        """Registers a bot, in place of any with its id.

        :param specializations: its capabilities: it may claim tasks that need them.
        :param max_concurrent: how many tasks it may hold; three unless set.
        :param registered_at: the earlier time, or now, unless set.
        :param attributes: fields of your own.
        """
        fields: dict[str, Any] = {
            "kind": kind,
            "status": status,
            "endpoint": endpoint,
            "port": port,
            "pid": pid,
            "repo": repo,
            "specializations": sorted(specializations),
            "max_concurrent": max_concurrent,
            "registered_at": None if registered_at is None else to_text(registered_at),
            "attributes": attributes,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return Bot._from_json(self._raw.put(id, known))

    def remove(self, id: str) -> None:
        """Removes a bot.

        :raises NotFound: when it is not registered.
        """
        if not self._raw.remove(id):
            raise NotFound(f"no such bot is registered: bot={id}")

    def heartbeat(self, id: str) -> datetime:
        """Notes that a bot was heard of now. Heartbeats are written together, within a second."""
        return from_text(self._raw.heartbeat(id))


class ChatView:
    """The messages of the fleet, to read."""

    def __init__(self, owner: object, raw: _hivekeep.Chat) -> None:
        self._owner, self._raw = owner, raw

    def get(self, sequence: int) -> Message | None:
        """A message by its number."""
        fields = self._raw.get(sequence)
        return None if fields is None else Message._from_json(fields)

    def list(
        self,
        *,
        bot: str | None = None,
        conversation: str | None = None,
        oldest: bool = False,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Message]:
        """Messages of a bot, of a conversation, or of all, the newest first unless ``oldest``.

        :param after: only messages with a number above this one.
        :param before: only messages with a number below this one.
        """
        page = _numbered(oldest, after, before, limit)
        return [Message._from_json(fields) for fields in self._raw.page(bot, conversation, page)]


class Chat(ChatView):
    """The messages of the fleet."""

    def append(
        self,
        conversation: str,
        role: str,
        content: str,
        *,
        bot_id: str | None = None,
        timestamp: Time | None = None,
        attributes: Mapping[str, JSON] | None = None,
    ) -> int:
        """Appends a message; gives its number.

        :param role: the speaker: ``"user"``, ``"assistant"``, ``"system"`` or another word.
        :param bot_id: the bot that it is from or for.
        :param timestamp: now unless set.
        """
        return self._raw.append(
            {
                "conversation": conversation,
                "role": role,
                "content": content,
                "bot_id": bot_id,
                "timestamp": None if timestamp is None else to_text(timestamp),
                "attributes": attributes,
            }
        )

    def remove(self, sequence: int) -> bool:
        """Removes a message; says whether it was there."""
        return self._raw.remove(sequence)


class AuditView:
    """The audit trail, to read. It is the same at every restore point, and no restore changes it."""

    def __init__(self, owner: object, raw: _hivekeep.Audit) -> None:
        self._owner, self._raw = owner, raw

    def list(
        self, *, oldest: bool = False, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[AuditEntry]:
        """Entries, the newest first unless ``oldest``."""
        page = _numbered(oldest, after, before, limit)
        return [AuditEntry._from_json(fields) for fields in self._raw.page(page)]


class Audit(AuditView):
    """The audit trail."""

    def append(
        self,
        action: str,
        actor: str,
        *,
        target: str | None = None,
        level: Level | None = None,
        result: str | None = None,
        details: JSON = None,
        timestamp: Time | None = None,
    ) -> int:
        """Appends an entry; gives its number."""
        return self._raw.append(
            {
                "action": action,
                "actor": actor,
                "target": target,
                "level": level,
                "result": result,
                "details": details,
                "timestamp": None if timestamp is None else to_text(timestamp),
            }
        )


class DocumentsView:
    """Documents, to read: JSON that a program hands over as a whole, by kind and source."""

    def __init__(self, owner: object, raw: _hivekeep.Documents) -> None:
        self._owner, self._raw = owner, raw

    def get(self, kind: str, source: str, default: JSON = None) -> JSON:
        """A document, or the default."""
        return self._raw.get(kind, source, default)

    def __getitem__(self, id: tuple[str, str]) -> JSON:
        document = self._raw.get(*id, _ABSENT)
        if document is _ABSENT:
            raise KeyError(id)
        return document

    def __contains__(self, id: object) -> bool:
        return id in self._list()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Kind and source of every document."""
        return iter(self._list())

    def __len__(self) -> int:
        return len(self._list())

    def _list(self) -> list[tuple[str, str]]:
        return [(kind, source) for kind, source in self._raw.list()]


class Documents(DocumentsView):
    """Documents. Only changed elements of a document are stored again."""

    def put(self, kind: str, source: str, document: JSON) -> None:
        """Sets a document."""
        self._raw.put(kind, source, document)

    def __setitem__(self, id: tuple[str, str], document: JSON) -> None:
        self.put(*id, document)

    def remove(self, kind: str, source: str) -> bool:
        """Removes a document; says whether it was there."""
        return self._raw.remove(kind, source)


def events(
    raw: _hivekeep.Audit, oldest: bool, after: int | None, before: int | None, limit: int
) -> list[Event]:
    """Events of a store."""
    return [Event._from_json(fields) for fields in raw.events(_numbered(oldest, after, before, limit))]


def _numbered(oldest: bool, after: int | None, before: int | None, limit: int) -> dict[str, Any]:
    return {"oldest": oldest, "after": after, "before": before, "limit": limit}
