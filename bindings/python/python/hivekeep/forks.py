"""Forks of the process. A store belongs to the process that opened it: in a child, every call raises ``Forked``.

The locks of a file belong to its descriptors, and a child has copies of these. Without more ado a child that outlives
its parent would keep the store locked. So the child lays ``/dev/null`` over them.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hivekeep.stores import Store

__all__: list[str] = []

_open: weakref.WeakSet[Store] = weakref.WeakSet()
_DESCRIPTORS = "/proc/self/fd"
# The files that a store has open: itself and those beside it. A program may have others with such a beginning.
_ENDINGS = ("", ".sessions", ".reserve", ".check", ".checked")


def watch(store: Store) -> None:
    """From now on, a fork takes the files of the store from the child."""
    _open.add(store)


def _in_child() -> None:
    paths = [path for store in _open for path in _files(os.path.realpath(store.path))]
    _open.clear()
    # A file may have been opened under another name than it has now, so that files are known by their numbers.
    files = {file for file in map(_number, paths) if file is not None}
    if not files or not os.path.isdir(_DESCRIPTORS):
        return
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for name in os.listdir(_DESCRIPTORS):
            # The descriptor of the listing itself is closed by now.
            if _number(int(name)) in files:
                os.dup2(nothing, int(name), inheritable=False)
    finally:
        os.close(nothing)


def _files(path: str) -> list[str]:
    """The store, and the files beside it. Those of a log have numbers."""
    files = [path + ending for ending in _ENDINGS]
    folder, name = os.path.split(path)
    with contextlib.suppress(OSError):
        files += [os.path.join(folder, each) for each in os.listdir(folder) if each.startswith(name + ".wal.")]
    return files


def _number(file: str | int) -> tuple[int, int] | None:
    """The device and the number of a file, by its path or descriptor; none when there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
