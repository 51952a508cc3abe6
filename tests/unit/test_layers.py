"""A room imports from the rooms above it only; aiohttp's client lives in one of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "katapult_async"
# From the top of the house to the bottom. `testing` stands apart: it shares nothing with the others.
ROOMS = [
    "logs",
    "safe_text",
    "words",
    "models",
    "errors",
    "observer",
    "otel",
    "file_lock",
    "ratelimit",
    "budget",
    "transport",
    "bulk",
    "resources",
    "client",
    "jobs",
    "cli",
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    package = ["katapult_async", *module.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            if name == "katapult_async":
                yield from (f"{name}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_above_it(module: Path) -> None:
    room = room_of(module)
    if room in {"__init__", "__main__", "py"}:
        return
    for name in imports(module):
        parts = name.split(".")
        if parts[0] != "katapult_async" or len(parts) < 2:
            continue
        other = parts[1]
        if room == "testing" or other == "testing":
            # The emulator shares no code with what it tests; only the command line serves it.
            assert room in {other, "cli"}, f"{module} imports {name}"
        elif other in ROOMS:
            assert ROOMS.index(other) <= ROOMS.index(room), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_aiohttp_lives_in_the_transport_and_in_the_emulator(module: Path) -> None:
    if room_of(module) not in {"transport", "testing"}:
        assert not [name for name in imports(module) if name.split(".")[0] == "aiohttp"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_opentelemetry_is_an_extra_that_nothing_else_imports(module: Path) -> None:
    if room_of(module) != "otel":
        names = [name for name in imports(module) if name.split(".")[0] == "opentelemetry"]
        assert not [*names, *(name for name in imports(module) if name.startswith("katapult_async.otel"))]


def test_every_module_says_its_reason_first() -> None:
    silent = [str(module) for module in MODULES if not ast.get_docstring(ast.parse(module.read_text()))]
    assert silent == []


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "manager", "misc"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    assert not [module for module in MODULES if module.stem == name]
