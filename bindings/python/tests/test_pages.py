"""The Python of the pages runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Serve, add_key

import hivekeep

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", ["README.md", "docs/PYTHON.md", "docs/WORKERS.md", "bindings/python/README.md"])
def test_the_python_of_a_page_runs(
    page: str, path: Path, tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hivekeep.open(path).close()
    url, key = serve(), add_key(path, "ops", "operator")
    blocks = [rest.split("```")[0] for rest in (ROOT / page).read_text().split("```python\n")[1:]]
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        block = block.replace("https://fleet.example:8001", url).replace("hk_ops_..", key)
        exec(compile(block, page, "exec"), names)


def test_the_rust_of_the_page_about_workers_is_the_example_that_runs() -> None:
    page = (ROOT / "docs/WORKERS.md").read_text()
    assert (ROOT / "examples/worker.rs").read_text() == page.split("```rust,no_run\n")[1].split("```")[0]


def test_the_reference_is_that_of_the_package() -> None:
    printed = subprocess.run(
        [sys.executable, str(ROOT / "bindings/python/reference.py")], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/PYTHON-API.md").read_text() == printed.stdout, "print it again, as its first lines say"
