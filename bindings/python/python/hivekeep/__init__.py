"""Hivekeep: an embedded state store for fleets of bots.

One file holds a fleet's registry, task queue, chat, configuration, documents and audit trail. A commit is on the disk
before its caller goes on, and every earlier state that has a restore point can be read, compared and restored::

    import hivekeep

    with hivekeep.open("fleet.redb") as store:
        store.config["limits"] = {"builds": 3}
"""

from __future__ import annotations

from hivekeep import _hivekeep
from hivekeep.errors import (
    Ambiguous,
    Conflict,
    Damaged,
    Forked,
    Full,
    Gone,
    HivekeepError,
    Invalid,
    Io,
    Locked,
    Moved,
    NewerFormat,
    NoStore,
    NotAStore,
    NotCommitted,
    NotFound,
    NotJson,
    Panicked,
    Refused,
    Reopen,
    Uncertain,
)
from hivekeep.fleets import (
    Audit,
    AuditView,
    Chat,
    ChatView,
    Documents,
    DocumentsView,
    Registry,
    RegistryView,
)
from hivekeep.mappings import JSON, Codec, JSONMapping, MutableJSONMapping, codec
from hivekeep.queues import Claim, NewTask, Queue, QueueView, TaskFailed
from hivekeep.records import (
    Assignment,
    AuditEntry,
    Bot,
    Enqueued,
    Event,
    Holder,
    Level,
    Message,
    Priority,
    Task,
    TaskCounts,
    TaskState,
    Why,
)
from hivekeep.stores import Store, Transaction, View, open
from hivekeep.times import Duration, Time
from hivekeep.workers import Handler, Worker, WorkerCounts

__version__ = _hivekeep.VERSION

__all__ = [
    "Ambiguous",
    "Assignment",
    "Audit",
    "AuditEntry",
    "AuditView",
    "Bot",
    "Chat",
    "ChatView",
    "Claim",
    "Codec",
    "Conflict",
    "Damaged",
    "Documents",
    "DocumentsView",
    "Duration",
    "Enqueued",
    "Event",
    "Forked",
    "Full",
    "Gone",
    "Handler",
    "HivekeepError",
    "Holder",
    "Invalid",
    "Io",
    "JSON",
    "JSONMapping",
    "Level",
    "Locked",
    "Message",
    "Moved",
    "MutableJSONMapping",
    "NewTask",
    "NewerFormat",
    "NoStore",
    "NotAStore",
    "NotCommitted",
    "NotFound",
    "NotJson",
    "Panicked",
    "Priority",
    "Queue",
    "QueueView",
    "Refused",
    "Registry",
    "RegistryView",
    "Reopen",
    "Store",
    "Task",
    "TaskCounts",
    "TaskFailed",
    "TaskState",
    "Time",
    "Transaction",
    "Uncertain",
    "View",
    "Why",
    "Worker",
    "WorkerCounts",
    "codec",
    "open",
]
