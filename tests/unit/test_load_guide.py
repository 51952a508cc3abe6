"""What the guide to load tests says is true, as far as a test can tell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
from typer.main import get_command

from katapult_async.cli.app import app
from katapult_async.cli.load_values import parse_threshold

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGE = (FOLDER / "load-tests.md").read_text("utf-8")


@pytest.mark.parametrize("example", re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_its_examples_are_python(example: str) -> None:
    compile(example, "load-tests.md", "exec")


def test_its_files_are_there() -> None:
    for name in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (FOLDER / name).exists(), name


def test_its_commands_and_options_are_there() -> None:
    load: Any = cast("Any", get_command(app)).commands["load"].commands
    found = 0
    for line in re.findall(r"katapult-async load (.+?)(?<!\\)\n", PAGE.replace("\\\n", " ")):
        name, *words = shlex.split(line.partition("```")[0].rstrip("`").replace("`", ""), comments=True)
        known: set[str] = {option for parameter in load[name].params for option in parameter.opts}
        given = {word for word in words if re.fullmatch(r"--[a-z-]+|-o", word)}
        assert given <= known, line
        found += 1
    assert found >= 5


def test_its_conditions_are_conditions() -> None:
    conditions = re.findall(r"--fail-if '([^']+)'", PAGE)
    assert conditions
    for condition in conditions:
        parse_threshold(condition)
