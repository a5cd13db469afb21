"""Warnings and notes of a store, for ``logging.getLogger("hivekeep")``."""

from __future__ import annotations

import logging
import os
import threading

from hivekeep import _hivekeep

__all__: list[str] = []

_lock = threading.Lock()
# A forked child does not have the thread of its parent.
_process: int | None = None


def start() -> None:
    """Starts the thread that logs, once in each process."""
    global _process
    with _lock:
        if _process != os.getpid():
            _process = os.getpid()
            threading.Thread(target=_log, args=(_hivekeep.Logs(),), name="hivekeep-logs", daemon=True).start()


def _log(lines: _hivekeep.Logs) -> None:
    while (line := lines.next()) is not None:
        level, target, text = line
        # A module of the crate becomes a child of the logger.
        logging.getLogger(target.replace("::", ".")).log(level, "%s", text)


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
