"""Load tests over real sockets, checked against the emulator's ledger.

No test asserts a rate: a busy machine sends late, and then says so. KATAPULT_LOAD=full runs the
long form of the stall.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import pytest

from katapult_async import Assignment, AuthenticationError, Client, KatapultError
from katapult_async.load import (
    AssignUnassign,
    ClosedLoop,
    FixedRate,
    HostNotOwned,
    ListDisks,
    LoadError,
    LoadResult,
    LoadTest,
    Mix,
    OpenLoop,
    OwnAction,
    Plan,
    Poisson,
    ReadDisk,
    ResponseTimes,
    Schedule,
)
from katapult_async.testing import Counting, FaultKind, Faults, KatapultEmulator
from katapult_async.transport import Timeout
from tests.signs import until


class Form(NamedTuple):
    """A test with a stall in the middle. Seconds, and calls per second."""

    rate: float
    duration: float
    stall: float


SHORT, LONG = Form(100, 2.0, 0.6), Form(500, 60.0, 2.0)
FORM = LONG if os.environ.get("KATAPULT_LOAD") == "full" else SHORT


def emulator_of(**settings: object) -> KatapultEmulator:
    """An emulator without a limit that matters."""
    return KatapultEmulator(**{"disks": 40, "virtual_machines": 20, "limit": 1_000_000, **settings})  # type: ignore[arg-type]


def open_loop(rate: float, duration: float, **settings: int) -> Plan:
    return Plan(schedule=OpenLoop(arrivals=FixedRate(rate), **settings), duration=duration)


def items_of(emulator: KatapultEmulator) -> list[Assignment]:
    machines = emulator.virtual_machine_ids
    return [Assignment(disk, machines[i % len(machines)]) for i, disk in enumerate(emulator.disk_ids)]


def assigned(emulator: KatapultEmulator) -> list[str]:
    return [disk.id for disk in emulator.world.disks.values() if disk.virtual_machine is not None]


def once(when: Callable[[], bool], act: Callable[[], None]) -> Callable[[], None]:
    """A progress callback that acts once, when it is time."""
    done = False

    def progress() -> None:
        nonlocal done
        if not done and when():
            done = True
            act()

    return progress


async def with_stall(emulator: KatapultEmulator, schedule: Schedule) -> LoadResult:
    """Run the test, and stall the emulator in the middle of it."""
    test = LoadTest(ReadDisk(emulator.disk_ids), Plan(schedule=schedule, duration=FORM.duration))

    def middle() -> bool:
        assert test.runner is not None
        return test.runner.elapsed >= (FORM.duration - FORM.stall) / 2

    progress = once(middle, lambda: emulator.stall(FORM.stall))
    return await test.run("token", base_url=emulator.url, progress=progress)


def arrivals_in_the_stall(emulator: KatapultEmulator) -> int:
    (stall,) = emulator.ledger.stalls
    return sum(stall.since <= arrival.time < stall.until for arrival in emulator.ledger.arrivals)


@pytest.mark.timeout(300)
async def test_an_open_loop_shows_a_stall_as_long_as_it_was() -> None:
    async with emulator_of() as emulator:
        result = await with_stall(emulator, OpenLoop(arrivals=FixedRate(FORM.rate)))
        ledger = emulator.ledger
        # The server answered each call no sooner than its ledger says, and each was due no later
        # than it arrived. So no percentile may be below the one of the server.
        calls = ledger.arrivals[1:]  # the first one has prepared the test
        served = sorted((arrival.answered or 0.0) - arrival.time for arrival in calls)
        assert result.latency.count == len(served) == FORM.rate * FORM.duration
        for percent, found in ((50, result.latency.p50), (90, result.latency.p90), (99, result.latency.p99)):
            assert found >= served[int(percent / 100 * len(served)) - 1] - 0.002
        # Calls are due at a fixed rate during the stall, and each waits for its end. So of all
        # calls, 1 % waits for the stall less 1 % of the duration, or longer.
        expected = FORM.stall - 0.01 * FORM.duration - 2 / FORM.rate
        assert result.latency.p99 >= expected - 0.002
        assert result.latency.max <= FORM.stall + served[-1] + result.lag.max + 2.0
        slow = result.histogram().above(FORM.stall / 2)
        assert slow >= FORM.rate * FORM.stall / 2 - 2
        assert result.service.p99 >= expected - result.lag.max - 0.1
        if FORM is LONG:
            assert result.latency.p99 <= FORM.stall
            assert result.valid, result.problems


@pytest.mark.timeout(300)
async def test_a_closed_loop_would_have_missed_it() -> None:
    users = 4
    async with emulator_of() as emulator:
        think = users / FORM.rate
        result = await with_stall(emulator, ClosedLoop(in_flight=users, think=think))
        # Each user sends one request into the stall, and then waits for it with the server.
        assert 0 < arrivals_in_the_stall(emulator) <= users
        assert "leave out the requests that independent users would have sent" in result.notes[0]
        assert result.operations[0].latency.max >= FORM.stall / 2
        if FORM is LONG:
            assert result.latency.p99 < 0.1


async def test_the_ledger_has_the_stall_and_the_answers_after_it() -> None:
    async with emulator_of() as emulator, Client("token", base_url=emulator.url) as client:
        with pytest.raises(ValueError, match="more than 0 seconds"):
            emulator.stall(0)
        emulator.stall(0.3)
        await client.disks.get(emulator.disk_ids[0])
        (stall,), (arrival,) = emulator.ledger.stalls, emulator.ledger.arrivals
        assert stall.until - stall.since == pytest.approx(0.3)
        assert arrival.time < stall.until <= (arrival.answered or 0.0) + 0.01


async def test_a_rate_above_the_limit_is_called_so() -> None:
    counting = Counting(limit=20, period=1.0)
    async with emulator_of(limit=None, counting=counting) as emulator:
        result = await LoadTest(ReadDisk(emulator.disk_ids), open_loop(100, 1.0)).run(
            "token", base_url=emulator.url, rate_window=1.0
        )
        assert not result.valid
        assert any("The rate cannot be kept within the limit" in problem for problem in result.problems)
        assert any("had not been sent when the test ended" in problem for problem in result.problems)
        # The wait for permits stays apart from the server's own time.
        assert result.wait.max > 0.2
        assert result.service.p50 < result.wait.p90
        assert result.offered == 100
        assert result.requests == emulator.ledger.total - 1 < 100
        assert result.latency.count == 100


async def test_without_the_limit_each_429_is_an_outcome() -> None:
    async with emulator_of(limit=20) as emulator:
        test = LoadTest(ReadDisk(emulator.disk_ids), open_loop(60, 1.0), ignore_limit=True)
        result = await test.run("token", base_url=emulator.url)
        ledger = emulator.ledger
        assert result.requests == ledger.total - 1 == 60
        # A new minute of the server's clock may begin meanwhile.
        assert result.errors == {"rate_limit_reached": ledger.refusals}
        assert result.rate_limited == ledger.refusals >= 20
        assert result.wait.max == 0
        assert {one.outcome for one in result.operations} == {"ok", "rate_limit_reached"}


async def test_too_many_in_flight_start_late_and_make_it_invalid() -> None:
    async with emulator_of(latency=0.5) as emulator:
        test = LoadTest(ReadDisk(emulator.disk_ids), open_loop(20, 1.0, max_in_flight=5))
        result = await test.run("token", base_url=emulator.url)
        assert emulator.ledger.max_in_flight <= 5
        assert result.full > 0
        assert any("--max-in-flight" in problem for problem in result.problems)
        # They were sent late, and their latency says so.
        assert result.latency.max >= result.service.max - 0.01
        assert result.lag.max > 0.3


async def test_a_warm_up_is_sent_and_left_out() -> None:
    async with emulator_of() as emulator:
        plan = Plan(schedule=OpenLoop(arrivals=FixedRate(50)), duration=0.6, warm_up=0.4)
        result = await LoadTest(ReadDisk(emulator.disk_ids), plan).run("token", base_url=emulator.url)
        assert emulator.ledger.total == 51
        assert result.offered == result.latency.count == 30


async def test_errors_are_outcomes_and_are_not_repeated() -> None:
    async with emulator_of() as emulator:
        test = LoadTest(ReadDisk([*emulator.disk_ids[:3], "disk_none"]), open_loop(80, 1.0))

        def fail() -> None:
            emulator.faults = Faults(unavailable=0.2, reset_before=0.2, seed=3)

        result = await test.run("token", base_url=emulator.url, progress=once(lambda: True, fail))
        assert result.requests == emulator.ledger.total - 1 == 80
        assert {"disk_not_found", "service_unavailable"} < result.errors.keys()
        ok = sum(one.latency.count for one in result.operations if one.outcome == "ok")
        assert ok + sum(result.errors.values()) == 80
        assert ok == emulator.ledger.by_status[200] - 1


# -- writes ----------------------------------------------------------------------------------------


async def test_disks_are_assigned_and_unassigned_and_left_as_they_were() -> None:
    async with emulator_of() as emulator:
        items = items_of(emulator)
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(items[0].disk, emulator.virtual_machine_ids[7])
        plan = Plan(schedule=OpenLoop(arrivals=Poisson(80)), duration=1.2)
        result = await LoadTest(AssignUnassign(items), plan).run("token", base_url=emulator.url)
        changes = emulator.ledger.applied_total
        assert changes["assign"] - 1 == changes["unassign"] > 10
        assert assigned(emulator) == [items[0].disk]
        assert emulator.ledger.applied_count(items[0].disk) == 1
        assert emulator.ledger.max_in_flight_per_virtual_machine == 1
        assert {one.operation for one in result.operations} == {"assign", "unassign"}
        assert result.notes[0] == "1 disk on a machine before the test: left out."
        assert result.left_behind == []


async def test_disks_with_unclear_responses_are_restored() -> None:
    faults = Faults(reset_after=0.4, seed=1, paths=["/disks/disk/assign", "/disks/disk/unassign"])
    async with emulator_of(faults=faults) as emulator:
        test = LoadTest(AssignUnassign(items_of(emulator)), open_loop(60, 1.0))
        restored = once(lambda: test.runner is not None and test.runner.elapsed > 0.5, faults.rates.clear)
        result = await test.run("token", base_url=emulator.url, progress=restored)
        assert result.errors["ConnectionLost"] > 0
        assert result.left_behind == []
        assert assigned(emulator) == []
        assert emulator.ledger.applied_total["assign"] == emulator.ledger.applied_total["unassign"]


async def test_a_machine_with_an_unclear_response_is_used_no_more() -> None:
    faults = Faults(paths=["/disks/disk/assign"])
    faults.next(FaultKind.RESET_AFTER, 1000)
    async with emulator_of(virtual_machines=3, faults=faults) as emulator:
        test = LoadTest(AssignUnassign(items_of(emulator)), open_loop(30, 1.0))
        result = await test.run("token", base_url=emulator.url)
        assert emulator.ledger.by_path["/disks/disk/assign"] == 3
        assert result.errors == {"ConnectionLost": 3, "NoFreeMachine": 27}
        assert assigned(emulator) == []


async def test_a_cancelled_test_restores_first() -> None:
    async with emulator_of(latency=0.1) as emulator:
        test = LoadTest(AssignUnassign(items_of(emulator)), open_loop(60, 30.0))
        running = asyncio.ensure_future(test.run("token", base_url=emulator.url))
        await until(lambda: len(assigned(emulator)) > 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert assigned(emulator) == []
        assert test.left_behind == []


async def test_what_cannot_be_restored_is_named() -> None:
    async with emulator_of(virtual_machines=2) as emulator:
        test = LoadTest(AssignUnassign(items_of(emulator)), open_loop(30, 1.0))

        def revoke() -> None:
            if assigned(emulator):
                emulator.tokens.clear()

        result = await test.run("token", base_url=emulator.url, progress=revoke)
        assert result.interrupted
        assert "check the API token" in (result.parts[0].stopped_by or "")
        left = assigned(emulator)
        assert left
        # A disk whose request was refused is named, too: it could not be read.
        assert set(left) <= {text.partition(" ")[0] for text in result.left_behind}


async def test_no_disk_to_assign_is_refused() -> None:
    async with emulator_of(disks=1, virtual_machines=1) as emulator:
        items = items_of(emulator)
        async with Client("token", base_url=emulator.url) as client:
            await client.disks.assign(items[0].disk, "vm_" + items[0].virtual_machine.removeprefix("vm_"))  # type: ignore[union-attr]
        with pytest.raises(LoadError, match="there is none to assign"):
            await LoadTest(AssignUnassign(items), open_loop(10, 1.0)).run("token", base_url=emulator.url)
        with pytest.raises(KatapultError, match="disk_not_found"):
            unknown = AssignUnassign([Assignment("disk_none", "vm_1")])
            await LoadTest(unknown, open_loop(10, 1.0)).run("token", base_url=emulator.url)


# -- other actions ---------------------------------------------------------------------------------


async def test_a_mix_with_an_own_action_and_its_restore() -> None:
    restored: list[str] = []

    async def names(client: Client) -> None:
        async for machine in client.virtual_machines.list(organization="acme"):
            assert machine.id
        if len(restored) == 99:
            raise AssertionError

    async def restore(client: Client) -> None:
        restored.append(client.base_url)

    async with emulator_of() as emulator:
        organization = emulator.world.organization.sub_domain
        own = OwnAction("machines", names, restore=restore)
        mix = Mix({ReadDisk(organization=organization): 2, ListDisks(organization): 1, own: 1})
        assert str(mix) == "50% read disks, 25% list disks, 25% machines"
        result = await LoadTest(mix, open_loop(60, 1.0)).run("token", base_url=emulator.url)
        assert {one.operation for one in result.operations} == {"disk", "list", "machines"}
        assert restored == [emulator.url]


async def test_an_error_of_an_own_action_is_an_outcome() -> None:
    async def wrong(client: Client) -> None:
        raise ZeroDivisionError(client.base_url)

    async with emulator_of() as emulator:
        result = await LoadTest(OwnAction("wrong", wrong), open_loop(20, 0.5)).run(
            "token", base_url=emulator.url
        )
        assert result.errors == {"ZeroDivisionError": 10}
        assert result.requests == 0


# -- ends ------------------------------------------------------------------------------------------


async def test_a_stopped_test_has_a_result() -> None:
    async with emulator_of() as emulator:
        test = LoadTest(ReadDisk(emulator.disk_ids), open_loop(50, 60.0))
        result = await test.run(
            "token", base_url=emulator.url, progress=once(lambda: emulator.ledger.total > 20, test.stop)
        )
        assert result.interrupted
        with pytest.raises(RuntimeError, match="run already"):
            await test.run("token", base_url=emulator.url)
        assert result.duration < 60
        assert result.latency.count == emulator.ledger.total - 1


async def test_a_refused_token_ends_the_test() -> None:
    async with emulator_of() as emulator:
        revoke = once(lambda: emulator.ledger.total > 9, emulator.tokens.clear)
        result = await LoadTest(ReadDisk(emulator.disk_ids), open_loop(50, 60.0)).run(
            "token", base_url=emulator.url, progress=revoke
        )
        assert "invalid_api_token" in (result.parts[0].stopped_by or "")
        assert result.errors["invalid_api_token"] > 0
        with pytest.raises(AuthenticationError):
            await LoadTest(ReadDisk(organization="acme"), open_loop(50, 60.0)).run(
                "wrong", base_url=emulator.url
            )


async def test_a_request_that_takes_too_long_is_an_outcome() -> None:
    async with emulator_of() as emulator:
        emulator.faults.script(lambda arrival: FaultKind.TIMEOUT_AFTER if arrival.sequence > 1 else None)
        plan = Plan(schedule=ClosedLoop(in_flight=1), duration=2.0)
        result = await LoadTest(ReadDisk(emulator.disk_ids), plan).run(
            "token", base_url=emulator.url, timeout=Timeout(connect=1, total=1)
        )
        assert set(result.errors) == {"RequestTimeout"}
        assert result.latency.max >= 1


async def test_a_test_starts_at_the_given_time() -> None:
    async with emulator_of() as emulator:
        at = time.time() + 0.5
        result = await LoadTest(ReadDisk(emulator.disk_ids), open_loop(50, 0.2)).run(
            "token", base_url=emulator.url, start_at=at
        )
        _, *calls = emulator.ledger.arrivals  # the first one has prepared the test
        assert all(arrival.time >= at - 0.01 for arrival in calls)
        started = datetime.fromisoformat(result.started_at.replace("Z", "+00:00")).timestamp()
        assert started >= at - 0.002
        assert result.notes == [] or "after its start time" in result.notes[0]


async def test_other_hosts_and_past_times_are_refused() -> None:
    test = LoadTest(ReadDisk(["disk_1"]), open_loop(1, 1.0), owned_hosts=["staging.example"])
    with pytest.raises(HostNotOwned, match=r"api\.katapult\.io is not this machine"):
        await test.run("token")
    with pytest.raises(LoadError, match="in the future"):
        await test.run("token", base_url="https://staging.example/core/v1", start_at=1.0)


async def test_response_times_of_a_bulk_run_are_those_of_its_requests() -> None:
    async with emulator_of(latency=0.02) as emulator:
        emulator.faults.next(FaultKind.UNAVAILABLE)
        times = ResponseTimes()
        async with Client("token", base_url=emulator.url, concurrency=4) as client:
            with client.session.watching(times):
                pairs = [(disk, emulator.virtual_machine_ids[0]) for disk in emulator.disk_ids[:12]]
                report = await client.disks.assign_many(pairs)
            await client.disks.get(emulator.disk_ids[0])  # nobody watches this one
    assert report.ok
    found = times.of("POST /disks/disk/assign")
    assert found.total == report.requests == 13
    assert times.of("GET /disks/disk").total == 0
    assert set(times.histograms) == {
        ("POST /disks/disk/assign", "ok"),
        ("POST /disks/disk/assign", "service_unavailable"),
    }
    assert found.percentile(50) >= 0.02
