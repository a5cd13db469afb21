"""Warnings of a store reach logging."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import pytest

import hivekeep


pytestmark = pytest.mark.local


def warning_of(store: hivekeep.Store, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """Provokes a warning: the file in which a process shows that it lives is removed."""
    os.unlink(f"{store.path}.sessions")
    until = time.monotonic() + 10
    while not caplog.records and time.monotonic() < until:
        store.config["a"] = 1
        time.sleep(0.02)
    return caplog.records[0]


def test_a_warning_of_the_store_is_logged_under_its_module(
    store: hivekeep.Store, caplog: pytest.LogCaptureFixture
) -> None:
    record = warning_of(store, caplog)
    assert record.levelno == logging.WARNING and record.name.startswith("hivekeep.engine.")
    assert "the file of sessions was removed" in record.getMessage()


@pytest.mark.skipif(sys.platform != "linux", reason="it forks")
def test_a_forked_child_logs_with_a_thread_of_its_own(
    store: hivekeep.Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = os.fork()
    if child == 0:
        try:
            with hivekeep.open(path.with_name("other.redb")) as other:
                warning_of(other, caplog)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
