"""Times and lengths of time, as this package takes and gives them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TypeAlias

from hivekeep import _hivekeep
from hivekeep.errors import Invalid

__all__ = ["Duration", "Time"]

Duration: TypeAlias = timedelta | float | str
"""A length of time: a timedelta, seconds, or a text such as ``"10m"`` and ``"1d 12h"``."""

Time: TypeAlias = datetime | str
"""A time: an aware datetime, or a text with its offset from UTC such as ``"2026-01-02T03:04:05Z"``."""

_LONGEST_MS = (1 << 63) - 1


def to_ms(length: Duration) -> int:
    """The milliseconds of a length of time."""
    if isinstance(length, str):
        return _hivekeep.duration_ms(length)
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    # A NaN compares with nothing.
    if not seconds >= 0:
        raise Invalid(f"a length of time must be at least 0: seconds={seconds}")
    return int(min(seconds * 1000, _LONGEST_MS))


def to_text(time: Time) -> str:
    """A time with its offset from UTC."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None or time.utcoffset() is None:
        raise Invalid(f"a time must say its time zone, as datetime.now(timezone.utc) does: time={time.isoformat()}")
    return time.isoformat()


def from_text(text: str) -> datetime:
    """An aware datetime. A time that no datetime can be, as of the year 0, becomes the nearest one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        nearest = datetime.min if text.startswith(("-", "0000")) else datetime.max
        return nearest.replace(tzinfo=timezone.utc)
