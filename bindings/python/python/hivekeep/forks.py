"""Forks of the process. A store belongs to the process that opened it: in a child, every call raises ``Forked``.

The locks of a file belong to its descriptors, and a child has copies of these. Without more ado a child that outlives
its parent would keep the store locked. So the child lays ``/dev/null`` over them.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hivekeep.stores import Store

__all__: list[str] = []

_open: weakref.WeakSet[Store] = weakref.WeakSet()
_DESCRIPTORS = "/proc/self/fd"


def watch(store: Store) -> None:
    """From now on, a fork takes the files of the store from the child."""
    _open.add(store)


def _in_child() -> None:
    paths = tuple(os.path.realpath(store.path) for store in _open)
    _open.clear()
    if not paths or not os.path.isdir(_DESCRIPTORS):
        return
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for name in os.listdir(_DESCRIPTORS):
            _take_away(int(name), paths, nothing)
    finally:
        os.close(nothing)


def _take_away(descriptor: int, paths: tuple[str, ...], nothing: int) -> None:
    try:
        file = os.readlink(f"{_DESCRIPTORS}/{descriptor}")
    except OSError:
        # The descriptor of the listing itself is closed by now.
        return
    # Other files of a store have its name and an ending.
    if file.startswith(paths):
        os.dup2(nothing, descriptor, inheritable=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
