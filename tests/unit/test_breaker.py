"""The circuit breaker: when it opens, when a probe is sent, when it gives up, what it excuses."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.errors import APIError, KatapultError, ServiceUnavailable, error_from_response
from katapult_async.ratelimit import BreakerGate, Charges
from katapult_async.ratelimit.breaker import FEWEST, LONGEST_PAUSE, Breaker, BreakerState
from katapult_async.ratelimit.breaker_gate import MOST_EXCUSED
from katapult_async.transport.wire import client_is_closed
from tests.virtual_time import run


def fail(breaker: Breaker, now: float = 0.0, **how: bool) -> None:
    breaker.failed(now, **how)


def opened(*, concurrency: int = 4, patience: float = 300.0) -> Breaker:
    breaker = Breaker(concurrency=concurrency, patience=patience)
    breaker.answered(0)
    while breaker.state is BreakerState.CLOSED:
        fail(breaker)
    return breaker


def fail_probe(breaker: Breaker, now: float = 0.0, **how: bool) -> None:
    assert breaker.ask(now) == 0
    breaker.probe_failed(now, spread=1.0, **how)


# -- opening ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "threshold"), [(1, 4), (4, 4), (32, 32)])
def test_it_opens_after_concurrency_failures_in_a_row(concurrency: int, threshold: int) -> None:
    breaker = Breaker(concurrency=concurrency)
    breaker.answered(0)
    for _ in range(threshold - 1):
        fail(breaker)
    breaker.answered(0)
    for _ in range(threshold):
        assert breaker.state is BreakerState.CLOSED
        fail(breaker)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.given_up


def test_it_gives_up_when_the_first_probe_fails_before_any_valid_response() -> None:
    breaker = Breaker(concurrency=32)
    for _ in range(32):
        fail(breaker)
    assert not breaker.given_up
    fail_probe(breaker)
    assert breaker.given_up


def test_four_time_outs_open_it_before_any_valid_response() -> None:
    breaker = Breaker(concurrency=32)
    fail(breaker)
    for _ in range(FEWEST):
        assert breaker.state is BreakerState.CLOSED
        fail(breaker, slow=True)
    assert breaker.state is BreakerState.OPEN
    breaker = Breaker(concurrency=32)
    breaker.answered(0)
    for _ in range(31):
        fail(breaker, slow=True)
    assert breaker.state is BreakerState.CLOSED


def test_an_unavailable_api_still_counts_as_reachable() -> None:
    breaker = Breaker(concurrency=4)
    for _ in range(4):
        fail(breaker, unavailable=True)
    fail_probe(breaker)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.given_up


def test_a_response_to_an_older_request_does_not_close_it() -> None:
    breaker = opened()
    breaker.answered(3)
    assert breaker.state is BreakerState.OPEN
    assert (breaker.number, breaker.proven) == (4, 3)


# -- probes ----------------------------------------------------------------------------------------


def test_the_first_probe_is_sent_at_once_and_later_pauses_double() -> None:
    breaker = opened()
    now = 0.0
    for pause in (0, 1, 2, 4, 8, 16, 30, 30):
        assert breaker.ask(now) == pause
        now += pause
        if pause:
            assert breaker.ask(now) == 0
        assert breaker.state is BreakerState.HALF_OPEN
        assert breaker.ask(now) == math.inf
        fail(breaker, now)  # a request sent before it opened
        assert breaker.state is BreakerState.HALF_OPEN
        breaker.probe_failed(now, spread=1.0)
    assert breaker.ask(now + 30) == 0
    breaker.probe_answered()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failures == 0


def test_a_cancelled_probe_allows_the_next_one() -> None:
    breaker = opened()
    assert breaker.ask(0.0) == 0
    breaker.probe_cancelled()
    assert breaker.ask(0.0) == 0


def test_the_last_probe_is_sent_when_patience_ends() -> None:
    breaker = opened(patience=5.0)
    for now in (0.0, 1.0, 3.0):
        fail_probe(breaker, now)
        assert not breaker.given_up
    assert breaker.ask(3.0) == 2.0
    fail_probe(breaker, 5.0)
    assert breaker.given_up


@pytest.mark.parametrize("patience", [-1.0, math.nan])
def test_an_invalid_patience_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience"):
        Breaker(concurrency=1, patience=patience)


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from("afsnpx?"), st.floats(0, 20), st.floats(0.5, 1.0)), max_size=200),
)
def test_a_probe_is_sent_in_time_after_any_sequence_of_events(
    concurrency: int, events: list[tuple[str, float, float]]
) -> None:
    breaker = Breaker(concurrency=concurrency)
    breaker.answered(0)
    now = 0.0
    probing = False
    for event, seconds, spread in events:
        now += seconds
        if breaker.state is not BreakerState.CLOSED:
            wait = breaker.ask(now)
            assert wait == 0 or (probing and wait == math.inf) or 0 < wait <= LONGEST_PAUSE
            probing = probing or wait == 0
        if event == "a":
            breaker.answered(breaker.number)
        elif event == "?":
            breaker.suspect(now)
        elif event in "fs" or not probing:
            breaker.failed(now, unavailable=event == "s")
        else:
            if event == "n":
                breaker.probe_failed(now, spread=spread)
            elif event == "p":
                breaker.probe_answered()
            else:
                breaker.probe_cancelled()
            probing = False
        assert (breaker.state is BreakerState.HALF_OPEN) == probing
        assert breaker.proven <= breaker.number
        assert breaker.confirmed <= (breaker.state is not BreakerState.CLOSED)


# -- which attempts are charged --------------------------------------------------------------------


def test_attempts_are_excused_in_an_outage_and_not_after_a_false_alarm() -> None:
    breaker = opened()  # failures 1 to 4
    assert breaker.ask(0.0) == 0
    breaker.probe_answered()
    assert not breaker.lost(0, 4)
    for _ in range(4):
        fail(breaker)  # 5 to 8
    fail_probe(breaker)  # 9
    assert not breaker.lost(3, 4)
    assert breaker.lost(4, 5)
    assert breaker.lost(8, 10)
    assert breaker.ask(1.0) == 0
    breaker.probe_answered()
    fail(breaker)  # 10
    assert breaker.lost(8, 10)  # sent before the end of the outage
    assert not breaker.lost(9, 10)


class Probes:
    """The gate of a breaker, with probes whose results a test sets, in virtual time."""

    def __init__(self, *results: KatapultError | None, concurrency: int = 32) -> None:
        self.results = list(results)
        self.sent = 0
        self.gate = BreakerGate(concurrency=concurrency, probe=self._probe, give_up=lambda _error: None)
        self.gate.answered(0)

    async def _probe(self) -> KatapultError | None:
        self.sent += 1
        await asyncio.sleep(0.1)
        result = self.results.pop(0)
        if result is not None and result.stops_run:
            raise result
        return result


UNAVAILABLE = ServiceUnavailable(status=503, code="service_unavailable")
MISSING = APIError(status=400, code="missing_required_argument")


def test_an_item_without_attempts_left_waits_for_a_verdict() -> None:
    async def main(result: KatapultError | None) -> tuple[bool, int, int]:
        probes = Probes(result, None)
        charges = Charges(probes.gate)
        for _ in range(2):
            probes.gate.failed(UNAVAILABLE, 0)
            charges.failed(1.0, 0)
            charges.paused(0.5)
        excused = await charges.excused(used_up=True)
        return excused, probes.sent, charges.attempts

    assert run(main(UNAVAILABLE)) == (True, 2, 0)
    assert run(main(None)) == (False, 1, 2)
    assert run(main(MISSING)) == (False, 1, 2)


def test_no_verdict_is_needed_if_the_api_has_responded_since() -> None:
    async def main() -> None:
        probes = Probes()
        charges = Charges(probes.gate)
        probes.gate.failed(UNAVAILABLE, 0)
        charges.failed(1.0, 0)
        probes.gate.answered(1)  # a response to another item
        probes.gate.failed(UNAVAILABLE, 1)
        charges.failed(1.0, 1)
        assert not await charges.excused(used_up=True)
        assert (probes.sent, charges.attempts, charges.seconds) == (0, 2, 2.0)

    run(main())


def test_a_response_to_an_older_request_is_no_verdict() -> None:
    async def main() -> None:
        probes = Probes(UNAVAILABLE, None)
        charges = Charges(probes.gate)
        probes.gate.failed(UNAVAILABLE, 0)
        charges.failed(1.0, 0)
        probes.gate.answered(0)  # sent before the item failed
        assert await charges.excused(used_up=True)
        assert probes.sent == 2

    run(main())


def test_a_failure_during_a_probe_requires_another_probe() -> None:
    async def main() -> None:
        probes = Probes(None, None)
        first, second = Charges(probes.gate), Charges(probes.gate)
        probes.gate.failed(UNAVAILABLE, 0)
        first.failed(1.0, 0)
        waiting = asyncio.create_task(first.excused(used_up=True))
        await asyncio.sleep(0.05)
        probes.gate.failed(UNAVAILABLE, 0)
        second.failed(1.0, 0)
        assert not await second.excused(used_up=True)
        assert not await waiting
        assert probes.sent == 2

    run(main())


def test_a_cancelled_probe_lets_another_waiter_probe() -> None:
    async def main() -> None:
        probes = Probes(None)
        gate = probes.gate
        first = asyncio.create_task(gate.ask_for_verdict())
        await asyncio.sleep(0.05)
        second = asyncio.create_task(gate.wait())
        await asyncio.sleep(0.01)
        first.cancel()
        await second
        assert probes.sent == 2
        assert not gate.open

    run(main())


def test_a_closed_client_ends_the_wait_for_a_verdict() -> None:
    async def main() -> None:
        probes = Probes(client_is_closed())
        charges = Charges(probes.gate)
        probes.gate.failed(UNAVAILABLE, 0)
        charges.failed(1.0, 0)
        assert await charges.excused(used_up=True)

    run(main())


def test_an_item_that_takes_the_api_down_each_time_runs_out_of_attempts() -> None:
    async def main() -> tuple[int, int]:
        probes = Probes(*(result for _ in range(MOST_EXCUSED + 9) for result in (UNAVAILABLE, None)))
        charges = Charges(probes.gate)
        tries = 0
        excused = True
        while excused:
            tries += 1
            number = probes.gate.number
            probes.gate.failed(UNAVAILABLE, number)
            charges.failed(1.0, number)
            excused = await charges.excused(used_up=True)
        return tries, charges.attempts

    assert run(main()) == (MOST_EXCUSED + 1, 1)


def test_without_a_breaker_each_attempt_is_charged() -> None:
    async def main() -> None:
        charges = Charges(None)
        for _ in range(3):
            charges.failed(1.0, 0)
        assert (charges.attempts, charges.seconds) == (3, 3.0)
        assert not await charges.excused(used_up=True)

    run(main())


async def test_a_gate_shows_its_state() -> None:
    gate = Probes().gate
    assert repr(gate) == "<BreakerGate <Breaker CLOSED failures=0 seen=True>>"
    html = error_from_response(429, {"Content-Type": "text/html"}, b"<html>")
    gate.failed(html, 0)
    assert gate.failures == 1
