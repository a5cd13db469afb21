"""The types of the package hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1]


def run(*command: str, within: Path) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=within, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_passes_mypy_strict(tmp_path: Path) -> None:
    run("mypy", "--cache-dir", str(tmp_path), within=FOLDER)


def test_the_stubs_are_those_of_the_compiled_module(tmp_path: Path) -> None:
    run("mypy.stubtest", "hivekeep._hivekeep", within=tmp_path)
