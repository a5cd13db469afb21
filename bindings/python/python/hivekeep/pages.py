"""Lists that are read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["PAGE", "items"]

PAGE = 256
"""The items of a page."""


def items(page: Callable[[str | None], dict[str, Any]]) -> Iterator[Any]:
    """The items of all pages, each of which says where the next one begins."""
    cursor, more = None, True
    while more:
        found = page(cursor)
        yield from found["items"]
        cursor = found["next"]
        more = cursor is not None
