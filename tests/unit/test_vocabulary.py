"""One word has one meaning: words that were given up do not come back.

CHANGELOG.md may name them, because its readers knew them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD_NAMES = ("katapult_async/jobs/__init__.py", "tests/unit/test_exports.py")
COLUMNS = (
    "katapult_async/jobs/journal/schema.py",
    "katapult_async/jobs/journal/first_version.py",
    "tests/unit/test_run_state.py",
)
PACE = (
    "katapult_async/ratelimit/pace.py",
    "katapult_async/ratelimit/backoff.py",
    "tests/unit/test_ratelimit.py",
)
STEPS = (
    "katapult_async/jobs/steps/transitions.py",
    "katapult_async/jobs/steps/runner.py",
    "katapult_async/jobs/journal/records.py",
    "CONTRIBUTING.md",
)
#: Each word, and the files that still need it: for deprecated names, for columns of journals, and
#: for the one meaning that a word kept.
GONE: dict[str, tuple[str, ...]] = {
    r"\bSettling\b|\b_?settl(?:e|es|ed|ing)(?:\b|_)|\b_?SETTLE\b": (),
    r"(?:\b|_)(?:un)?plugged(?:\b|_)|\b_?plug\(": (),
    r"\bToTakeBack\b|\bto_take_back\b": OLD_NAMES,
    r"\btaken_back_by\b": (*COLUMNS, "katapult_async/jobs/journal/records.py"),
    r"(?:take|takes|taken|took) back": (),
    r"\b(?:go|goes|gone|going) on with\b": (),
    r"\bFoundLine\b|\bWaited\b": OLD_NAMES,
    r"\bFound\.[A-Z]": (),
    r"(?i:chronicle)|\bforesight\b|\blean\b": (),
    r"\bStart\.(?:LOOK|LEAVE)\b": (),
    r"\bplace_for": (),
    r"\.did\b|\bdid=|\.undone\b|\bundone=": (),
    r"\.further\b|\bfurther=": (),
    r"\bheard[=(]": (),
    r"\b_?ROOMS\b|\brooms?_of\b": (),
    r"\b_?[Ss]urvey": (),
    r"let_go_of_frames|\bFIRST_LOOK\b|\blook_at\b": (),
    r"\bshall have\b|\bcleared up\b|what it stands for": (),
    r"\blies? ready\b|\bof late\b|\b(?:mend(?:s|ed|ing)?|deaf)\b": (),
    r"\bRole\.CANARY\b": (),
    # The pace of paced mode, and nothing else.
    r"\bPace\b": PACE,
    # The steps of each kind of durable run, and nothing else.
    r"\bSTEPS\b": STEPS,
    # A run in memory is a bulk run. A run with a journal is a run.
    r"\bclass Runs\b|\bresources\.runs\b": (),
    r"bid_farewell|\b_greet\b|\blook_with\b|\b_looks\(": (),
}
FILES = sorted(
    path
    for folder, pattern in (
        ("katapult_async", "*.py"),
        ("tests", "*.py"),
        ("benchmarks", "*.py"),
        ("docs", "*.md"),
        (".", "README.md"),
        (".", "CONTRIBUTING.md"),
    )
    for path in ((ROOT / folder).glob(pattern) if folder == "." else (ROOT / folder).rglob(pattern))
    if path != Path(__file__)
)


@pytest.mark.parametrize("word", GONE)
def test_a_word_that_was_given_up_is_gone(word: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        if path.relative_to(ROOT).as_posix() not in GONE[word]
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if re.search(word, line)
    ]
    assert found == []
