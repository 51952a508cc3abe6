"""The ledger's counts, which check the promises about requests in flight and double application."""

from __future__ import annotations

import pytest

from katapult_async.testing import Ledger


def arrive_and_leave(ledger: Ledger, time: float, status: int | None = 200) -> None:
    arrival = ledger.arrive(time, "POST", "/disks/disk/assign", "token")
    arrival.status = status
    arrival.refused = status == 429
    ledger.leave(arrival)


def test_counts_arrivals_refusals_and_answers() -> None:
    ledger = Ledger()
    for status in (200, 429, 429, None):
        arrive_and_leave(ledger, 1.0, status)
    assert (ledger.total, ledger.refusals, ledger.in_flight) == (4, 2, 0)
    assert ledger.by_status == {200: 1, 429: 2, None: 1}
    assert ledger.by_path == {"/disks/disk/assign": 4}
    assert ledger.by_token == {"token": 4}
    assert [arrival.sequence for arrival in ledger.arrivals] == [1, 2, 3, 4]
    assert "4 arrivals" in repr(ledger)


def test_remembers_the_most_in_flight_at_once_also_per_machine() -> None:
    ledger = Ledger()
    kept = [ledger.arrive(0.0, "POST", "/", "token", virtual_machine=vm) for vm in ("vm_a", "vm_b", "vm_a")]
    for arrival in kept:
        ledger.leave(arrival)
    for machine in ("vm_a", None):
        ledger.arrive(0.0, "POST", "/", "token", virtual_machine=machine)
    assert ledger.max_in_flight == 3
    assert ledger.max_in_flight_per_virtual_machine == 2
    assert ledger.in_flight == 2


def test_knows_what_was_applied_twice() -> None:
    ledger = Ledger()
    ledger.apply(1.0, "assign", "disk_a", "vm_a")
    ledger.apply(2.0, "assign", "disk_b", "vm_a")
    ledger.apply(3.0, "unassign", "disk_a", "vm_a")
    ledger.apply(4.0, "assign", "disk_a", "vm_b")
    assert ledger.applied_count("disk_a") == 2
    assert ledger.applied_count("disk_a", "unassign") == 1
    assert ledger.applied_more_than_once() == ["disk_a"]
    assert ledger.applied_total == {"assign": 3, "unassign": 1}
    assert ledger.applied[0] == (1.0, "assign", "disk_a", "vm_a")


def test_histogram_counts_by_windows_of_the_servers_clock() -> None:
    ledger = Ledger()
    for time in (60.0, 60.4, 60.6, 61.0, 119.9, 120.0):
        arrive_and_leave(ledger, time)
    assert ledger.histogram() == {60: 3, 61: 1, 119: 1, 120: 1}
    assert ledger.histogram(60.0) == {60: 5, 120: 1}
    assert ledger.histogram(0.5) == {60.0: 2, 60.5: 1, 61.0: 1, 119.5: 1, 120.0: 1}


def test_without_arrivals_the_counters_remain() -> None:
    ledger = Ledger(keep_arrivals=False)
    arrive_and_leave(ledger, 1.0)
    ledger.apply(1.0, "assign", "disk_a", "vm_a")
    assert (ledger.arrivals, ledger.applied) == ([], [])
    assert (ledger.total, ledger.applied_count("disk_a")) == (1, 1)
    assert ledger.histogram() == {1: 1}
    with pytest.raises(ValueError, match="keep_arrivals"):
        ledger.histogram(0.5)


def test_clearing_leaves_out_what_was_in_flight() -> None:
    ledger = Ledger()
    before = ledger.arrive(1.0, "GET", "/", None, virtual_machine="vm_a")
    ledger.clear()
    ledger.leave(before)
    assert (ledger.total, ledger.in_flight, ledger.by_status) == (0, 0, {})
    assert ledger.arrive(1.0, "GET", "/", None).sequence == 2
