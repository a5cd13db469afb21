"""Fixtures of every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hivekeep
from hivekeep import aio


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "local: what only a store in this process can do")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "fleet.redb"


@pytest.fixture
def store(path: Path) -> Iterator[hivekeep.Store]:
    """A new store."""
    with hivekeep.open(path) as store:
        yield store


@pytest.fixture
def opens(path: Path) -> Callable[..., Any]:
    """Opens a store for asyncio."""
    return lambda **options: aio.open(path, **options)
