"""`python -m benchmarks.scheduling`: the tables, the plots and the promises.

The program exits with 1 if a promise is broken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.command import run
from benchmarks.result import Result

from . import beside, plots, promises, sockets, sweep
from .optimum import Changes
from .scenarios import KINDS, SDK, SDK_TOLD, STARTS, TERRAFORM_WHOLE, Scenario, installed_peers, missing_peers

DRAWN = (
    (SDK.name, True),
    (SDK.name, False),
    ("AsyncLimiter + back-off", False),
    ("back-off, for ever", False),
    ("aiometer, L/60 a second", False),
    ("botocore adaptive, 10 attempts", False),
    ("Terraform provider, per request", False),
)


def main() -> int:
    return run(
        "scheduling",
        measure,
        about="Time to finish and 429s under a rate limit, against an omniscient client; checks the promises.",
        takes="about ten minutes on two cores (virtual time but for half a minute)",
    )


def measure(result: Result) -> None:
    quick = result.quick
    result.notes += [f"left out, not installed: {name}" for name in missing_peers()]
    everyone = list(sweep.rows_of([SDK, SDK_TOLD, *installed_peers()]))
    limit, windows = (60, 6) if quick else (100, 20)
    kinds = KINDS[:1] if quick else KINDS
    starts = STARTS[:1] if quick else STARTS
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:

        def played(title: str, rows: Sequence[sweep.Row], scenarios: Sequence[Scenario]) -> sweep.Runs:
            print(title, file=sys.stderr, flush=True)
            runs = sweep.sweep(pool, rows, scenarios)
            result.tables.append(sweep.table(title, runs))
            result.checks.append(sweep.unbeaten(title, runs))
            result.data[title] = sweep.raw(runs)
            return runs

        rows = everyone if quick else [*everyone, *sweep.rows_of([TERRAFORM_WHOLE])]
        played(f"Alone, L = {limit}, {windows} L requests", rows, _each(KINDS, starts, limit, windows))
        if not quick:
            title = "Alone, L = 1000 as Katapult has it, 20 L requests"
            played(title, everyone, _each(["aligned"], starts, 1000, 20))
        changes = (15.0 * windows, limit // 2), (30.0 * windows, 2 * limit)
        title = f"Alone, L = {limit}, but L/2 after a quarter of the time and 2 L after half of it"
        played(title, everyone, _each(kinds, starts, limit, windows, changes=changes))
        many = 10 if quick else 20
        title = f"Two users of one token, of the same kind, L = {2 * limit}, {many} L requests in all"
        shared = played(title, everyone, _each(kinds, starts, 2 * limit, many, users=2))
        result.tables.append(sweep.sharing(f"{title}: how they share", shared))
        # Three starts: a run beside somebody who takes all takes hours of virtual time.
        _beside(result, pool, _each(kinds, starts[::2], 2 * limit, 2 if quick else 5))
        table, checks = promises.check_all(pool, quick=quick)
        result.tables.append(table)
        result.checks += checks
        _draw(result, pool)
    table, checks = sockets.over_sockets(quick=quick)
    result.tables.append(table)
    result.checks += checks


def _each(
    kinds: Sequence[str],
    starts: Sequence[float],
    limit: int,
    windows: int,
    *,
    users: int = 1,
    changes: Changes = (),
) -> list[Scenario]:
    """Return a scenario for each kind of limiter and each start.

    Args:
        kinds: The kinds of limiters.
        starts: Seconds into a minute. Each start has a seed of its own.
        limit: Requests per window.
        windows: The size of the work, in windows.
        users: Processes that share the token and the work.
        changes: Changes of the limit during the run.
    """
    return [
        Scenario(
            kind, limit, windows * limit, start=start, seed=int(start), users=users, changes=tuple(changes)
        )
        for kind in kinds
        for start in starts
    ]


def _beside(result: Result, pool: ProcessPoolExecutor, scenarios: Sequence[Scenario]) -> None:
    found = beside.beside_others(pool, scenarios)
    title = f"katapult_async beside a user of another kind, L = {scenarios[0].limit}, {scenarios[0].n:,} requests of ours"
    result.tables.append(beside.table(title, found))
    result.data[title] = beside.raw(found)


def _draw(result: Result, pool: ProcessPoolExecutor) -> None:
    known = sweep.policies()
    drawn = DRAWN[:3] if result.quick else DRAWN
    rows = [
        sweep.Row(name, headers if known[name].headers else None) for name, headers in drawn if name in known
    ]
    scenarios = {kind: Scenario(kind, 100, 600, start=23.1) for kind in KINDS}
    runs = sweep.sweep(pool, rows, list(scenarios.values()))
    by_kind = {kind: {str(row): runs[row, kind][0] for row in rows} for kind in KINDS}
    result.plots["scheduling.svg"] = plots.cumulative(scenarios, by_kind, 300)
    aligned = scenarios["aligned"]
    panels = [plots.Panel(label, aligned, run) for label, run in by_kind["aligned"].items()]
    result.plots["scheduling-seconds.svg"] = plots.by_second(panels, 180)
    more: list[plots.Panel] = []
    for words, scenario in (
        (
            "L 100, then 50, then 200",
            Scenario("aligned", 100, 1000, start=23.1, changes=((100, 50), (220, 200))),
        ),
        ("two of them, L = 400", Scenario("aligned", 400, 3600, start=23.1, users=2)),
    ):
        found = sweep.sweep(pool, rows[:2], [scenario])
        more += [plots.Panel(f"{row}: {words}", scenario, played[0]) for (row, _), played in found.items()]
    result.plots["scheduling-seconds-more.svg"] = plots.by_second(more, 480)


if __name__ == "__main__":
    sys.exit(main())
