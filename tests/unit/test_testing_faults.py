"""Faults occur as often as their rates say, only where they may.

The same seed gives faults for the same requests.
"""

from __future__ import annotations

from collections import Counter

import pytest

from katapult_async.testing import Arrival, Fault, FaultKind, Faults

ASSIGN = Arrival(1, 0.0, "POST", "/disks/disk/assign", "token")
READ = Arrival(2, 0.0, "GET", "/disks/disk", "token")


def test_none_strikes_unless_asked_for() -> None:
    faults = Faults()
    assert {faults.draw(ASSIGN) for _ in range(100)} == {None}


def test_everywhere_spreads_its_rate_over_all_kinds() -> None:
    faults = Faults.everywhere(0.5, seed=1)
    drawn = [faults.draw(ASSIGN) for _ in range(11_000)]
    kinds = Counter(fault.kind for fault in drawn if fault is not None)
    assert set(kinds) == set(FaultKind)
    assert all(400 < count < 600 for count in kinds.values())


def test_the_same_seed_strikes_the_same_requests() -> None:
    one, two, other = (Faults.everywhere(0.5, seed=seed) for seed in (1, 1, 2))
    drawn = [[faults.draw(ASSIGN) for _ in range(50)] for faults in (one, two, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_each_kind_knows_whether_the_request_takes_effect() -> None:
    faults = Faults()
    effect = dict[str, set[bool]]()
    for kind in FaultKind:
        faults.next(kind, times=40)
        effect[kind.value] = {fault.applies for fault in map(faults.draw, [ASSIGN] * 40) if fault}
    assert effect == {
        "reset_before": {False},
        "reset_after": {True},
        "timeout_before": {False},
        "timeout_after": {True},
        "unavailable": {False},
        "bad_gateway": {False, True},
        "empty_504": {False, True},
        "server_error": {False, True},
        "truncated": {True},
        "invalid_json": {True},
        "non_utf8": {True},
    }


def test_restricted_faults_leave_other_requests_alone() -> None:
    by_path = Faults(unavailable=1.0, paths=["/disks/disk/assign"])
    by_method = Faults(unavailable=1.0, methods=["POST"])
    for faults in (by_path, by_method):
        faults.next("truncated")
        assert faults.draw(READ) is None
        assert faults.draw(ASSIGN) == (FaultKind.TRUNCATED, True)
        assert faults.draw(ASSIGN) == (FaultKind.UNAVAILABLE, False)


def test_queued_faults_come_first_then_the_script_then_the_rates() -> None:
    faults = Faults(unavailable=1.0)
    answers = iter([FaultKind.NON_UTF8, Fault(FaultKind.BAD_GATEWAY, applies=True), None])
    faults.script(lambda _arrival: next(answers))
    faults.next(FaultKind.EMPTY_504, applies=False)
    assert [faults.draw(ASSIGN) for _ in range(4)] == [
        (FaultKind.EMPTY_504, False),
        (FaultKind.NON_UTF8, True),
        (FaultKind.BAD_GATEWAY, True),
        (FaultKind.UNAVAILABLE, False),
    ]


@pytest.mark.parametrize("rates", [{"truncated": -0.1}, {"truncated": 0.6, "non_utf8": 0.6}])
def test_senseless_rates_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rates"):
        Faults(**rates)  # type: ignore[arg-type]


def test_repr_says_the_rates() -> None:
    assert repr(Faults(unavailable=0.25)) == "Faults(unavailable=0.25)"
