"""The Python of the pages runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["README.md", "docs/PYTHON.md", "bindings/python/README.md"])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [rest.split("```")[0] for rest in (ROOT / page).read_text().split("```python\n")[1:]]
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_the_reference_is_that_of_the_package() -> None:
    printed = subprocess.run(
        [sys.executable, str(ROOT / "bindings/python/reference.py")], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/PYTHON-API.md").read_text() == printed.stdout, "print it again, as its first lines say"
