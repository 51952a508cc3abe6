"""The state of the rate window is data: encoding and decoding it changes no decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings

from katapult_async.ratelimit import Evidence, Permit, Wait, Window
from tests.lying_server import Lie
from tests.property.test_lies import EXAMPLES, PERIOD, Played, Scenario, play, scenarios

_decoder = msgspec.msgpack.Decoder(Window)
_permits = msgspec.msgpack.Decoder(Permit)


@dataclass
class EncodedWindow:
    """A window that exists only as bytes between two calls."""

    data: bytes

    def _call(self, method: str, *args: object, **kwargs: object) -> object:
        window = _decoder.decode(self.data)
        result = getattr(window, method)(*args, **kwargs)
        self.data = msgspec.msgpack.encode(window)
        return result

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        decision = self._call("take", now, waiting=waiting)
        if isinstance(decision, Permit):
            return _permits.decode(msgspec.msgpack.encode(decision))
        return cast("Wait", decision)

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        self._call("answered", permit, now, evidence)

    def pace(self, now: float) -> float | None:
        return cast("float | None", self._call("pace", now))

    def __getattr__(self, name: str) -> object:
        return getattr(_decoder.decode(self.data), name)


def trace(played: Played) -> list[tuple[float, float, bool]]:
    return [(entry.sent, entry.answered, entry.permitted) for entry in played.server.log]


def assert_same(scenario: Scenario) -> None:
    written = EncodedWindow(msgspec.msgpack.encode(Window.start(period=PERIOD)))
    assert trace(play(scenario, cast("Window", written))) == trace(play(scenario))


@settings(max_examples=max(10, EXAMPLES // 10))
@given(scenarios())
def test_a_window_encoded_between_calls_decides_the_same(scenario: Scenario) -> None:
    assert_same(scenario)


@pytest.mark.parametrize("kind", ["aligned", "fixed", "sliding", "bucket", "burst"])
@pytest.mark.parametrize("headers", [True, False])
def test_an_encoded_window_decides_the_same_with_every_kind_of_limiter(kind: str, headers: bool) -> None:
    lies = (Lie("date", 120, 5, 90, 0.1),)
    assert_same(Scenario(kind, 60, 3.0, (0.02, 0.05), 30.0, 8, headers, lies, 0.5, 1))
