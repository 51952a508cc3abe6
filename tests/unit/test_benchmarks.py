"""The benchmarks measure what they claim to measure.

Peers behave as documented, the optimum is optimal, and plots and pages are right.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.utils
import itertools
import math
import random
import re
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import bodies, report, server, svg
from benchmarks.command import RESULTS
from benchmarks.machine import Machine
from benchmarks.memory.__main__ import kept_of_items
from benchmarks.memory.measured import Cost
from benchmarks.peers import Missing, peer
from benchmarks.result import Check, Result, Table, as_markdown, as_text, read, write
from benchmarks.scheduling import beside, policies, sweep
from benchmarks.scheduling.botocore_adaptive import adaptive_policy
from benchmarks.scheduling.optimum import omniscient
from benchmarks.scheduling.policies import Policy, Work
from benchmarks.scheduling.scenarios import KINDS, MIDNIGHT, SDK, Played, Scenario, play
from katapult_async.resources import disks
from katapult_async.testing import make_limiter
from tests import virtual_time
from tests.model_server import ModelServer

PERIOD = 60.0


def work_against(limit: int, n: int, run: Policy | None, *, kind: str = "aligned", told: int = 60) -> Work:
    """One user's work at a server, without latency, that accepts `limit` a minute."""
    server = ModelServer(make_limiter(kind, limit, PERIOD), headers=False, latency=(0.0, 0.0))
    work = Work(server, n, told, random.Random(1))
    if run is not None:
        virtual_time.run(_run(run, work), start=MIDNIGHT)
    return work


async def _run(policy: Policy, work: Work) -> None:
    work.started = asyncio.get_running_loop().time()
    await policy.run(work)


# -- the optimum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 99, 100, 101, 250, 1000])
@pytest.mark.parametrize("into", [0.0, 17.5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_the_formulas(kind: str, into: float, n: int) -> None:
    limit, burst = 100, 5
    limiter = make_limiter(kind, limit, PERIOD, burst=burst if kind == "burst" else None)
    windows = math.ceil(n / limit) - 1
    if kind == "aligned":
        expected = PERIOD - into + (windows - 1) * PERIOD if windows else 0.0
    elif kind in {"fixed", "sliding"}:
        expected = windows * PERIOD
    else:
        expected = max(0, n - (limit if kind == "bucket" else burst)) * PERIOD / limit
    moments = omniscient(limiter, n, start=MIDNIGHT + into)
    assert len(moments) == n
    assert moments[-1] == pytest.approx(expected, abs=1e-3)


def test_the_optimum_uses_a_limit_that_rises_at_once() -> None:
    limiter = make_limiter("aligned", 100, PERIOD)
    moments = omniscient(limiter, 150, start=MIDNIGHT, changes=[(20.0, 150)])
    assert [moments[99], moments[100], moments[149]] == [0.0, 20.0, 20.0]


def test_a_server_that_accepts_nothing_has_no_optimum() -> None:
    with pytest.raises(ValueError, match="accepts nothing"):
        omniscient(make_limiter("sliding", 0, PERIOD), 1, start=0.0)


# -- what others do --------------------------------------------------------------------------------


def test_terraforms_policy_gives_up_after_four_retries() -> None:
    work = work_against(0, 1, Policy("", policies.terraform))
    assert (work.done, work.failed) == (0, 1)
    at = work.server.refused_at
    assert [round(b - a, 3) for a, b in itertools.pairwise(at)] == [1.0, 2.0, 4.0, 8.0]


def test_terraforms_assignment_is_twelve_calls_and_fails_with_the_first_that_fails() -> None:
    whole = Policy("", policies.terraform_assignments)
    assert work_against(1000, 3, whole).server.arrivals == 3 * 12
    work = work_against(5, 1, whole)
    assert (work.failed, work.server.arrivals) == (1, 5 + 5)


def test_a_plain_limiter_lets_nearly_twice_the_limit_through_and_fails_where_it_is_refused() -> None:
    work = work_against(60, 119, Policy("", policies.plain_async_limiter), kind="sliding")
    assert work.server.arrivals == 119
    assert work.failed == work.server.refusals > 40


def test_back_off_gives_up_after_six_attempts_or_never() -> None:
    pytest.importorskip("tenacity")
    work = work_against(0, 1, Policy("", policies.back_off))
    assert (work.server.arrivals, work.failed) == (6, 1)
    work = work_against(1, 4, Policy("", policies.patient_back_off))
    assert (work.done, work.failed) == (4, 0)


def test_aiometer_keeps_an_even_pace() -> None:
    pytest.importorskip("aiometer")
    work = work_against(1000, 20, Policy("", policies.paced_by_aiometer))
    at = work.server.admitted
    assert at[-1] - at[0] == pytest.approx(19.0, abs=0.01)


def test_botocores_adaptive_mode_ends_after_its_attempts_and_slows_down_when_throttled() -> None:
    pytest.importorskip("botocore")
    work = work_against(0, 1, adaptive_policy("", 3))
    assert (work.server.arrivals, work.failed) == (3, 1)
    # Once throttled, its bucket is slow. In the rest of a minute it sends far fewer requests than a
    # loop would.
    work = work_against(60, 90, adaptive_policy("", 10))
    assert work.done == 90
    assert 0 < work.server.refusals < 200


def test_a_run_of_the_sdk_is_the_same_each_time_and_loses_nothing() -> None:
    scenario = Scenario("aligned", 50, 200, headers=True)
    one, two = play(SDK, scenario), play(SDK, scenario)
    assert one == two
    assert (one.done, one.failed, one.refusals) == (200, 0, 0)
    assert one.optimum == pytest.approx(60 - 7.3 + 120)


def test_the_clock_goes_on_while_a_limiter_waits_for_the_last_bit_of_its_room() -> None:
    woken = 0

    async def wait_for_this_very_moment() -> None:
        nonlocal woken
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() < began + 1e-5:
            woken += 1
            moment = loop.create_future()
            loop.call_at(loop.time(), moment.set_result, None)
            await moment

    virtual_time.run(wait_for_this_very_moment(), start=MIDNIGHT)
    assert 1 < woken < 10


def test_two_users_have_their_shares_measured() -> None:
    played = play(SDK, Scenario("aligned", 250, 3000, headers=True, users=2))
    assert played.used is not None
    assert played.fairness is not None
    assert played.used > 0.95
    assert 0.5 <= played.fairness <= 1.0


def played(
    elapsed: float, refusals: int, failed: int = 0, *, used: float = 1.0, fairness: float = 1.0
) -> Played:
    return Played(7.3, elapsed, 100.0, 100, refusals, 100 - failed, failed, [], [], [[]], used, fairness)


def unbeaten(ours: list[Played], theirs: list[Played]) -> Check:
    peer_row = sweep.Row("Terraform provider, per request", None)
    return sweep.unbeaten(
        "here", {(sweep.Row(SDK.name, True), "aligned"): ours, (peer_row, "aligned"): theirs}
    )


def test_a_peer_that_is_faster_without_more_429s_or_failures_fails_the_program() -> None:
    ours = [played(110.0, 5), played(120.0, 5), played(110.0, 9)]
    assert unbeaten(ours, [played(110.0, 0)]).holds
    assert unbeaten(ours, [played(101.0, 6)]).holds
    assert unbeaten(ours, [played(101.0, 5), played(101.0, 5, failed=1)]).holds
    beaten = unbeaten(ours, [played(109.0, 5)])
    assert not beaten.holds
    assert beaten.fatal
    assert beaten.found == (
        "aligned: Terraform provider, per request 1.090 of the optimum with 5 429s, katapult_async, headers 1.100 with 5"
    )


def test_cells_show_the_worst_run_beside_the_median() -> None:
    runs = [played(110.0, 5), played(120.0, 5, used=0.7, fairness=0.5), played(110.0, 9)]
    row = sweep.Row(SDK.name, True)
    assert sweep.table("t", {(row, "aligned"): runs}).rows == [[str(row), "1.100..1.200 / 5..9 / 0"]]
    assert sweep.shared(runs) == "100..70 % / 1.00..0.50 / 5.0..9.0 %"
    runs.append(played(100.0, 5, failed=2))
    assert sweep.table("t", {(row, "aligned"): runs}).rows == [[str(row), "(1.100..1.200) / 5..9 / 0..2"]]


@pytest.mark.parametrize("name", beside.OTHERS)
def test_a_user_of_another_kind_is_at_work_until_the_sdk_is_done(name: str) -> None:
    together = beside.play_beside(SDK, beside.OTHERS[name], Scenario("aligned", 60, 300, headers=True))
    assert together.elapsed >= together.optimum > 230
    assert together.theirs > together.their_refusals > 0
    assert together.used is not None
    assert 0.9 <= together.used <= 1


def test_a_steady_user_sends_a_quarter_of_the_limit_whatever_is_answered() -> None:
    async def for_a_while(work: Work) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(beside.steady(work), 119.9)

    for limit in (5, 60):
        work = work_against(limit, 1, Policy("", for_a_while), told=60)
        assert work.server.arrivals == 30
        assert work.server.refusals == (20 if limit == 5 else 0)


def test_a_peer_that_is_not_there_is_named() -> None:
    with pytest.raises(Missing, match="no_such_peer"):
        peer("no_such_peer.client")


# -- memory ----------------------------------------------------------------------------------------


def test_memory_that_is_kept_of_each_item_is_seen_in_the_quick_form() -> None:
    def costs(kib: int) -> list[Cost]:
        return [Cost(2_000, 42_000, 0, 0, 0, 0, 0, 0), Cost(20_000, 42_000 + kib, 0, 0, 0, 0, 0, 0)]

    assert kept_of_items("sdk", costs(-100)).holds
    assert kept_of_items("sdk", costs(1024 + 18_000 * 300 // 1024)).holds
    leak = kept_of_items("sdk", costs(1024 + 18_000 * 400 // 1024))
    assert not leak.holds
    assert leak.fatal


# -- what is written -------------------------------------------------------------------------------


def test_charts_are_well_formed_with_title_axes_and_legend() -> None:
    chart = svg.Chart("a < b & c", "seconds", "requests", x_step=60)
    chart.series = [
        svg.Series('"used"', [(0, 0), (60, 5), (120, 7)]),
        svg.Series("permitted", [(0, 0), (120, 9)], "area"),
        svg.Series("refused", [(1, 3), (2, 0)], "bars"),
    ]
    for text in (
        svg.draw([chart, chart], columns=2),
        svg.bars("x & y", [("<one>", 3.0), ("two", 0.0)], unit="ms"),
    ):
        root = ET.fromstring(text)  # noqa: S314 - our own
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [node.text for node in ET.fromstring(svg.draw([chart])).iter() if node.text]  # noqa: S314
    assert {"a < b & c", "seconds", "requests", '"used"', "permitted", "60", "120"} <= set(texts)


def test_ticks_are_round_and_begin_at_zero() -> None:
    assert svg.ticks(1000, 5) == [0, 200, 400, 600, 800, 1000]
    assert svg.ticks(130, step=60) == [0, 60, 120]


@pytest.fixture
def result() -> Result:
    machine = Machine("A CPU", 2, "Linux", "3.11", 0.5, "abc", {"aiohttp": "3", "httpx": "not installed"})
    return Result(
        name="decode",
        command="python -m benchmarks.decode",
        quick=False,
        began="2026-01-02T03:04:05+00:00",
        machine=machine,
        tables=[Table("Times", ["what", "µs"], [["one | two", 1234.5], ["none", None]])],
        checks=[Check("a promise", holds=True, found="so it is")],
        plots={"decode.svg": "<svg/>"},
    )


def test_a_result_survives_being_written(result: Result, tmp_path: Path) -> None:
    paths = write(result, tmp_path)
    assert [path.name for path in paths] == ["decode.json", "decode.svg"]
    again = read(paths[0])
    assert again.tables == result.tables
    assert again.machine == result.machine
    assert again.ok


def test_only_fatal_checks_fail_a_program(result: Result) -> None:
    result.checks = [Check("wished for", holds=False, found="not so", fatal=False)]
    assert result.ok
    result.checks.append(Check("promised", holds=False, found="not so"))
    assert not result.ok


def test_tables_are_aligned_as_text_and_escaped_as_markdown(result: Result) -> None:
    lines = as_text(result.tables[0]).splitlines()
    assert lines[2:] == ["what          µs", "---------  -----", "one | two  1,234", "none           -"]
    assert "| one \\| two | 1,234 |" in as_markdown(result.tables[0])


def test_the_report_fills_the_sections_in_and_does_it_once(result: Result, tmp_path: Path) -> None:
    write(result, tmp_path / "results")
    page = tmp_path / "README.md"
    text = (
        "before\n<!-- benchmark: decode -->\nof yesterday\n<!-- /benchmark -->\n"
        "between\n<!-- benchmark: startup -->\nkept\n<!-- /benchmark -->\nafter\n"
    )
    once = report.insert(text, tmp_path / "results", page)
    assert "of yesterday" not in once
    assert "| none | - |" in once
    assert "results/decode.svg" in once
    assert "httpx" not in once
    assert "kept" in once
    assert once.startswith("before\n<!-- benchmark: decode -->\n")
    assert once.endswith("<!-- /benchmark -->\nafter\n")
    assert report.insert(once, tmp_path / "results", page) == once


@pytest.mark.parametrize(
    ("part", "shown", "left_out"),
    [("table 1", "| none | - |", "a promise"), ("checks", "- a promise", "| none")],
)
def test_a_page_may_show_a_part_of_a_result(
    result: Result, tmp_path: Path, part: str, shown: str, left_out: str
) -> None:
    write(result, tmp_path)
    text = f"<!-- benchmark: decode {part} -->\n<!-- /benchmark -->\n"
    once = report.insert(text, tmp_path, tmp_path / "README.md")
    assert shown in once
    assert left_out not in once
    assert report.insert(once, tmp_path, tmp_path / "README.md") == once


def test_the_page_shows_the_results_that_are_kept() -> None:
    text = report.PAGE.read_text()
    named = report.benchmarks_of(text)
    assert named
    missing = [name for name in named if not (RESULTS / f"{name}.json").exists()]
    assert not missing, f"no results are kept of {missing}: run them (python -m benchmarks.NAME)"
    for name in named:
        result = read(RESULTS / f"{name}.json")
        assert not result.quick, f"{name} is a smoke test"
        assert [plot for plot in result.plots if not (RESULTS / plot).exists()] == []
    assert report.insert(text, RESULTS, report.PAGE) == text, "run python -m benchmarks.report"


def test_the_page_of_the_benchmarks_names_each_of_them() -> None:
    programs = {path.parent.name for path in report.PAGE.parent.glob("*/__main__.py")} | {"load", "startup"}
    text = report.PAGE.read_text()
    assert set(report.benchmarks_of(text)) == programs


def test_kept_results_name_no_file_of_the_machine_that_made_them() -> None:
    for path in RESULTS.glob("*.json"):
        found = re.search(
            r"(?<![\w/:.])(/(home|opt|root|tmp|usr|var|work|Users)/\S*|[A-Z]:\\\\)", path.read_text()
        )
        assert found is None, f"{path.name}: {found}"


def test_the_bodies_are_what_the_endpoints_return() -> None:
    disk = disks.ASSIGN.decode(bodies.assign_response()).disk
    assert disk.id.startswith("disk_")
    assert len(disk.id) == len("disk_") + 16
    page = disks.LIST.decode(bodies.disk_page(7))
    assert len(page.items) == 7


# -- the server that takes nginx's place -----------------------------------------------------------


class FakeTransport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))


def test_the_stand_in_answers_each_request_with_the_current_date_and_an_id_of_its_own() -> None:
    transport = FakeTransport()
    static = server.Static()
    static.connection_made(transport)
    request = b"POST %s/disks/disk/assign HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    whole, bare = request % b"/core/v1", request % b"/bare/core/v1"
    static.data_received(whole[:-1])
    assert not transport.written
    static.data_received(whole[-1:] + bare + request % b"/refusing/core/v1")
    answers = [answer.split(b"\r\n\r\n") for answer in transport.written]
    heads = [email.message_from_bytes(head.partition(b"\r\n")[2]) for head, _ in answers]
    assert [head.split(b"\r\n")[0] for head, _ in answers] == [b"HTTP/1.1 200 OK"] * 2 + [
        b"HTTP/1.1 404 Not Found"
    ]
    assert [head["X-Ratelimit-Permitted"] for head in heads] == ["1000000", None, "1000000"]
    assert len({(head["X-Request-Id"]) for head in heads}) == 3
    for (_, body), head in zip(answers, heads, strict=True):
        assert len(body) == int(head["Content-Length"])
        date = email.utils.parsedate_to_datetime(head["Date"]).timestamp()
        assert abs(time.time() - date) < 5


def test_the_stand_in_answers_about_the_disk_that_was_asked_for_where_it_is_to() -> None:
    transport = FakeTransport()
    static = server.Static()
    static.connection_made(transport)
    body = b'{"disk":{"id":"disk_0000000000000007"},"virtual_machine":{"id":"vm_1"}}'
    for path in (b"/core/v1", b"/echo/core/v1"):
        head = b"POST %s/disks/disk/assign HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
        static.data_received(head % (path, len(body)) + body)
    answered = [bodies.disk_of(answer.partition(b"\r\n\r\n")[2]) for answer in transport.written]
    assert answered == [server.DISK, "disk_0000000000000007"]


def test_the_stand_ins_date_is_that_of_the_second() -> None:
    answers = server.Answers(server.PLACES[0])
    first, second, third = answers.next(10.2, b""), answers.next(10.9, b""), answers.next(11.0, b"")
    dates = [
        b"Thu, 01 Jan 1970 00:00:10 GMT",
        b"Thu, 01 Jan 1970 00:00:10 GMT",
        b"Thu, 01 Jan 1970 00:00:11 GMT",
    ]
    assert [date in answer for date, answer in zip(dates, (first, second, third), strict=True)] == [True] * 3
    assert first != second
