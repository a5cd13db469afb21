"""Fixtures of every test. One that takes `store` runs over a store in this process and over one behind a service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import settings

import hivekeep
import hivekeep.remote
import hivekeep.remote.aio
from hivekeep import aio

ROOT = Path(__file__).parents[3]

# An example may take as long as a busy machine makes it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# A shell starts a program in the background with Ctrl-C ignored, which Python leaves so.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Serve(Protocol):
    """Starts a service on the store, and gives its address."""

    def __call__(self, *arguments: str, listen: str = "127.0.0.1:0") -> str: ...


def program() -> str:
    """The program with the service, as `cargo build` makes it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = Path(os.environ.get("HIVEKEEP_PROGRAM", target / "debug" / "hivekeep"))
    assert found.exists(), f"build the program first, with cargo build, or name it in HIVEKEEP_PROGRAM: {found}"
    return str(found)


def add_key(path: Path, name: str, role: str) -> str:
    """Adds a key to a store, and gives it."""
    command = [program(), "--store", str(path), "key", "add", name, "--role", role]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "local: what only a store in this process can do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kinds = ["local"] if metafunc.definition.get_closest_marker("local") else ["local", "remote"]
    for fixture in {"store", "opens"} & set(metafunc.fixturenames):
        metafunc.parametrize(fixture, kinds, indirect=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "fleet.redb"


@pytest.fixture
def serve(path: Path) -> Iterator[Serve]:
    """Starts services, and stops them."""
    services: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, listen: str = "127.0.0.1:0") -> str:
        command = [program(), "--store", str(path), "serve", "--json", "--listen", listen, *arguments]
        service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        services.append(service)
        assert service.stdout is not None
        return str(json.loads(service.stdout.readline())["listening"])

    yield start
    for service in services:
        service.kill()
        service.communicate()


@pytest.fixture
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[hivekeep.Store]:
    """A new store."""
    if request.param == "remote":
        url = request.getfixturevalue("serve")()
        with hivekeep.remote.connect(url) as store:
            yield store
    else:
        with hivekeep.open(path) as store:
            yield store


@pytest.fixture
def opens(request: pytest.FixtureRequest, path: Path) -> Callable[..., Any]:
    """Opens a store for asyncio."""
    if request.param == "remote":
        url = request.getfixturevalue("serve")()
        return lambda **options: hivekeep.remote.aio.connect(url, **options)
    return lambda **options: aio.open(path, **options)
