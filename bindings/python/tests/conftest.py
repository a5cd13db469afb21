"""Fixtures of every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hivekeep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "fleet.redb"


@pytest.fixture
def store(path: Path) -> Iterator[hivekeep.Store]:
    """A new store."""
    with hivekeep.open(path) as store:
        yield store
