"""Numbers, durations and times as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from katapult_async.cli.words import clock_time, count, counted, duration, local_time


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-7176.1, "0 s"),
        (0, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (36.4, "36 s"),
        (59.7, "1 min"),
        (96, "1 min 36 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 1234, "1,234 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_large_numbers_have_separators_and_one_has_no_plural() -> None:
    assert count(1_234_567) == "1,234,567"
    assert counted(1, "disk") == "1 disk"
    assert counted(2000, "disk") == "2,000 disks"
    assert counted(0, "was", "were") == "0 were"


def test_times_are_local_and_name_their_zone() -> None:
    assert local_time(1_795_000_000) == "2026-11-18 12:06:40 CET"
    assert clock_time(1_795_000_000, 1_795_000_000 - 60) == "12:06:40 CET"
    assert clock_time(1_795_000_000, 1_795_000_000 - 86_400) == "2026-11-18 12:06:40 CET"
