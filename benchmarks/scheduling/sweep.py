"""Many runs, spread over the cores, and the tables made of them. A run in virtual time is the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from benchmarks.result import Cell, Table
from benchmarks.spread import median

from .policies import Policy
from .scenarios import SDK, SDK_TOLD, TERRAFORM_WHOLE, Played, Scenario, installed_peers, play


class Row(NamedTuple):
    """A policy as it stands in a table. headers: None where the policy does not read them."""

    policy: str
    headers: bool | None

    def __str__(self) -> str:
        if self.headers is None:
            return self.policy
        return f"{self.policy}, {'headers' if self.headers else 'no headers'}"


Runs = dict[tuple[Row, str], list[Played]]


def policies() -> dict[str, Policy]:
    """All that can be run here, by name."""
    return {policy.name: policy for policy in [SDK, SDK_TOLD, *installed_peers(), TERRAFORM_WHOLE]}


def rows_of(chosen: Sequence[Policy]) -> Iterator[Row]:
    for policy in chosen:
        for headers in (True, False) if policy.headers else (None,):
            yield Row(policy.name, headers)


def run_one(job: tuple[str, Scenario]) -> Played:
    """By name: policies are functions, and those do not travel between processes."""
    name, scenario = job
    return play(policies()[name], scenario)


def sweep(pool: ProcessPoolExecutor, rows: Sequence[Row], scenarios: Sequence[Scenario]) -> Runs:
    """Each row in each scenario, grouped by the kind of limiter."""
    keys = [(row, scenario) for row in rows for scenario in scenarios]
    jobs = [(row.policy, replace(scenario, headers=bool(row.headers))) for row, scenario in keys]
    runs: Runs = {}
    for (row, scenario), played in zip(keys, pool.map(run_one, jobs), strict=True):
        runs.setdefault((row, scenario.kind), []).append(played)
    return runs


def ratio(runs: Sequence[Played]) -> float:
    """Time over the optimum, the median of the runs."""
    return median([played.elapsed / played.optimum for played in runs])


def table(title: str, runs: Runs) -> Table:
    """`time / 429s / failed items` for each limiter; the time in brackets where not all of the work was done."""
    rows = list(dict.fromkeys(row for row, _ in runs))
    kinds = list(dict.fromkeys(kind for _, kind in runs))
    lines: list[list[Cell]] = []
    for row in rows:
        cells: list[Cell] = [str(row)]
        for kind in kinds:
            played = runs.get((row, kind))
            cells.append(_cell(played) if played else None)
        lines.append(cells)
    return Table(title, ["time x optimum / 429s / failed", *kinds], lines)


def _cell(runs: Sequence[Played]) -> str:
    failed = median([played.failed for played in runs])
    time = f"{ratio(runs):.3f}"
    refusals = median([played.refusals for played in runs])
    return f"{f'({time})' if failed else time} / {refusals:,.0f} / {failed:,.0f}"


def sharing(title: str, runs: Runs) -> Table:
    """For two users of a token: `used share of the limit / fairness / 429s in percent of requests`."""
    kinds = list(dict.fromkeys(kind for _, kind in runs))
    lines: list[list[Cell]] = []
    for row in dict.fromkeys(row for row, _ in runs):
        cells: list[Cell] = [str(row)]
        for kind in kinds:
            played = runs[row, kind][0]
            if played.used is None or played.fairness is None:
                cells.append(f"- / - / {100 * played.refusals / played.requests:.1f} %")
            else:
                cells.append(
                    f"{100 * played.used:.0f} % / {played.fairness:.2f} / "
                    f"{100 * played.refusals / played.requests:.1f} %"
                )
        lines.append(cells)
    return Table(title, ["used / fairness / 429s", *kinds], lines)


def beaten(where: str, runs: Runs) -> list[str]:
    """Every peer that was faster than this SDK somewhere, without more 429s and without failures."""
    ours = {SDK.name, SDK_TOLD.name}
    found: list[str] = []
    for (row, kind), theirs in runs.items():
        if row.policy in ours or any(played.failed for played in theirs):
            continue
        for (mine, other_kind), own in runs.items():
            if mine.policy not in ours or other_kind != kind or ratio(theirs) >= ratio(own):
                continue
            refusals = median([played.refusals for played in theirs])
            own_refusals = median([played.refusals for played in own])
            if refusals <= own_refusals:
                found.append(
                    f"{where}, {kind}: {row} took {ratio(theirs):.3f} of the optimum with {refusals:,.0f} 429s, "
                    f"{mine} {ratio(own):.3f} with {own_refusals:,.0f}"
                )
    return found or [f"{where}: no peer was faster on any limiter without more 429s or failures"]


def raw(runs: Runs) -> list[dict[str, object]]:
    """For the JSON: every run, without its moments."""
    return [
        {
            "policy": row.policy,
            "headers": row.headers,
            "kind": kind,
            "elapsed": round(played.elapsed, 3),
            "optimum": round(played.optimum, 3),
            "requests": played.requests,
            "refusals": played.refusals,
            "failed": played.failed,
            "used": played.used,
            "fairness": played.fairness,
        }
        for (row, kind), many in runs.items()
        for played in many
    ]
