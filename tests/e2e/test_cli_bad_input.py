"""Bad input is refused with a sentence: no traceback, the right exit code, and the token in no output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from katapult_async.jobs import Manifest, Run
from tests.bad_inputs import CASES, TOKEN, BadInput
from tests.command_line import environment

#: Runs many commands in one process, each as its own invocation of the program, and prints what came of each.
#: (Starting a process for each would take minutes.)
MANY = Path(__file__).with_name("many_commands.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What came of each case."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    (folder / "bad.csv").write_text("disk,virtual_machine\ndisk_1\nvm_1,disk_1\n")
    (folder / "empty.csv").write_text("")
    (folder / "text.run").write_text("This is no journal.\n" * 100)
    (folder / "folder").mkdir()
    for name, disk, base_url in (
        ("a.run", "disk_1", None),
        ("other.run", "disk_2", "https://other.example/core/v1"),
    ):
        with Manifest.from_items([(disk, "vm_1")]) as manifest:
            Run.create(folder / name, manifest, base_url=base_url, confirmed=False).close()
    cases = [case._asdict() for case in CASES]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", str(MANY)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=50,
        check=True,
        start_new_session=True,
        env=environment(KATAPULT_API_KEY=TOKEN),
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    # Nothing was made, except the good log.
    left = {path.name for path in folder.iterdir()}
    assert left <= {"plan.csv", "bad.csv", "empty.csv", "text.run", "folder", "a.run", "other.run"}
    return found


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 100


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=lambda n: f"{n}-{'-'.join(CASES[n].arguments)[:60]!a}"
)
def test_bad_input_is_one_clear_message(number: int, outcomes: list[dict[str, object]]) -> None:
    case: BadInput = CASES[number]
    outcome = outcomes[number]
    shown = f"{outcome['out']}{outcome['err']}"
    assert outcome["code"] == case.code, shown
    assert case.words in str(outcome["err"]).replace("-", "") or case.words in str(outcome["err"]), shown
    assert "Traceback" not in shown
    assert TOKEN not in shown
    assert not [character for character in shown if character < " " and character != "\n"]
    assert "\u202e" not in shown
    assert len(str(outcome["err"]).splitlines()) <= 8
