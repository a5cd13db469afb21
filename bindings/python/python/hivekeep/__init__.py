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
from hivekeep.mappings import JSON, Codec, JSONMapping, MutableJSONMapping, codec
from hivekeep.stores import Store, Transaction, View, open
from hivekeep.times import Duration, Time

__version__ = _hivekeep.VERSION

__all__ = [
    "Ambiguous",
    "Codec",
    "Conflict",
    "Damaged",
    "Duration",
    "Forked",
    "Full",
    "Gone",
    "HivekeepError",
    "Invalid",
    "Io",
    "JSON",
    "JSONMapping",
    "Locked",
    "Moved",
    "MutableJSONMapping",
    "NewerFormat",
    "NoStore",
    "NotAStore",
    "NotCommitted",
    "NotFound",
    "NotJson",
    "Panicked",
    "Refused",
    "Reopen",
    "Store",
    "Time",
    "Transaction",
    "Uncertain",
    "View",
    "codec",
    "open",
]
