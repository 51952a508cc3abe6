"""The circuit breaker as a pure state machine: when it opens, when a probe goes, when it gives up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.ratelimit import BreakerGate, Charges
from katapult_async.ratelimit.breaker import FEWEST, LONGEST_PAUSE, Breaker, BreakerState


def fail(breaker: Breaker, now: float, **how: bool) -> None:
    breaker.failed(now, under_way=32, spread=1.0, **how)


def opened(*, concurrency: int = 4, patience: float = 300.0) -> Breaker:
    breaker = Breaker(concurrency=concurrency, patience=patience)
    breaker.answered()
    while breaker.state is BreakerState.CLOSED:
        fail(breaker, 0.0)
    return breaker


@pytest.mark.parametrize(("concurrency", "threshold"), [(1, 4), (4, 4), (32, 32)])
def test_it_opens_after_as_many_failures_in_a_row_as_are_in_flight(concurrency: int, threshold: int) -> None:
    breaker = Breaker(concurrency=concurrency)
    breaker.answered()
    for _ in range(threshold - 1):
        fail(breaker, 1.0)
    assert breaker.ask(1.0) == 0
    breaker.answered()
    for _ in range(threshold):
        assert breaker.state is BreakerState.CLOSED
        fail(breaker, 1.0)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.given_up


def test_few_items_under_way_open_it_sooner() -> None:
    breaker = Breaker(concurrency=32)
    breaker.answered()
    for _ in range(FEWEST):
        breaker.failed(0.0, under_way=2, spread=1.0)
    assert breaker.state is BreakerState.OPEN


def test_two_time_outs_are_enough_when_two_items_are_under_way() -> None:
    breaker = Breaker(concurrency=32)
    breaker.answered()
    for _ in range(2):
        assert breaker.state is BreakerState.CLOSED
        breaker.failed(0.0, under_way=2, spread=1.0, timed_out=True)
    assert breaker.state is BreakerState.OPEN


def test_without_any_valid_answer_it_gives_up_when_it_opens() -> None:
    breaker = Breaker(concurrency=32)
    for _ in range(31):
        breaker.failed(0.0, under_way=1, spread=1.0)
    assert not breaker.given_up
    breaker.failed(0.0, under_way=1, spread=1.0)
    assert breaker.given_up


def test_time_outs_alone_are_enough_when_four_have_come_before_any_answer() -> None:
    breaker = Breaker(concurrency=32)
    for _ in range(FEWEST):
        assert not breaker.given_up
        fail(breaker, 0.0, timed_out=True)
    assert breaker.given_up


def test_an_api_that_is_not_available_is_there_all_the_same() -> None:
    breaker = Breaker(concurrency=4)
    for _ in range(4):
        fail(breaker, 0.0, unavailable=True)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.given_up


def test_one_probe_at_a_time_with_pauses_that_double() -> None:
    breaker = opened()
    now = 0.0
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert breaker.ask(now) == pause
        now += pause
        assert breaker.ask(now) == 0
        assert breaker.state is BreakerState.HALF_OPEN
        assert breaker.ask(now) == math.inf
        fail(breaker, now)  # a straggler that is not the probe
        assert breaker.state is BreakerState.HALF_OPEN
        fail(breaker, now, probe=True)
    breaker.answered()
    assert breaker.ask(now) == 0
    assert (breaker.series, breaker.opened_in) == (1, 0)


def test_a_probe_that_never_left_makes_way_for_the_next_one() -> None:
    breaker = opened()
    assert breaker.ask(1.0) == 0
    breaker.abandoned()
    assert breaker.ask(1.0) == 0


def test_the_last_probe_goes_when_patience_ends() -> None:
    breaker = opened(patience=5.0)
    for now in (1.0, 3.0):
        assert breaker.ask(now) == 0
        fail(breaker, now, probe=True)
        assert not breaker.given_up
    assert breaker.ask(3.0) == 2.0
    assert breaker.ask(5.0) == 0
    fail(breaker, 5.0, probe=True)
    assert breaker.given_up


@pytest.mark.parametrize("patience", [-1.0, math.nan])
def test_patience_that_makes_no_sense_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience"):
        Breaker(concurrency=1, patience=patience)


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from("afpsx"), st.floats(0, 20), st.floats(0.5, 1.0)), max_size=200),
)
def test_whatever_happens_a_probe_goes_in_time(
    concurrency: int, events: list[tuple[str, float, float]]
) -> None:
    breaker = Breaker(concurrency=concurrency)
    breaker.answered()
    now = 0.0
    probing = False
    for event, seconds, spread in events:
        now += seconds
        wait = breaker.ask(now)
        probing = probing or breaker.state is BreakerState.HALF_OPEN
        assert wait == 0 or (probing and wait == math.inf) or 0 < wait <= LONGEST_PAUSE
        if event == "a":
            breaker.answered()
            probing = False
        elif event == "x" and probing:
            breaker.abandoned()
            probing = False
        elif event in "fs" or not probing:
            breaker.failed(now, under_way=concurrency, spread=spread, unavailable=event == "s")
        else:
            breaker.failed(now, under_way=concurrency, spread=spread, probe=True)
            probing = False
        assert (breaker.state is BreakerState.HALF_OPEN) == probing
        assert (breaker.failures == 0) == (event == "a") or breaker.failures > 0


class Known:
    """The two numbers of a breaker that charging looks at."""

    series = 0
    opened_in = -1


def test_tries_of_an_outage_are_not_charged() -> None:
    known = Known()
    charges = Charges(known)  # type: ignore[arg-type]
    charges.failed(2.0, 0)
    charges.paused(1.0)
    charges.failed(3.0, 0)
    assert (charges.attempts, charges.seconds) == (2, 6.0)
    known.opened_in = 0
    charges.failed(4.0, 0)  # it overlapped the opening, and the two before belong to it
    assert (charges.attempts, charges.seconds) == (0, 0.0)
    charges.failed(5.0, 0)  # a probe
    known.series = 1
    charges.failed(6.0, 1)
    assert (charges.attempts, charges.seconds) == (1, 6.0)
    known.series = 2
    charges.failed(1.0, 1)
    known.series, known.opened_in = 3, 2
    charges.failed(1.0, 3)
    assert (charges.attempts, charges.seconds) == (2, 7.0)


def test_without_a_breaker_each_try_is_charged() -> None:
    charges = Charges(None)
    for _ in range(3):
        charges.failed(1.0, 0)
    assert (charges.attempts, charges.seconds) == (3, 3.0)


async def test_a_gate_shows_its_state() -> None:
    gate = BreakerGate(concurrency=1, under_way=lambda: 1, give_up=lambda _error: None)
    assert repr(gate) == "<BreakerGate <Breaker CLOSED failures=0 seen=False>>"
