"""Results of load tests: files, merging, comparing, tables, logs and pages."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest

from katapult_async.load import (
    ClosedLoop,
    Histogram,
    LoadError,
    MissingExtra,
    compare,
    comparison_table,
    from_json,
    merge,
    read_result,
    result_table,
    to_json,
    write_comparison_page,
    write_hlog,
    write_page,
)
from tests.load_results import START, Made, result, steady

EVIL = '\x1b[31m<b>&\u202e"'


def test_a_result_survives_its_json(tmp_path: Path) -> None:
    found = result([*steady(0.01), Made(0.5, 2.0, "assign", "RequestTimeout", waited=0.1, rate_limited=1)])
    (tmp_path / "a.json").write_text(to_json(found))
    assert read_result(tmp_path / "a.json") == found
    assert found.latency.count == 201
    assert found.latency.max == 1.5
    assert found.errors == {"RequestTimeout": 1}
    assert found.histogram("assign").total == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not the result of a load test"),
        ('{"schema": "katapult-async/run/1"}', "not the result"),
        ("[]", "not the"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(LoadError, match=words):
        read_result(tmp_path / "a.json")


def test_a_missing_file_and_a_damaged_histogram_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot read"):
        read_result(tmp_path / "none.json")
    with pytest.raises(LoadError, match="damaged"):
        Histogram.decode("HISTFAAAAA")


def test_without_hdrhistogram_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "hdrh", None)
    monkeypatch.setitem(sys.modules, "hdrh.histogram", None)
    with pytest.raises(MissingExtra, match=r"pip install 'katapult-async\[load\]'"):
        Histogram().encode()


# -- merging ---------------------------------------------------------------------------------------


def test_a_merged_result_keeps_parts_and_problems() -> None:
    one = result(steady(0.01), process=1, problems=["This client could not keep up."])
    both = merge([one, result(steady(0.02), process=2)])
    assert [part.process for part in both.parts] == [1, 2]
    assert not both.valid
    assert both.problems == ["This client could not keep up."]
    assert both.offered == 400
    assert both.offered_per_second == 40.0


def test_results_that_began_at_other_times_are_added_by_the_clock() -> None:
    late = result(steady(0.02), process=2, started_at=START + 3)
    both = merge([late, result(steady(0.01), process=1)])
    assert both.duration == 13.0
    assert [second.offered for second in both.timeline] == [20] * 3 + [40] * 7 + [20] * 3
    assert "began 3 s after the first" in both.problems[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"action": "list disks"}, "different actions"),
        ({"base_url": "http://other"}, "different hosts"),
        ({"schedule": ClosedLoop(in_flight=1)}, "different kinds of loop"),
        ({"process": 1}, "given twice"),
    ],
)
def test_results_of_different_tests_are_refused(changes: dict[str, Any], words: str) -> None:
    other: dict[str, Any] = {"process": 2, **changes}
    with pytest.raises(LoadError, match=words):
        merge([result(steady(0.01)), result(steady(0.01), **other)])


def test_nothing_cannot_be_merged() -> None:
    with pytest.raises(LoadError, match="no result"):
        merge([])


# -- comparing -------------------------------------------------------------------------------------


def test_a_difference_beyond_the_noise_is_seen() -> None:
    one, other = (result(steady(latency, per_second=200, spread=0.002)) for latency in (0.010, 0.015))
    slower = compare(one, other)
    assert [found.percent for found in slower] == [50, 90, 95, 99, 99.9]
    assert [found.verdict for found in slower] == ["slower"] * 4 + ["unknown"]
    assert [found.verdict for found in compare(other, one)] == ["faster"] * 4 + ["unknown"]
    first = slower[0]
    assert first.lowest is not None
    assert first.highest is not None
    assert first.lowest < 0.005 < first.highest
    assert "slower" in comparison_table(one, other, slower)


def test_a_test_does_not_differ_from_itself() -> None:
    one = result(steady(0.01, per_second=200, spread=0.005))
    assert {found.verdict for found in compare(one, one)} == {"no difference", "unknown"}


def test_a_single_stall_is_one_event_and_not_a_hundred() -> None:
    """One second of one test is slow.

    A bound from single requests would call the difference certain.
    """
    calm = steady(0.01, per_second=100)
    stalled = [call._replace(end=call.end + 0.5) if 4 <= call.due < 5 else call for call in calm]
    found = {found.percent: found for found in compare(result(calm), result(stalled))}
    assert found[95.0].other > 0.5
    assert found[95.0].verdict == "no difference"


def test_short_tests_and_other_operations_cannot_be_compared() -> None:
    short = result(steady(0.01, seconds=3, per_second=500))
    assert {found.verdict for found in compare(short, short)} == {"unknown"}
    other = result([Made(0.0, 0.1, "assign")])
    with pytest.raises(LoadError, match="no operation in common"):
        compare(short, other)


def test_several_operations_are_compared_one_by_one() -> None:
    calls = [
        call._replace(operation="assign" if number % 2 else "disk")
        for number, call in enumerate(steady(0.01))
    ]
    found = compare(result(calls), result(calls))
    assert list(dict.fromkeys(difference.operation for difference in found)) == ["all", "assign", "disk"]


# -- what people and tools read --------------------------------------------------------------------


def test_a_table_is_safe_and_complete() -> None:
    calls = [*steady(0.01), Made(1.0, 2.0, EVIL, EVIL)]
    found = result(calls, action=EVIL, problems=[EVIL], left_behind=[EVIL], stopped_by=EVIL)
    text = result_table(found)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "offered  201 calls, 20.1/s" in text
    assert "Not restored:" in text


def page_of(*calls: Made, **changes: object) -> str:
    out = io.StringIO()
    write_page(out, result(calls, **changes), now=START)  # type: ignore[arg-type]
    return out.getvalue()


def test_a_page_is_safe_and_needs_nothing_else() -> None:
    page = page_of(
        *steady(0.01), Made(1.0, 2.0, EVIL, EVIL), action=EVIL, problems=[EVIL], left_behind=[EVIL]
    )
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert "http://www" not in page
    assert page.count("<svg") == page.count("</svg>") == 8
    for title in ("Latency by the second", "Latency by percentile", "Calls per second", "Errors and 429s"):
        assert f">{title}" in page


def test_a_page_without_calls_and_one_of_a_long_test() -> None:
    assert "No call" not in page_of()
    long = [Made(float(second), second + 0.1) for second in range(900)]
    page = page_of(*long, duration=900.0)
    assert page.count("<rect") == 0
    points = max(
        len(path.split()) for path in page.split('points="')[1:] for path in [path.partition('"')[0]]
    )
    assert points == 300


def test_the_page_of_a_comparison() -> None:
    one, other = result(steady(0.01)), result(steady(0.02))
    out = io.StringIO()
    write_comparison_page(out, one, other, compare(one, other))
    page = out.getvalue()
    assert page.count("<svg") == 8
    assert "block bootstrap" in page
    assert "<td>slower</td>" in page


def test_hdrhistograms_own_reader_reads_the_log(tmp_path: Path) -> None:
    found = result([*steady(0.01), Made(1.0, 2.0, "my, own")])
    path = tmp_path / "a.hlog"
    with path.open("w") as out:
        write_hlog(out, found)
    log = cast("Any", import_module("hdrh.log"))
    hdr = cast("Any", import_module("hdrh.histogram"))
    reader = log.HistogramLogReader(str(path), hdr.HdrHistogram(1, 3_600_000_000, 2))
    read: list[tuple[str, int, float]] = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        read.append((histogram.get_tag(), histogram.get_total_count(), histogram.get_start_time_stamp()))
    reader.input_file.close()
    assert [count for tag, count, _ in read if tag == "disk"] == [20] * 10
    assert [tag for tag, _, _ in read if tag != "disk"] == ["my__own"]
    assert read[0][2] == pytest.approx(START * 1000)


def test_a_result_of_the_future_is_refused() -> None:
    newer = to_json(result([])).replace("load/1", "load/2")
    with pytest.raises(LoadError, match="load/2"):
        from_json(newer)
