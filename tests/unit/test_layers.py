"""A package imports only from the packages before it.

Only one package uses aiohttp's client, and only one uses SQL.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "katapult_async"
# `testing` stands apart: it shares nothing with the others.
PACKAGES = [
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
    "page",
    "jobs",
    "load",
    "cli",
]
#: The packages and modules of `jobs`.
PARTS_OF_JOBS = ["errors", "manifest", "journal", "preflight", "steps", "location", "run", "report"]
#: How an SQL statement begins, but for what a sentence may begin with, too.
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s|INTO\s)|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|CREATE\s|DROP\s|ALTER\s|PRAGMA\s"
    r"|BEGIN\b|COMMIT\b|ROLLBACK\b)"
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def package_of(module: Path) -> str:
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
def test_a_package_imports_only_from_packages_before_it(module: Path) -> None:
    package = package_of(module)
    if package in {"__init__", "__main__", "py"}:
        return
    for name in imports(module):
        parts = name.split(".")
        if parts[0] != "katapult_async" or len(parts) < 2:
            continue
        other = parts[1]
        if package == "testing" or other == "testing":
            # The emulator shares no code with what it tests; only the command line serves it.
            assert package in {other, "cli"}, f"{module} imports {name}"
        elif other in PACKAGES:
            assert PACKAGES.index(other) <= PACKAGES.index(package), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_of_jobs_imports_only_from_parts_before_it(module: Path) -> None:
    path = module.relative_to(PACKAGE).parts
    if path[0] != "jobs" or path[1] in {"__init__.py", "plan.py"}:
        return
    part = PARTS_OF_JOBS.index(path[1].removesuffix(".py"))
    for name in imports(module):
        other = name.split(".")[2:3]
        if name.startswith("katapult_async.jobs.") and other:
            assert PARTS_OF_JOBS.index(other[0]) <= part, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sql_stands_in_the_journal_and_in_sql_files(module: Path) -> None:
    if module.is_relative_to(PACKAGE / "jobs" / "journal"):
        return
    texts = (
        node.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert [text for text in texts if SQL.match(text)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_aiohttp_lives_in_the_transport_and_in_the_emulator(module: Path) -> None:
    if package_of(module) not in {"transport", "testing"}:
        assert not [name for name in imports(module) if name.split(".")[0] == "aiohttp"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_opentelemetry_is_an_extra_that_nothing_else_imports(module: Path) -> None:
    if package_of(module) != "otel":
        names = [name for name in imports(module) if name.split(".")[0] == "opentelemetry"]
        assert not [*names, *(name for name in imports(module) if name.startswith("katapult_async.otel"))]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_hdrhistogram_is_imported_only_when_it_is_used(module: Path) -> None:
    assert not [name for name in imports(module) if name.split(".")[0] == "hdrh"]


def test_no_module_is_longer_than_400_lines() -> None:
    assert {m.name for m in MODULES if len(m.read_text("utf-8").splitlines()) > 400} == set()


def test_every_module_says_its_reason_first() -> None:
    silent = [str(module) for module in MODULES if not ast.get_docstring(ast.parse(module.read_text()))]
    assert silent == []


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "base", "manager", "misc"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    assert not [module for module in MODULES if module.stem == name]
