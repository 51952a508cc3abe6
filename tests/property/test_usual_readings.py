"""The short way for usual readings changes the state of the rate window as the long way does."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings

from katapult_async.ratelimit import Evidence, Permit, Wait, Window
from katapult_async.ratelimit import window as window_module
from katapult_async.ratelimit.belief import Belief
from katapult_async.ratelimit.usual import read_usual
from tests.property.test_lies import EXAMPLES, PERIOD, Scenario, play, scenarios

_decoder = msgspec.msgpack.Decoder(Window)


class ComparedWindow:
    """A window. After each response its state is compared with that of a copy on the long way."""

    def __init__(self) -> None:
        self._window = Window.start(period=PERIOD)
        self.usual = 0
        self.usual_while_refilling = 0
        self.responses = 0

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        return self._window.take(now, waiting=waiting)

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        self.responses += 1
        long = _decoder.decode(msgspec.msgpack.encode(self._window))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(window_module, "read_usual", never_usual)
            long.answered(permit, now, evidence)

        def counting(*args: Any, **kwargs: Any) -> bool:
            usual = read_usual(*args, **kwargs)
            self.usual += usual
            self.usual_while_refilling += usual and self._window.belief is Belief.REFILLING
            return usual

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(window_module, "read_usual", counting)
            self._window.answered(permit, now, evidence)
        assert state(self._window) == state(long)

    def __getattr__(self, name: str) -> object:
        return getattr(self._window, name)


def never_usual(*_args: object, **_kwargs: object) -> bool:
    return False


def state(window: Window) -> object:
    """Return the state without what is only there to recognize usual readings."""
    whole = msgspec.to_builtins(window)
    numbers = whole["_aligned"]["numbers"]
    for name in [name for name in numbers if name.startswith("_same")]:
        del numbers[name]
    return whole


def compared(scenario: Scenario) -> ComparedWindow:
    window = ComparedWindow()
    play(scenario, cast("Window", window))
    return window


@settings(max_examples=max(10, EXAMPLES // 5))
@given(scenarios())
def test_both_ways_lead_to_the_same_state(scenario: Scenario) -> None:
    compared(scenario)


@pytest.mark.parametrize("latency", [(0.02, 0.05), (0.1, 0.2)])
def test_most_readings_of_a_busy_client_are_usual(latency: tuple[float, float]) -> None:
    window = compared(Scenario("aligned", 600, 3.0, latency, 20.0, 32, True, (), 0.5, 1))
    assert window.usual > window.responses / 3


def test_readings_of_a_token_bucket_are_usual() -> None:
    window = compared(Scenario("burst", 2000, 2.0, (0.02, 0.05), 20.0, 8, True, (), 0.0, 1))
    assert window.usual_while_refilling > window.responses / 3
