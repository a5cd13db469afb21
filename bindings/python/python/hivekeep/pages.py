"""Lists that are read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hivekeep.errors import Io

__all__ = ["PAGE", "Walk", "items", "not_understood"]

PAGE = 256
"""The items of a page."""

_EMPTY_MAX = 1000
"""A list has no more pages without items: each is the end of a search through so many other items."""


class Walk:
    """A walk over pages, which ends although the one who gives the pages never says so."""

    def __init__(self) -> None:
        self._empty = 0

    def go_on(self, count: int, cursor: object, following: object) -> None:
        """Goes on behind a page of ``count`` items, from one cursor to another.

        :raises Io: when the walk would have no end.
        """
        self._empty += not count
        if cursor == following:
            raise not_understood("a page goes on at its own beginning")
        if self._empty > _EMPTY_MAX:
            raise not_understood("pages without items go on and on")


def not_understood(why: str) -> Io:
    """The exception of an answer that no service of this version gives."""
    return Io(f"the service answers as none of this version does; use the package of its version: {why}")


def items(page: Callable[[str | None], dict[str, Any]], name: str = "items") -> Iterator[Any]:
    """The items of all pages, each of which says where the next one begins."""
    cursor, walk = None, Walk()
    while True:
        found = page(cursor)
        yield from found[name]
        following = found["next"]
        if following is None:
            return
        walk.go_on(len(found[name]), cursor, following)
        cursor = following
