"""Files for upkeep name what exists: sessions of nox, and versions of Python."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
NOXFILE = (ROOT / "noxfile.py").read_text("utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
SESSIONS = set(re.findall(r"^@nox\.session.*\ndef (\w+)", NOXFILE, re.MULTILINE))


def test_the_sessions_that_are_named_exist() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = contributing.partition("| session |")[2].partition("\n\n")[0]
    documented = {name.partition("-")[0] for name in re.findall(r"`(\w+(?:-[\d.]+)?)`", table)}
    assert documented == SESSIONS
    matrix = re.search(r"session: \[(.*)\]", WORKFLOW)
    assert matrix is not None
    run = {*matrix[1].split(", "), *re.findall(r"nox -s ([\w-]+)", WORKFLOW)}
    assert {name.partition("-")[0] for name in run} == SESSIONS


def test_the_workflow_tests_the_versions_of_python_that_are_supported() -> None:
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    matrix = re.search(r"python: \[(.*)\]", WORKFLOW)
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == supported
    assert f'requires-python = ">={supported[0]}"' in PYPROJECT


def test_the_version_is_in_one_place() -> None:
    package = (ROOT / "katapult_async" / "__init__.py").read_text("utf-8")
    version = re.search(r'^__version__ = "(.*)"$', package, re.MULTILINE)
    assert version is not None
    assert '"version"]' in PYPROJECT
    assert re.search(r"^version =", PYPROJECT, re.MULTILINE) is None
