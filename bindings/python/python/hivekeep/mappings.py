"""Config and collections as mappings of text to JSON."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast, overload

from hivekeep import _hivekeep
from hivekeep.errors import Invalid

__all__ = ["Codec", "JSON", "JSONMapping", "MutableJSONMapping", "codec"]

JSON: TypeAlias = Any
"""``None``, ``bool``, ``int``, ``float``, ``Decimal``, ``str``, and lists and dicts of them."""

T = TypeVar("T")
D = TypeVar("D")
V_co = TypeVar("V_co", covariant=True)

_ABSENT = object()
_PAGE = 256


class Codec(Protocol[T]):
    """Turns values into JSON and back."""

    def encode(self, value: T, /) -> JSON:
        """The JSON of a value."""

    def decode(self, value: JSON, /) -> T:
        """The value of a JSON."""


class _Plain:
    """JSON as it is."""

    def encode(self, value: JSON, /) -> JSON:
        return value

    def decode(self, value: JSON, /) -> JSON:
        return value


class _Dataclass(Generic[T]):
    def __init__(self, of: type[T]) -> None:
        self._of = of
        self._names = [field.name for field in dataclasses.fields(cast(Any, of)) if field.init]

    def encode(self, value: T, /) -> JSON:
        return dataclasses.asdict(cast(Any, value))

    def decode(self, value: JSON, /) -> T:
        return self._of(**{name: value[name] for name in self._names if name in value})


class _Pydantic(Generic[T]):
    def __init__(self, of: Any) -> None:
        self._of = of

    def encode(self, value: T, /) -> JSON:
        return cast(Any, value).model_dump(mode="json")

    def decode(self, value: JSON, /) -> T:
        return cast(T, self._of.model_validate(value))


class _Msgspec(Generic[T]):
    def __init__(self, of: type[T]) -> None:
        self._of, self._msgspec = of, importlib.import_module("msgspec")

    def encode(self, value: T, /) -> JSON:
        return self._msgspec.to_builtins(value)

    def decode(self, value: JSON, /) -> T:
        return cast(T, self._msgspec.convert(value, self._of))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def codec(of: type[T]) -> Codec[T]:
    """The codec of a dataclass, a pydantic model or a msgspec struct.

    A dataclass is read field by field and takes plain JSON; fields that are classes of their own need another codec.
    """
    if hasattr(of, "model_validate"):
        return _Pydantic(of)
    if hasattr(of, "__struct_fields__"):
        return _Msgspec(of)
    if dataclasses.is_dataclass(of):
        return _Dataclass(of)
    raise TypeError(f"pass an object with encode and decode: {of!r} is no dataclass, pydantic model or msgspec struct")


class JSONMapping(Mapping[str, V_co]):
    """Config or a collection, to read: keys are texts, in their order, and values JSON.

    ``keys()``, ``values()`` and ``items()`` are lazy. A walk sees the state of the moment in which it began; in a
    transaction it sees that transaction.
    """

    def __init__(self, owner: object, raw: _hivekeep.Mapping, codec: Codec[Any] | None = None) -> None:
        # A store that nobody refers to is closed, so a mapping refers to it.
        self._owner = owner
        self._raw = raw
        self._codec: Codec[Any] = codec or _Plain()

    def __getitem__(self, key: str, /) -> V_co:
        value = self._raw.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return cast(V_co, self._codec.decode(value))

    def __contains__(self, key: object, /) -> bool:
        if not isinstance(key, str):
            return False
        try:
            return self._raw.contains(key)
        except Invalid:
            if _is_unicode(key):
                raise
            return False

    def __len__(self) -> int:
        return self._raw.count()

    def __iter__(self) -> Iterator[str]:
        for key, _ in self._walk(None, None):
            yield key

    def items(self) -> ItemsView[str, V_co]:
        """Every key with its value, in the order of keys, read page by page."""
        return _Items(self)

    def values(self) -> ValuesView[V_co]:
        """Every value, in the order of keys, read page by page."""
        return _Values(self)

    def range(self, start: str | None = None, end: str | None = None) -> Iterator[tuple[str, V_co]]:
        """The keys from ``start`` to before ``end`` with their values, in the order of keys, read page by page."""
        for key, value in self._walk(start, end):
            yield key, cast(V_co, self._codec.decode(value))

    def _walk(self, start: str | None, end: str | None) -> Iterator[tuple[str, JSON]]:
        raw, behind, more = self._raw.at_once(), False, True
        while more:
            page, more = raw.page(start, behind, end, _PAGE)
            yield from page
            start, behind = (page[-1][0], True) if page else (start, behind)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} of {len(self)} keys>"


class MutableJSONMapping(JSONMapping[T], MutableMapping[str, T]):
    """Config or a collection, to read and to change. Every change is durable when its call returns.

    ``update``, ``setdefault``, ``pop`` and ``clear`` are one transaction each.
    """

    def __setitem__(self, key: str, value: T, /) -> None:
        self._raw.put(key, self._codec.encode(value))

    def __delitem__(self, key: str, /) -> None:
        if not self._raw.remove(key):
            raise KeyError(key)

    @overload
    def pop(self, key: str, /) -> T: ...
    @overload
    def pop(self, key: str, /, default: T) -> T: ...
    @overload
    def pop(self, key: str, /, default: D) -> T | D: ...
    def pop(self, key: str, /, default: object = _ABSENT) -> object:
        """Removes a key, and gives its value, or the default."""
        value = self._raw.take(key, _ABSENT)
        if value is not _ABSENT:
            return self._codec.decode(value)
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def setdefault(self, key: str, default: Any = None, /) -> T:
        """The value of a key, which is set first if it is not there."""
        new = self._codec.encode(default)
        return cast(T, self._codec.decode(self._raw.put_new(key, new)))

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Sets many keys in one transaction: all of them, or none."""
        together = dict(other, **values)
        self._raw.put_all({key: self._codec.encode(value) for key, value in together.items()})

    def clear(self) -> None:
        """Removes every key in one transaction."""
        self._raw.clear()


class _Items(ItemsView[str, V_co]):
    """A walk that reads each value with its key."""

    _mapping: JSONMapping[V_co]

    def __iter__(self) -> Iterator[tuple[str, V_co]]:
        return self._mapping.range()


class _Values(ValuesView[V_co]):
    _mapping: JSONMapping[V_co]

    def __iter__(self) -> Iterator[V_co]:
        for _, value in self._mapping.range():
            yield value


