"""The promises about the rate limit, checked with this SDK's real gate.

The numbers are those of docs/explanation/rate-limits.md. A check is fatal if the project promises
it. Other goals of the theory are only checked and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.result import Cell, Check, Table

from .policies import CONCURRENCY, PERIOD, Policy
from .scenarios import KINDS, SDK, SDK_TOLD, STARTS, Played, Scenario
from .sweep import run_one, shared

CLASSIC = ("aligned", "fixed", "sliding", "bucket")
#: For which promise 5 is given, on an aligned window.
SHARED_LIMIT = 400
Verdicts = list[tuple[Scenario, Played]]


def check_all(pool: ProcessPoolExecutor, *, quick: bool) -> tuple[Table, list[Check]]:
    """Promises 1 to 5, and how far the last one goes."""

    def verdicts(policy: Policy, scenarios: Sequence[Scenario]) -> Verdicts:
        jobs = [(policy.name, scenario) for scenario in scenarios]
        return list(zip(scenarios, pool.map(run_one, jobs), strict=True))

    limits = (60,) if quick else (60, 250, 1000)
    starts = STARTS[:1] if quick else STARTS
    windows = 4 if quick else 20
    checks = [_first(verdicts, limits[:2], quick=quick)]
    checks += _second(verdicts, limits[:2], starts, windows)
    nothing_known = [
        Scenario(kind, limit, windows * limit, start=start, seed=int(start))
        for kind in KINDS
        for limit in limits[:2]
        for start in starts
    ]
    checks += _third(verdicts(SDK, nothing_known))
    completion = [
        Scenario(kind, limit, 20 * limit, headers=headers, start=start, seed=int(start))
        for kind in KINDS
        for headers in (True, False)
        for limit in limits
        for start in starts
    ]
    checks.append(_fourth(verdicts(SDK, completion)))
    checks.append(_short_jobs(verdicts))
    table, sharing = _fifth(verdicts, quick=quick)
    return table, checks + sharing


Run = Callable[[Policy, Sequence[Scenario]], Verdicts]


def _worst(verdicts: Verdicts) -> tuple[Scenario, Played]:
    return max(verdicts, key=lambda pair: pair[1].refusals)


def _refusals(promise: str, verdicts: Verdicts, most: int, *, fatal: bool = True) -> Check:
    scenario, played = _worst(verdicts)
    found = f"{len(verdicts)} runs, at most {played.refusals} ({scenario.kind}, L = {scenario.limit})"
    return Check(promise, played.refusals <= most, found, fatal)


def _first(run: Run, limits: Sequence[int], *, quick: bool) -> Check:
    scenarios = [
        Scenario("aligned", limit, max(1, int(share * limit)), headers=True, start=start, latency=latency)
        for limit in limits
        for share in ((0.5, 4) if quick else (0.001, 0.5, 1, 1.5, 4, 20))
        for start in ((0.4, 43.7) if quick else (0.0, 7.3, 31.9, 58.8, 59.9))
        for latency in ((0.0005, 0.0005), (0.02, 0.08), (0.1, 0.4))
    ]
    return _refusals("1. headers, alone, aligned: no 429", run(SDK, scenarios), 0)


def _second(run: Run, limits: Sequence[int], starts: Sequence[float], windows: int) -> list[Check]:
    def scenarios(*, headers: bool) -> list[Scenario]:
        return [
            Scenario(kind, limit, windows * limit, headers=headers, start=start, seed=int(start))
            for kind in CLASSIC
            for limit in limits
            for start in starts
        ]

    return [
        _refusals("2. limit given, no headers: no 429", run(SDK_TOLD, scenarios(headers=False)), 0),
        _refusals(
            "2. limit given, with headers: no 429 (the promise: at most 2)",
            run(SDK_TOLD, scenarios(headers=True)),
            0,
            fatal=False,
        ),
    ]


def _third(verdicts: Verdicts) -> list[Check]:
    learning, later, burst = 0, 0, 0.0
    for scenario, played in verdicts:
        # What was on its way when the first one was refused, and the answers that it had not seen.
        until = played.refused[0] + 4 * scenario.latency[1] + 0.1 if played.refused else 0
        learnt = sum(at <= until for at in played.refused)
        learning = max(learning, learnt)
        if scenario.kind == "burst":
            burst = max(burst, (played.refusals - learnt - 6) / scenario.n)
        else:
            later = max(later, played.refusals - learnt)
    return [
        Check(
            "3. nothing known: at most `concurrency` 429s until the limit is learnt, then at most 6",
            learning <= CONCURRENCY and later <= 6,
            f"{len(verdicts)} runs, at most {learning}, then {later}",
        ),
        Check(
            "3. on a small burst at most 1 % of N after that (and 6)",
            burst <= 0.01,
            f"at most {100 * max(burst, 0):.2f} % beyond those 6",
        ),
    ]


def _fourth(verdicts: Verdicts) -> Check:
    worst, where = -1.0, ""
    for scenario, played in verdicts:
        spare = played.elapsed - scenario.time_to_send()
        if scenario.kind == "aligned" and not scenario.headers:
            spare -= PERIOD
        over = spare / played.optimum - 1
        if over > worst:
            worst, where = over, f"{scenario.kind}, L = {scenario.limit}, headers: {scenario.headers}"
    return Check(
        "4. twenty windows of work: within 2 % of the optimum (aligned without headers: and one minute)",
        worst <= 0.02,
        f"{len(verdicts)} runs, at most {100 * worst:+.1f} % once the time to send is taken off ({where})",
    )


def _short_jobs(run: Run) -> Check:
    scenarios = [Scenario("aligned", 250, 375, headers=True, start=PERIOD - left) for left in (5, 30, 59.5)]
    played = run(SDK, scenarios)
    late = max(p.elapsed - (PERIOD - s.start) - s.time_to_send() / 2 for s, p in played)
    return Check(
        "4. 1.5 L of work: done right after the next minute begins, with no 429",
        late <= 0.2 and not any(p.refusals for _, p in played),
        f"{len(played)} runs, at most {max(p.elapsed - (PERIOD - s.start) for s, p in played):.2f} s after it began",
    )


def _fifth(run: Run, *, quick: bool) -> tuple[Table, list[Check]]:
    """Check promise 5, about two processes.

    The promise, and a fatal check, is for an aligned window and a limit of some hundreds. The
    table also shows the other cases.
    """
    others = [("aligned", limit) for limit in (60, 100, 120, 200, 250, 1000)]
    others += [(kind, SHARED_LIMIT) for kind in KINDS[1:]]
    rows: list[list[Cell]] = []
    checks: list[Check] = []
    for kind, limit in [("aligned", SHARED_LIMIT), *([] if quick else others)]:
        row: list[Cell] = [f"{kind}, L = {limit}"]
        promised = (kind, limit) == ("aligned", SHARED_LIMIT)
        for headers, least in ((True, 0.95), (False, 0.8)):
            scenarios = [
                Scenario(kind, limit, 20 * limit, headers=headers, users=2, start=start, seed=seed)
                for start in (STARTS[:1] if quick else STARTS)
                for seed in ((0, 1, 2) if promised and not quick else (0,))
            ]
            found = [played for _, played in run(SDK, scenarios)]
            row += [shared(found), f"{sum(_shares_well(played, least) for played in found)} of {len(found)}"]
            if promised:
                words = "with headers" if headers else "without headers"
                promise = (
                    f"5. two processes {words}: {100 * least:.0f} % used, fairness 0.9, at most 5 % 429s; "
                    f"aligned, L = {SHARED_LIMIT}"
                )
                holds = all(_shares_well(played, least) for played in found)
                checks.append(Check(promise, holds, f"{len(found)} runs, {shared(found)}"))
        rows.append(row)
    columns = ["used / fairness / 429s", "with headers", "kept in", "without headers", "kept in"]
    title = (
        "Promise 5 (95 % used with headers and 80 % without, fairness 0.9, at most 5 % 429s) by limiter, 20 L requests of "
        f"two processes: promised for an aligned window and L = {SHARED_LIMIT}"
    )
    return Table(title, columns, rows), checks


def _shares_well(played: Played, least: float) -> bool:
    used, fairness = played.used or 0.0, played.fairness or 0.0
    return used >= least and fairness >= 0.9 and played.refusals <= 0.05 * played.requests
