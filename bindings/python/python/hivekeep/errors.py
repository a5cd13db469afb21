"""The exceptions of this package.

Every one is a :class:`HivekeepError` with a ``kind``, which says how to react to it, and a ``hint``, which says how to go
on where a program can. Most are built-in exceptions too, so that ``except FileNotFoundError`` and the like find them.
"""

from __future__ import annotations

__all__ = [
    "Ambiguous",
    "Conflict",
    "Damaged",
    "Forbidden",
    "Forked",
    "Full",
    "Gone",
    "HivekeepError",
    "Invalid",
    "Io",
    "Locked",
    "Moved",
    "NewerFormat",
    "NoStore",
    "NotAStore",
    "NotCommitted",
    "NotFound",
    "NotJson",
    "NotSupported",
    "Panicked",
    "Reopen",
    "Uncertain",
]


class HivekeepError(Exception):
    """A failure, with a message that says what to do."""

    kind: str = "io"
    """The reaction that fits, as one word."""

    hint: str | None = None
    """The way out, in words of this package, where there is one."""

    def __init__(self, message: str = "", *, kind: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message} ({self.hint})" if self.hint else message

    def __reduce__(self) -> tuple[object, ...]:
        return (_of_kind, (self.kind, *self.args[:1], self.hint))


class NoStore(HivekeepError, FileNotFoundError):
    """There is no store at that path."""

    kind = "no_store"


class Locked(HivekeepError, TimeoutError):
    """Another process holds the store, or writes for longer than this one waits. Try again later."""

    kind = "locked"


class NotAStore(HivekeepError, ValueError):
    """The file is something else."""

    kind = "not_a_store"


class NewerFormat(HivekeepError):
    """A newer version wrote the file or the record."""

    kind = "newer_format"


class Damaged(HivekeepError):
    """Bytes were found that differ from the written ones. Nothing was returned as data."""

    kind = "damaged"


class Gone(HivekeepError, LookupError):
    """The restore point is no longer kept."""

    kind = "gone"


class NotFound(HivekeepError, LookupError):
    """Nothing matches what was asked for."""

    kind = "not_found"


class Ambiguous(HivekeepError, LookupError):
    """Several things match."""

    kind = "ambiguous"


class Invalid(HivekeepError, ValueError):
    """The input is wrong. The message names what is wrong in it."""

    kind = "invalid"


class NotJson(Invalid, TypeError):
    """A value is of a type that JSON does not have."""


class Forbidden(HivekeepError, PermissionError):
    """The actor may not do that: its key is no longer valid, or it acts as another bot. Use another key."""

    kind = "forbidden"


class NotSupported(HivekeepError, NotImplementedError):
    """The service has no such verb. The message names it, and another way."""

    kind = "not_supported"


class Conflict(HivekeepError):
    """The state does not allow it: a token is void, a record changed meanwhile, a point is held."""

    kind = "conflict"


class NotCommitted(HivekeepError):
    """Nothing was committed. To do it again is safe."""

    kind = "not_committed"


class Uncertain(HivekeepError):
    """The commit failed half-way. Reopen the store and look whether it is there."""

    kind = "uncertain"


class Reopen(HivekeepError):
    """The store is closed, or an earlier failure left it unusable. Open it again."""

    kind = "reopen"


class Forked(HivekeepError, RuntimeError):
    """The store was opened before a fork. Open it again in this process."""

    kind = "forked"


class Moved(HivekeepError):
    """The file is no longer at its path."""

    kind = "moved"


class Full(HivekeepError, OSError):
    """The disk is full."""

    kind = "full"


class Io(HivekeepError, OSError):
    """The operating system refused."""

    kind = "io"


class Panicked(HivekeepError, RuntimeError):
    """A fault in this package itself. The transaction was taken back."""

    kind = "panicked"


_CLASSES: dict[str, type[HivekeepError]] = {
    of.kind: of
    for of in (
        NoStore,
        Locked,
        NotAStore,
        NewerFormat,
        Damaged,
        Gone,
        NotFound,
        Ambiguous,
        Invalid,
        Conflict,
        Forbidden,
        NotSupported,
        NotCommitted,
        Uncertain,
        Reopen,
        Forked,
        Moved,
        Full,
        Io,
        Panicked,
    )
}


def _of_kind(kind: str, message: str, hint: str | None = None) -> HivekeepError:
    """The exception of a kind; that of a kind which only a newer version knows is a plain one."""
    if kind == "not_json":
        return NotJson(message, hint=hint)
    return _CLASSES.get(kind, HivekeepError)(message, kind=kind, hint=hint)
