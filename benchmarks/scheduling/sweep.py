"""Many runs, spread over the cores, and their tables.

A run in virtual time is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import NamedTuple, TypeVar

from benchmarks.result import Cell, Check, Table
from benchmarks.spread import median, to_worst

from .policies import Policy
from .scenarios import SDK, SDK_TOLD, TERRAFORM_WHOLE, Played, Scenario, installed_peers, play

R = TypeVar("R")


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
    """Return `time / 429s / failed items` for each limiter.

    The time is in brackets if some of the work failed.
    """
    return table_of(title, "time x optimum / 429s / failed", runs, _cell)


def table_of(title: str, words: str, runs: Mapping[tuple[Row, str], R], cell: Callable[[R], str]) -> Table:
    """A row for each policy, a column for each kind of limiter. words: what a cell shows."""
    rows = dict.fromkeys(row for row, _ in runs)
    kinds = dict.fromkeys(kind for _, kind in runs)
    lines: list[list[Cell]] = [
        [str(row), *(cell(runs[row, kind]) if (row, kind) in runs else None for kind in kinds)]
        for row in rows
    ]
    return Table(title, [words, *kinds], lines)


def _cell(runs: Sequence[Played]) -> str:
    time = to_worst([played.elapsed / played.optimum for played in runs], ".3f")
    refusals = to_worst([played.refusals for played in runs], ",.0f")
    failed = to_worst([played.failed for played in runs], ",.0f")
    return f"{f'({time})' if any(played.failed for played in runs) else time} / {refusals} / {failed}"


def sharing(title: str, runs: Runs) -> Table:
    """Return a table for two users of a token.

    A cell is `used share of the limit / fairness / 429s in percent of requests`.
    """
    return table_of(title, "used / fairness / 429s", runs, shared)


def shared(runs: Sequence[Played]) -> str:
    """Of runs with two users: `used / fairness / 429s`."""
    refused = to_worst([100 * played.refusals / played.requests for played in runs], ".1f")
    used = [100 * played.used for played in runs if played.used is not None]
    fairness = [played.fairness for played in runs if played.fairness is not None]
    if not used or not fairness:
        return f"- / - / {refused} %"
    return f"{to_worst(used, '.0f', min)} % / {to_worst(fairness, '.2f', min)} / {refused} %"


#: Half a percent of the optimum: six seconds in twenty minutes.
NO_FASTER = 0.005


def unbeaten(where: str, runs: Runs) -> Check:
    """Check that no peer was faster than this SDK without more 429s and without failures.

    This SDK runs both with and without knowing the limit. The result is the same on every machine,
    because it compares medians of runs in virtual time. Times that differ by less than NO_FASTER
    count as equal.
    """
    known = policies()
    ours = {key: own for key, own in runs.items() if known[key[0].policy].ours}
    found: list[str] = []
    for (row, kind), theirs in runs.items():
        if (row, kind) in ours or any(played.failed for played in theirs):
            continue
        for (mine, other_kind), own in ours.items():
            faster = other_kind == kind and ratio(theirs) < ratio(own) - NO_FASTER
            if faster and refusals(theirs) <= refusals(own):
                found.append(
                    f"{kind}: {row} {ratio(theirs):.3f} of the optimum with {refusals(theirs):,.0f} 429s, "
                    f"{mine} {ratio(own):.3f} with {refusals(own):,.0f}"
                )
    promise = f"no peer is faster without more 429s or failures: {where}"
    return Check(promise, not found, "; ".join(found) or f"{len(runs) - len(ours)} cells of peers")


def refusals(runs: Sequence[Played]) -> float:
    """429s, the median of the runs."""
    return median([played.refusals for played in runs])


def raw(runs: Runs) -> list[dict[str, object]]:
    """For the JSON: every run, without its moments."""
    return [
        {
            "policy": row.policy,
            "headers": row.headers,
            "kind": kind,
            "start": played.start,
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
