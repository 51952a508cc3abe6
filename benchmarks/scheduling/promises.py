"""The promises about the rate limit, checked with this SDK's real gate (the numbers are those of the README).

Fatal is what the project promises. What the theory would like beyond that is checked and reported only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

from benchmarks.result import Check

from .policies import CONCURRENCY, PERIOD, Policy
from .scenarios import KINDS, SDK, SDK_TOLD, Played, Scenario
from .sweep import run_one

# Away from the moments at which kinds of servers cannot be told apart (the README says so), and with time to send.
STARTS = (7.3, 23.1, 43.7)
CLASSIC = ("aligned", "fixed", "sliding", "bucket")
Verdicts = list[tuple[Scenario, Played]]


def check_all(pool: ProcessPoolExecutor, *, quick: bool) -> list[Check]:
    """Promises 1 to 5."""

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
        for start in (starts if limit < 1000 else starts[:1])
    ]
    checks.append(_fourth(verdicts(SDK, completion)))
    checks.append(_short_jobs(verdicts))
    checks += _fifth(verdicts, quick=quick)
    return checks


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
            "2. limit given, with headers: no 429 (the README: at most 2)",
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


def _fifth(run: Run, *, quick: bool) -> list[Check]:
    """Two processes. What the tests of the project hold: an aligned window and a limit of some hundreds."""
    checks: list[Check] = []
    for headers, least in ((True, 0.95), (False, 0.8)):
        words = "with headers" if headers else "without headers"

        def scenarios(
            kinds: Sequence[str], limits: Sequence[int], *, headers: bool = headers
        ) -> list[Scenario]:
            return [
                Scenario(kind, limit, 20 * limit, headers=headers, users=2, seed=seed)
                for kind in kinds
                for limit in limits
                for seed in ((0,) if quick else (0, 1, 2))
            ]

        promise = f"5. two processes {words}: {100 * least:.0f} % used, fairness 0.9, 5 % 429s; aligned"
        checks.append(_shared(promise, run(SDK, scenarios(["aligned"], [400])), least))
        if not quick:
            for limit in (100, 200, 1000):
                found = run(SDK, scenarios(["aligned"], [limit]))
                checks.append(_shared(f"{promise}, L = {limit}", found, least, fatal=False))
            for kind in KINDS[1:]:
                found = run(SDK, scenarios([kind], [400]))
                checks.append(
                    _shared(promise.replace("aligned", f"{kind}, L = 400"), found, least, fatal=False)
                )
    return checks


def _shared(promise: str, verdicts: Verdicts, least: float, *, fatal: bool = True) -> Check:
    used = min(played.used or 0.0 for _, played in verdicts)
    fairness = min(played.fairness or 0.0 for _, played in verdicts)
    refused = max(played.refusals / played.requests for _, played in verdicts)
    return Check(
        promise,
        used >= least and fairness >= 0.9 and refused <= 0.05,
        f"{len(verdicts)} runs, {100 * used:.0f} % used, fairness {fairness:.2f}, {100 * refused:.1f} % 429s",
        fatal,
    )
