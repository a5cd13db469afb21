"""Prints the reference of the package, `docs/PYTHON-API.md`, from its signatures and descriptions.

    python3 bindings/python/reference.py > docs/PYTHON-API.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator

import hivekeep
import hivekeep.aio
import hivekeep.compat
import hivekeep.remote
import hivekeep.remote.aio
from hivekeep import errors

HEAD = """# Reference of the Python package

[`PYTHON.md`](PYTHON.md) is the guide. This page is printed by `bindings/python/reference.py`, and a test compares it with
the package.
"""


def main() -> Iterator[str]:
    """The lines of the page."""
    yield HEAD
    yield "## Functions\n"
    for name in sorted(hivekeep.__all__):
        if inspect.isfunction(getattr(hivekeep, name)):
            yield from entry(name, getattr(hivekeep, name), "###")
    yield "## Classes\n"
    for name in sorted(hivekeep.__all__):
        of = getattr(hivekeep, name)
        # Another version of Python describes its own types in other words.
        is_own = inspect.isclass(of) and of.__module__.startswith("hivekeep")
        if is_own and not issubclass(of, errors.HivekeepError):
            yield from about(name, of)
    yield "## Exceptions\n"
    for name in sorted(hivekeep.__all__):
        of = getattr(hivekeep, name)
        if inspect.isclass(of) and issubclass(of, errors.HivekeepError):
            bases = ", ".join(base.__name__ for base in of.__bases__)
            yield f"* `{name}({bases})`, kind `{of.kind}`: {one_line(of)}"
    yield "\n## hivekeep.compat\n"
    yield from about("DisasterRecovery", hivekeep.compat.DisasterRecovery)
    yield "## hivekeep.remote\n"
    yield one_line(hivekeep.remote) + "\n"
    yield from entry("connect", hivekeep.remote.connect, "###")
    yield from about("Store", hivekeep.remote.Store)
    yield from entry("aio.connect", hivekeep.remote.aio.connect, "###")
    yield "## hivekeep.aio\n"
    yield one_line(hivekeep.aio) + "\n"
    for name in sorted(hivekeep.aio.__all__):
        of = getattr(hivekeep.aio, name)
        yield f"* `{name}`: {', '.join(f'`{verb}`' for verb in verbs(of)) or one_line(of)}"


def about(name: str, of: type) -> Iterator[str]:
    """A class with its fields and verbs."""
    bases = [base.__name__ for base in of.__bases__ if base.__name__ in hivekeep.__all__]
    yield f"### {name}\n"
    yield text(of) + "\n"
    if bases:
        yield f"It has everything that {' and '.join(f'`{base}`' for base in bases)} has.\n"
    if dataclasses.is_dataclass(of):
        for field in dataclasses.fields(of):
            yield f"* `{field.name}: {field.type}`"
        yield ""
    for verb in verbs(of, inherited=False):
        yield from entry(verb, inspect.getattr_static(of, verb), "####")


def verbs(of: object, *, inherited: bool = True) -> list[str]:
    """The names of the verbs and properties of a class, in their order in the source."""
    if not inspect.isclass(of):
        return []
    classes = [base for base in reversed(of.__mro__) if base.__module__.startswith("hivekeep")] if inherited else [of]
    names = [name for base in classes for name, value in vars(base).items() if is_verb(name, value)]
    return list(dict.fromkeys(names))


def is_verb(name: str, value: object) -> bool:
    return not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))


def entry(name: str, value: object, mark: str) -> Iterator[str]:
    """A function, a verb or a property."""
    if isinstance(value, property):
        yield f"{mark} {name}\n\nA property. {text(value)}\n"
        return
    signature = inspect.signature(value)  # type: ignore[arg-type]
    shown = str(signature).replace("(self, ", "(").replace("(self)", "()").replace("'", "")
    shown = re.sub(r"<object object at \w+>|Ellipsis", "...", shown)
    yield f"{mark} {name}\n\n`{name}{shown}`\n\n{text(value)}\n"


def text(value: object) -> str:
    """The description, as Markdown."""
    found = inspect.cleandoc(getattr(value, "__doc__", None) or "")
    found = re.sub(r":(?:class|meth|func|data):`~?([^`<]*?)(?: <[^>]*>)?`", r"`\1`", found)
    found = re.sub(r"(?m)^:param (\w+): ", r"* `\1`: ", found)
    found = re.sub(r"(?m)^:raises (\w+): ", r"* raises `\1` ", found)
    return found.replace("``", "`")


def one_line(value: object) -> str:
    return text(value).split("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    print("\n".join(main()).rstrip())
