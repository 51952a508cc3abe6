"""The page of a run from plan to rollback, as far as a quick test can execute it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from docs.site.run_screens import PAGE, Shell, assigned, heading, replaced
from docs.site.shell import readable

SCREENS = ("plan", "assign", "status", "killed", "resume", "again", "rollback")


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
def test_the_commands_of_the_page_prepare_what_its_first_screen_shows(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    serve, prepare = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shell = Shell(tmp_path, {"plan": "katapult-async plan plan.csv"})
    with shell.starts(serve.replace("8080", "0").replace("0.002", "0").replace("0.05", "0")) as emulator:
        url = heading(emulator).partition("listens on ")[2].split()[0]
        shell.prepare(re.sub(r"http://\S*", url, prepare))
        screen = shell.screen("plan")
        assert assigned(url) == 6
    shown = page.partition("<!-- screen: plan -->\n```console\n")[2].partition("Preflight used")[0]
    assert screen.partition("Preflight used")[0] == shown


def test_each_screen_of_the_page_has_its_place() -> None:
    page = PAGE.read_text("utf-8")
    assert tuple(re.findall(r"^<!-- screen: (\w+) -->$", page, re.MULTILINE)) == SCREENS
    changed = replaced(page, dict.fromkeys(SCREENS, "$ new\n"))
    assert changed.count("```console\n$ new\n```\n") == len(SCREENS)
    # Without a terminal these commands send nothing unless the question is answered.
    asking = re.findall(r"^\$ katapult-async (?:assign|rollback) .*$", page, re.MULTILINE)
    assert len(asking) == 3
    assert all(command.endswith(" --yes") for command in asking)


def test_a_screen_has_other_words_for_this_machine_in_the_same_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("m", "a-long-name"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        row = f"12  {name:<13}  now"
        assert readable(row, tmp_path) == f"12  {'host':<13}  now"
        assert readable(f"process 12 on {name}. {tmp_path}/x", tmp_path) == "process 12 on host. /home/ada/x"
