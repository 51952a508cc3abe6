"""The command line refuses bad input with a sentence and the right exit code.

It prints no traceback, and never the token. All cases run in one process, because a process for
each would take minutes.
"""

from __future__ import annotations

from typing import Any

import pytest
import typer

from tests.bad_inputs import CASES, make_files
from tests.command_line import TOKEN, check_golden, run_many


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What came of each case. The names of its folder are left out."""
    folder = tmp_path_factory.mktemp("bad")
    make_files(folder)
    before = {path.name for path in folder.iterdir()}
    found = run_many([case._asdict() for case in CASES], folder)
    assert {path.name for path in folder.iterdir()} <= before  # bad input leaves nothing behind
    return [{**one, "err": one["err"].replace(f"{folder}/", "")} for one in found]


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 100


def name_of(number: int) -> str:
    return f"{number}-{'-'.join(CASES[number].arguments)[:60]!a}"


@pytest.mark.parametrize("number", range(len(CASES)), ids=name_of)
def test_bad_input_is_one_clear_message(number: int, outcomes: list[dict[str, Any]]) -> None:
    case, outcome = CASES[number], outcomes[number]
    err = outcome["err"]
    shown = outcome["out"] + err
    assert outcome["code"] == case.code, shown
    assert case.words in err or case.words in err.replace("-", ""), shown
    assert "Traceback" not in shown
    assert TOKEN not in shown
    assert not [character for character in shown if character < " " and character != "\n"]
    assert "\u202e" not in shown
    assert len(err.splitlines()) <= 8


@pytest.mark.skipif(not typer.__version__.startswith("0.29."), reason="other versions use other words")
def test_a_change_of_words_is_seen(outcomes: list[dict[str, Any]]) -> None:
    parts: list[str] = []
    for case, outcome in zip(CASES, outcomes, strict=True):
        given = [f"{name}={value!a}" for name, value in case.env]
        typed = [word if word.isprintable() and word.strip() else ascii(word) for word in case.arguments]
        piped = [f"< {case.stdin!a}"] if case.stdin else []
        typed_line = " ".join([*given, "katapult-async", *typed, *piped]).replace(TOKEN, "<token>")
        parts.append(f"$ {typed_line[:200]}\n{outcome['err'][:1000]}")
    check_golden("bad_input.txt", "\n".join(parts))
