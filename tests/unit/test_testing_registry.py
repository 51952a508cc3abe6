"""A limiter or a fault that the emulator cannot carry out is an error, not another one."""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from katapult_async.cli.emulate import checked_limiter
from katapult_async.testing import LimiterKind
from katapult_async.testing.registry import complete

TESTING = Path(__file__).parents[2] / "katapult_async" / "testing"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_a_table_with_an_entry_for_each_member_is_complete() -> None:
    table = {Colour.RED: 1, Colour.BLUE: 2}
    assert complete(Colour, table) == table


def test_a_missing_entry_is_named() -> None:
    with pytest.raises(TypeError, match=r"no entry for Colour\.BLUE: each member of Colour needs one"):
        complete(Colour, {Colour.RED: 1})


@pytest.mark.parametrize(
    ("module", "after", "members", "server"),
    [
        ("limiters", '    BURST = "burst"\n', "LimiterKind", "limiters"),
        ("faults", '    NON_UTF8 = "non_utf8"', "FaultKind", "faults"),
        # Also if only the table of `faults` knows it.
        ("faults", '    NON_UTF8 = "non_utf8"', "FaultKind", "delivery"),
    ],
)
def test_a_new_member_that_nothing_carries_out_is_an_error(
    tmp_path: Path, module: str, after: str, members: str, server: str
) -> None:
    copy = tmp_path / "katapult_async" / "testing"
    shutil.copytree(TESTING, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy.parent / "__init__.py").touch()
    source = (copy / f"{module}.py").read_text()
    assert after in source
    changed = source.replace(after, f'    LEAKY = "leaky"\n{after}', 1)
    if server == "delivery":
        entry = "        FaultKind.NON_UTF8: True,\n"
        changed = changed.replace(entry, f"{entry}        FaultKind.LEAKY: True,\n")
    (copy / f"{module}.py").write_text(changed)
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", f"import katapult_async.testing.{server}"],
        cwd=tmp_path,
        # The copy is not what is measured.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"no entry for {members}.LEAKY" in done.stderr


def test_the_command_line_knows_every_limiter() -> None:
    assert {checked_limiter(kind.value) for kind in LimiterKind} == set(LimiterKind)
