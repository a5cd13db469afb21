"""Config and collections are mappings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import pytest

import hivekeep


def test_config_and_collections_are_mutable_mappings(store: hivekeep.Store) -> None:
    for mapping in (store.config, store.collection("rooms")):
        assert isinstance(mapping, MutableMapping)
        mapping["b"], mapping["a"] = {"port": 1}, None
        assert mapping == {"a": None, "b": {"port": 1}}
        assert list(mapping) == list(mapping.keys()) == ["a", "b"]
        assert list(mapping.values()) == [None, {"port": 1}]
        assert len(mapping) == 2 and "a" in mapping and "c" not in mapping and 7 not in mapping
        assert mapping.get("a", 5) is None and mapping.get("c", 5) == 5
        del mapping["a"]
        with pytest.raises(KeyError, match="a"):
            mapping["a"]
        with pytest.raises(KeyError, match="a"):
            del mapping["a"]
        assert mapping.pop("b") == {"port": 1} and mapping.pop("b", 3) == 3
        with pytest.raises(KeyError):
            mapping.pop("b")
        assert mapping.setdefault("c", [1]) == [1] and mapping.setdefault("c", [2]) == [1]
        mapping.clear()
        assert dict(mapping) == {} and not mapping


def test_an_update_is_all_or_nothing(store: hivekeep.Store) -> None:
    store.config.update({"a": 1}, b=2)
    with pytest.raises(hivekeep.Invalid):
        store.config.update({"c": 3, "": 4})
    with pytest.raises(hivekeep.NotJson):
        store.config.update({"d": 3, "e": object()})
    assert dict(store.config) == {"a": 1, "b": 2}


def test_a_range_has_its_start_and_not_its_end_over_many_pages(store: hivekeep.Store) -> None:
    rooms = store.collection("rooms")
    rooms.update({f"{number:04}": number for number in range(1000)})
    assert [value for _, value in rooms.range("0010", "0990")] == list(range(10, 990))
    assert [key for key, _ in rooms.range(end="0002")] == ["0000", "0001"]
    assert list(rooms.range("0500", "0500")) == [] == list(rooms.range("9", "1"))
    store.config.update({f"{number:04}": number for number in range(600)})
    assert [value for _, value in store.config.range("0100")] == list(range(100, 600))


@pytest.mark.local
def test_a_walk_sees_the_state_in_which_it_began(store: hivekeep.Store) -> None:
    rooms = store.collection("rooms")
    rooms.update({f"{number:04}": number for number in range(600)})
    seen = 0
    for _ in rooms:
        if seen == 0:
            rooms.clear()
            rooms["new"] = 1
        seen += 1
    assert seen == 600 and list(rooms) == ["new"]


@pytest.mark.local
def test_long_values_are_read_in_small_pages(store: hivekeep.Store) -> None:
    rooms = store.collection("rooms")
    rooms.update({str(number): "x" * 600_000 for number in range(5)})
    page, more = rooms._raw.page(None, False, None, 256)
    assert [key for key, _ in page] == ["0", "1"] and more
    assert len(list(rooms.items())) == 5


def test_a_mapping_keeps_its_store_open(path: Path) -> None:
    config = hivekeep.open(path).config
    config["a"] = 1
    assert config["a"] == 1


def test_a_codec_turns_values_into_json_and_back(store: hivekeep.Store) -> None:
    @dataclasses.dataclass
    class Sensor:
        celsius: float
        name: str = ""

    sensors = store.collection("sensors", codec=hivekeep.codec(Sensor))
    sensors["roof"] = Sensor(21.5)
    sensors.update({"attic": Sensor(30.0, "old")})
    assert sensors["roof"] == Sensor(21.5)
    assert dict(sensors) == {"roof": Sensor(21.5), "attic": Sensor(30.0, "old")}
    assert sensors.pop("roof") == Sensor(21.5)
    assert store.collection("sensors")["attic"] == {"celsius": 30.0, "name": "old"}
    store.collection("sensors")["cellar"] = {"celsius": 12.0, "unknown": True}
    assert sensors["cellar"] == Sensor(12.0)
    with pytest.raises(TypeError, match="encode and decode"):
        hivekeep.codec(int)


@pytest.mark.local
def test_a_view_is_a_mapping_that_cannot_be_changed(store: hivekeep.Store) -> None:
    store.config["a"] = 1
    with store.view() as view:
        store.config["a"] = 2
        assert isinstance(view.config, Mapping) and not isinstance(view.config, MutableMapping)
        assert dict(view.config) == {"a": 1} and dict(view.collection("none")) == {}
    with pytest.raises(hivekeep.Conflict, match="closed"):
        view.config["a"]


@pytest.mark.parametrize("name", ["", "queue", "a b", "x" * 65])
def test_a_name_that_no_collection_may_have_is_refused(store: hivekeep.Store, name: str) -> None:
    with pytest.raises(hivekeep.Invalid):
        store.collection(name)["a"] = 1


@pytest.mark.local
def test_a_value_over_the_limit_is_refused(store: hivekeep.Store) -> None:
    with pytest.raises(hivekeep.Invalid, match="max=67108864"):
        store.config["large"] = "x" * (64 << 20)
    assert "large" not in store.config
