"""Opening, closing, errors."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hivekeep
from hivekeep import aio, errors


pytestmark = pytest.mark.local


def test_a_store_is_closed_at_the_end_of_its_block_and_keeps_everything(path: Path) -> None:
    with hivekeep.open(path) as store:
        store.config["a"] = 1
        assert not store.closed and store.path == path
    assert store.closed
    store.close()
    with pytest.raises(hivekeep.Reopen):
        store.config["a"]
    with hivekeep.open(str(path), create=False) as store:
        assert store.config["a"] == 1


def test_a_store_stays_where_it_is_when_the_program_goes_to_another_folder(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with hivekeep.open(path.name) as store:
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert store.path == path
        with pickle.loads(pickle.dumps(store)) as other:
            other.config["a"] = 1
        assert store.config["a"] == 1


def test_a_store_that_is_not_there_is_a_file_that_is_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        hivekeep.open(path, create=False)
    error = raised.value
    assert isinstance(error, hivekeep.NoStore) and error.kind == "no_store"
    assert error.hint is not None and "create=True" in error.hint and error.hint in str(error)


def test_a_file_that_is_something_else_is_no_store(path: Path) -> None:
    path.write_text("hello" * 1000)
    with pytest.raises(hivekeep.NotAStore):
        hivekeep.open(path)


def test_a_store_that_is_held_alone_is_locked_for_others(path: Path) -> None:
    with hivekeep.open(path, exclusive=True):
        with pytest.raises(TimeoutError) as raised:
            hivekeep.open(path, lock_timeout=0)
        assert isinstance(raised.value, hivekeep.Locked)


def test_a_store_to_read_changes_nothing(path: Path) -> None:
    with hivekeep.open(path) as store, hivekeep.open(path, read_only=True) as reader:
        store.config["a"] = 1
        assert reader.config["a"] == 1
        with pytest.raises(hivekeep.HivekeepError):
            reader.config["a"] = 2
        assert store.config["a"] == 1


def test_every_exception_has_its_kind_and_can_be_sent_to_another_process() -> None:
    classes = {getattr(hivekeep, name) for name in errors.__all__ if name != "HivekeepError"}
    assert len({of.kind for of in classes - {hivekeep.NotJson}}) == len(classes) - 1
    for of in classes:
        error = of("went wrong", hint="do better")
        assert isinstance(error, hivekeep.HivekeepError)
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.kind, copy.hint, str(copy)) == (of.kind, "do better", "went wrong (do better)")
    newer = errors._of_kind("unheard_of", "went wrong")
    assert type(newer) is hivekeep.HivekeepError and newer.kind == "unheard_of"


def test_the_classes_cover_every_kind_of_the_crate() -> None:
    root = Path(__file__).parents[3] / "src" / "error.rs"
    words = {line.split('"')[1] for line in root.read_text().splitlines() if "Self::" in line and '=> "' in line}
    assert len(words) > 10 and words <= set(errors._CLASSES)


def test_the_version_is_that_of_the_crate() -> None:
    root = Path(__file__).parents[3] / "Cargo.toml"
    version = next(line for line in root.read_text().splitlines() if line.startswith("version"))
    assert version == f'version = "{hivekeep.__version__}"'


def test_a_store_that_nobody_closes_is_closed_with_its_program(path: Path) -> None:
    lines = f"import hivekeep; store = hivekeep.open({str(path)!r}); store.config['a'] = 1; keep = store.config"
    subprocess.run([sys.executable, "-c", lines], check=True)
    # A session that was not closed would be found dead, and its file of sessions would still name it.
    with hivekeep.open(path, exclusive=True) as store:
        assert store.config["a"] == 1


def test_a_name_with_bytes_that_are_no_unicode_can_be_opened(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff.redb")
    with hivekeep.open(os.fsdecode(path)) as store:
        store.config["a"] = 1
        assert os.fsencode(store.path) == path


def test_a_store_answers_writes_from_the_system_where_that_is_chosen(path: Path) -> None:
    with pytest.raises(hivekeep.Invalid, match="exclusive=True"):
        hivekeep.open(path, durability="system")
    with pytest.raises(hivekeep.Invalid, match="disk or system"):
        hivekeep.open(path, exclusive=True, durability="soon")  # type: ignore[arg-type]
    with hivekeep.open(path, exclusive=True, durability="system") as store:
        assert (store.durability, store.with_durability("disk").durability) == ("system", "disk")
        lines = "import pickle, sys; print(pickle.load(sys.stdin.buffer).durability)"
        copy = pickle.dumps(store)
    told = subprocess.run([sys.executable, "-c", lines], input=copy, capture_output=True, check=True)
    assert told.stdout == b"system\n"


def test_two_durabilities_of_a_store_are_one_open_store(path: Path) -> None:
    store = hivekeep.open(path, exclusive=True)
    soon = store.with_durability("system")
    assert (store.durability, soon.durability) == ("disk", "system")
    soon.config["a"] = 1
    assert store.config["a"] == 1
    with soon.write() as tx:
        tx.config["b"] = 2
        with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
            store.config["c"] = 3
    # The file stays open for the one that is left.
    del store
    gc.collect()
    assert soon.config["b"] == 2
    soon.close()
    assert soon.closed
    hivekeep.open(path, exclusive=True).close()
    with hivekeep.open(path) as shared:
        same = shared.with_durability("system")
        with pickle.loads(pickle.dumps(same)) as copy:
            assert copy.config["b"] == 2


def test_two_durabilities_of_a_store_for_asyncio_are_one_open_store(path: Path) -> None:
    async def run() -> None:
        async with aio.open(path, exclusive=True) as store:
            soon = store.with_durability("system")
            assert soon.durability == "system"
            async with soon.write() as tx:
                await tx.config.put("a", 1)
                with pytest.raises(hivekeep.Conflict, match="inside of a transaction"):
                    await store.config.put("b", 2)
            assert await store.config.get("a") == 1

    asyncio.run(run())


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace counts the syncs")
@pytest.mark.parametrize("durability", ["disk", "system"])
def test_a_write_for_the_system_waits_for_no_sync(durability: str, path: Path, tmp_path: Path) -> None:
    lines = f"""
import hivekeep
with hivekeep.open({str(path)!r}, exclusive=True, durability={durability!r}) as store:
    for number in range(300):
        store.config["a"] = number
"""
    command = ["strace", "-f", "-c", "-e", "trace=fdatasync", "-o", str(tmp_path / "counts"), sys.executable, "-c", lines]
    began = time.monotonic()
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("strace may not look at processes here")
    # One sync each 100 ms, and those of the opening and the end.
    most = (time.monotonic() - began) / 0.1 + 60
    counts = [line.split() for line in (tmp_path / "counts").read_text().splitlines() if line.endswith("fdatasync")]
    syncs = int(counts[0][3]) if counts else 0
    assert syncs >= 300 if durability == "disk" else syncs <= min(most, 299), syncs
