"""This SDK next to a user of another kind on the same token.

The other user reads no header and does not know of any other user. It never runs out of work, and
the program stops it when our work is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from benchmarks.result import Table
from benchmarks.spread import to_worst
from tests import virtual_time

from .policies import PERIOD, Policy, Work, terraform
from .scenarios import MIDNIGHT, SDK, Scenario, shares, work_of
from .sweep import Row, table_of

#: More than anybody gets through.
ENDLESS = 10**9


async def steady(work: Work) -> None:
    """A quarter of the limit, evenly, whatever is answered."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await work.send()
        due += 4 * PERIOD / work.limit
        await asyncio.sleep(max(0.0, due - loop.time()))


OTHERS = {
    other.name: other
    for other in (
        Policy("the Terraform provider's policy", terraform),
        Policy("a steady user at L/4", steady),
    )
}


class Together(NamedTuple):
    """The result of one run of two users.

    Attributes:
        elapsed: Seconds until our work was done.
        optimum: The same for an omniscient client that is alone.
        refusals: Our 429s.
        theirs: Requests of the other user.
        their_refusals: 429s of the other user.
        used: Share of the limit that both users used, without the first minute.
    """

    start: float
    elapsed: float
    optimum: float
    refusals: int
    theirs: int
    their_refusals: int
    used: float | None


def play_beside(policy: Policy, other: Policy, scenario: Scenario) -> Together:
    """One run in virtual time. scenario.n: our work."""
    limiter = scenario.limiter()
    begin = MIDNIGHT + scenario.start
    ours = work_of(scenario, limiter, 0, scenario.n)
    theirs = work_of(scenario, limiter, 1, ENDLESS)

    async def both() -> None:
        neighbour = asyncio.ensure_future(other.run(theirs))
        await policy.run(ours)
        neighbour.cancel()
        await asyncio.gather(neighbour, return_exceptions=True)
        theirs.finished = ours.finished

    virtual_time.run(both(), start=begin)
    used, _ = shares([ours, theirs], scenario, warm_up=1)
    return Together(
        start=scenario.start,
        elapsed=ours.finished - begin,
        optimum=scenario.optimum()[-1],
        refusals=ours.server.refusals,
        theirs=theirs.server.arrivals,
        their_refusals=theirs.server.refusals,
        used=used,
    )


def run_one(job: tuple[str, Scenario]) -> Together:
    """By the name of the other one: policies do not travel between processes."""
    name, scenario = job
    return play_beside(SDK, OTHERS[name], scenario)


def beside_others(
    pool: ProcessPoolExecutor, scenarios: Sequence[Scenario]
) -> dict[tuple[Row, str], list[Together]]:
    """With each of the others, with and without headers, grouped by the kind of limiter."""
    keys = [
        (name, headers, scenario) for name in OTHERS for headers in (True, False) for scenario in scenarios
    ]
    jobs = [(name, replace(scenario, headers=headers)) for name, headers, scenario in keys]
    found: dict[tuple[Row, str], list[Together]] = {}
    for (name, headers, scenario), together in zip(keys, pool.map(run_one, jobs), strict=True):
        found.setdefault((Row(f"beside {name}", headers), scenario.kind), []).append(together)
    return found


def table(title: str, found: dict[tuple[Row, str], list[Together]]) -> Table:
    return table_of(title, "our time x optimum / our 429s / used", found, _cell)


def _cell(runs: Sequence[Together]) -> str:
    time = to_worst([together.elapsed / together.optimum for together in runs], ".3f")
    refusals = to_worst([together.refusals for together in runs], ",.0f")
    used = [100 * together.used for together in runs if together.used is not None]
    share = f"{to_worst(used, '.0f', min)} %" if used else "-"
    return f"{time} / {refusals} / {share}"


def raw(found: dict[tuple[Row, str], list[Together]]) -> list[dict[str, object]]:
    """For the JSON: every run."""
    return [
        {"other": row.policy, "headers": row.headers, "kind": kind, **together._asdict()}
        for (row, kind), many in found.items()
        for together in many
    ]
