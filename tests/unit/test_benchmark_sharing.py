"""The benchmark of shared budgets measures and checks what it claims to."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.sharing.cells import BLOCKED, UNKNOWN, Cell, check_refusals, check_times
from benchmarks.sharing.cost import Cost, check_cost
from benchmarks.sharing.redis_server import delayed
from benchmarks.sharing.slow import check_slow, slow_cells
from benchmarks.sharing.ways import FILE, NO_BUDGET, REDIS, Done


async def test_the_proxy_delivers_each_response_late_and_none_waits_for_another() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    clock = asyncio.get_running_loop().time
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    async with delayed(f"redis://127.0.0.1:{port}/0", 0.2) as url:
        assert url != f"redis://127.0.0.1:{port}/0"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2][:-2]))
        sent: list[float] = []
        for number in range(40):
            sent.append(clock())
            writer.write(b"%d\n" % number)
            await asyncio.sleep(0.01)
        for number, began in enumerate(sent):
            assert await reader.readline() == b"%d\n" % number
            assert clock() - began >= 0.2
        # One after the other, they would take 40 times 0.2 seconds.
        assert clock() - sent[0] < 6
        writer.close()
    server.close()
    await server.wait_closed()


def cell(kind: str = "aligned", *, headers: bool = False, windows: int = 20, delay: float = 0.0) -> Cell:
    return Cell(REDIS, 4, kind, headers, windows, 6.0, delay, optimum=100.0)


def test_the_number_of_429s_that_is_permitted() -> None:
    assert cell(headers=True).most_refusals == 0
    assert cell("sliding", headers=True).most_refusals == 2
    assert cell("sliding").most_refusals == UNKNOWN + BLOCKED
    assert cell("burst").most_refusals == UNKNOWN + BLOCKED + 20
    assert cell(headers=True, windows=5, delay=0.5).most_refusals == 10
    assert Cell(NO_BUDGET, 4, "aligned", True, 5, 3.0).most_refusals is None


def test_one_429_too_many_or_a_failure_breaks_a_promise() -> None:
    one = cell(headers=True)
    assert check_refusals([one])[0].holds
    one.refusals = 1
    assert not check_refusals([one])[0].holds
    one.refusals, one.done = 0, [Done([], 1)]
    (check,) = check_refusals([one])
    assert not check.holds
    assert check.fatal


@pytest.mark.parametrize(("kind", "longest"), [("aligned", 109.0), ("fixed", 103.0)])
def test_the_time_may_be_three_percent_longer_and_one_window_where_windows_are_aligned(
    kind: str, longest: float
) -> None:
    one = cell(kind)
    for elapsed, holds in ((longest - 0.1, True), (longest + 0.1, False)):
        one.elapsed = elapsed
        (check,) = check_times([one])
        assert check.holds is holds
        assert not check.fatal


def test_a_process_that_loses_its_budget_is_reported() -> None:
    one, other = slow_cells()
    one.done, other.done = [Done([], 0), Done([], 0, alone=1)], [Done([], 0)]
    assert [check.holds for check in check_slow([one, other])] == [False, True]


def test_the_cost_is_the_difference_to_no_budget_in_the_same_round() -> None:
    costs = [Cost(NO_BUDGET, 1, cpu=[0.2, 0.3, 0.9]), Cost(FILE, 1, cpu=[0.31, 0.39, 0.95])]
    assert [check.holds for check in check_cost(costs)] == [True, True]
    costs[1].cpu = [0.31, 0.42, 0.95]
    costs[1].failed = 1
    failed, cost = check_cost(costs)
    assert not failed.holds
    assert failed.fatal
    assert not cost.holds
    assert cost.found == "+11.0%"
