"""JSON comes back as it was put."""

from __future__ import annotations

import collections
import enum
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hivekeep
from hivekeep.times import from_text

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.local
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_every_json_value_reads_back_equal_and_of_the_same_types(store: hivekeep.Store, value: object) -> None:
    with store.write() as tx:
        tx.config["value"] = value
        back = tx.config["value"]
    # repr tells 1 from 1.0 and from True, and 0.0 from -0.0, which are equal.
    assert repr(back) == repr(value)


def len_of(number: int) -> str:
    return f"{number.bit_length()} bits, {number < 0}"


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, -(2**63) - 1, 10**18, 10**400, -(10**400), 10**5000, -(7**6000)], ids=len_of)
def test_an_integer_of_any_length_reads_back(store: hivekeep.Store, number: int) -> None:
    store.config["number"] = number
    assert store.config["number"] == number


@pytest.mark.parametrize("text", ["1.10", "0.1000000000000000055511151231257827", "1E+400", "-0.0", "1E-999", "12"])
def test_a_decimal_keeps_every_digit(path: Path, text: str) -> None:
    with hivekeep.open(path, parse_float=Decimal) as store:
        store.config["number"] = Decimal(text)
        assert str(store.config["number"]) == text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")])
def test_a_number_that_json_does_not_have_is_refused(store: hivekeep.Store, number: object) -> None:
    with pytest.raises(hivekeep.Invalid):
        store.config["number"] = [number]
    assert len(store.config) == 0


def test_subclasses_and_mappings_are_put_as_what_they_are(store: hivekeep.Store) -> None:
    class Colour(enum.IntEnum):
        RED = 3

        def __repr__(self) -> str:
            return "red"

    class Large(int):
        def __repr__(self) -> str:
            return "large"

    value = {"colour": Colour.RED, "large": Large(10**30), "pair": (1, 2), "map": collections.ChainMap({"a": 1})}
    store.config["value"] = value
    assert store.config["value"] == {"colour": 3, "large": 10**30, "pair": [1, 2], "map": {"a": 1}}


@pytest.mark.parametrize("value", [object(), b"bytes", {1: 2}, {"a": {None: 1}}, {1, 2}, 1j], ids=repr)
def test_another_type_is_refused_as_a_wrong_value_and_a_wrong_type(store: hivekeep.Store, value: object) -> None:
    with pytest.raises(hivekeep.NotJson) as raised:
        store.config["value"] = value
    assert isinstance(raised.value, TypeError) and isinstance(raised.value, ValueError)
    assert raised.value.kind == "invalid"


def test_a_value_within_itself_and_half_a_surrogate_pair_are_refused(store: hivekeep.Store) -> None:
    within: list[object] = []
    within.append(within)
    for value in (within, "\ud800", {"\udc00": 1}):
        with pytest.raises(hivekeep.Invalid):
            store.config["value"] = value


def test_a_value_of_128_levels_is_put_and_one_more_is_refused(store: hivekeep.Store) -> None:
    deepest = json.loads("[" * 128 + "]" * 128)
    store.config["value"] = deepest
    assert store.config["value"] == deepest
    with pytest.raises(hivekeep.Invalid):
        store.config["value"] = [deepest]


def test_a_dict_that_changes_while_it_is_read_is_no_harm(store: hivekeep.Store) -> None:
    class Odd(collections.UserDict[str, int]):
        def __iter__(self) -> Iterator[str]:
            around.clear()
            return super().__iter__()

    around: dict[str, object] = {"odd": Odd(a=1), "b": 2, "c": 3}
    store.config["value"] = around
    assert store.config["value"] == {"odd": {"a": 1}, "b": 2, "c": 3}


def test_a_time_that_no_datetime_can_be_becomes_the_nearest_one() -> None:
    assert from_text("0000-01-01T00:00:00+00:00").year == 1
    assert from_text("2026-11-28T15:00:00.000001+00:00").year == 2026


def test_an_integer_of_more_than_100_000_digits_becomes_a_decimal_that_keeps_them(store: hivekeep.Store) -> None:
    text = "9" * 100_001
    store.config["number"] = Decimal(text)
    assert str(store.config["number"]) == text
    store.config["number"] = Decimal(text[:-1])
    assert isinstance(store.config["number"], int)


def test_a_key_that_is_no_unicode_is_in_no_mapping_and_refused(store: hivekeep.Store) -> None:
    assert "\ud800" not in store.config
    for key in ("\ud800", "a\udfff"):
        with pytest.raises(hivekeep.Invalid):
            store.config[key]
        with pytest.raises(hivekeep.Invalid):
            store.config[key] = 1
        with pytest.raises(hivekeep.Invalid):
            store.config.update({key: 1})


def test_texts_and_numbers_that_no_verb_can_take_are_invalid(store: hivekeep.Store) -> None:
    for call in (
        lambda: store.chat.append("a", "user", "\ud800"),
        lambda: store.audit.append("\ud800", "BOT-1"),
        lambda: store.queue.enqueue(1, idempotency_key="\ud800"),
        lambda: store.queue.enqueue(1, max_attempts=-1),
        lambda: store.queue.claim("BOT-1", max_concurrent=-1),
        lambda: store.events(after=-1),
        lambda: store.chat.list(limit=-1),
        lambda: store.chat.get(-1),
    ):
        with pytest.raises(hivekeep.Invalid):
            call()
