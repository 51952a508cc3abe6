"""How the server's counter gets its permits back: all at once, one by one, or steadily.

A window restarts as a whole. A sliding window gives a permit back one period after the request. A
token bucket refills steadily. This module compares readings of the counter to tell them apart. It
does not decide when to send, but it names moments at which a request would tell more
(`AlignedWindows._delay_last_permits`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: Number of windows in a row that start with less than half of the limit, before the counter is
#: suspected to be a token bucket.
FEWEST_SMALL = 2


class Idle(NamedTuple):
    """The last moment at which none of our requests was in flight."""

    sent: float
    remaining: int
    number: int
    #: Until when all our counted requests stay within the period.
    next_expiry: float


class CounterKind(msgspec.Struct):
    """What the readings show about the counter."""

    #: The last moment without a request in flight; None if one is, or had no reading.
    idle: Idle | None = None
    # Windows in a row that started with less than half of the limit, and how many of them lead to a
    # probe. Each probe doubles that number.
    _small_windows: int = 0
    _windows_before_probe: int = FEWEST_SMALL
    _probed: bool = False
    #: Whether the counter stayed the same during a pause.
    steady: bool = False
    #: The highest reading so far.
    highest: int = 0

    @property
    def idle_since(self) -> float | None:
        """When the last request was sent; None if one is in flight or had no reading."""
        return self.idle.sent if self.idle is not None else None

    def note_window_start(self, remaining: int, limit: int) -> None:
        """Note the reading of our first request in a window.

        Args:
            remaining: The reading.
            limit: Requests permitted per window.
        """
        self._probed = False
        self._small_windows = self._small_windows + 1 if 2 * (remaining + 1) < limit else 0

    def probe_at(self, per_second: float) -> float | None:
        """Return when to probe a counter that is used up; None if there is no reason to.

        A token bucket much smaller than the limit looks like windows that other clients use up. If
        the server permits the probe, the counter rises by itself.

        Args:
            per_second: How fast a bucket of the known limit would refill.
        """
        if self._probed or self._small_windows < self._windows_before_probe or self.idle is None:
            return None
        return self.idle.sent + max(1.0, 3 / per_second)

    def note_probe_sent(self) -> None:
        """Note that the probe is sent."""
        self._probed = True
        self._windows_before_probe *= 2

    def note_probe_permitted(self) -> None:
        """Note that the server permitted the probe, so that another one may follow."""
        self._probed = False
        self._windows_before_probe = FEWEST_SMALL

    def forget_reading(self) -> None:
        """Forget the last reading, because a request ended without one."""
        self.idle = None

    def refills(
        self,
        sent: float,
        now: float,
        remaining: int,
        number: int,
        *,
        per_second: float,
        alone: bool,
        others: bool,
    ) -> bool:
        """Return whether two readings of one window show a token bucket.

        None of our requests may lie between the two readings.

        Args:
            sent: When the request of the second reading was sent, local time in seconds.
            now: When its response arrived.
            remaining: The second reading.
            number: The window that the second reading certainly belongs to.
            per_second: How fast a bucket of the known limit would refill.
            alone: Whether no other request of ours was in flight or sent meanwhile, and no other
                client sends.
            others: Whether another client may have used up what came back.
        """
        before, self.idle = self.idle, None
        if before is None or not alone or before.number != number:
            return False
        elapsed = now - before.sent
        risen = remaining - (before.remaining - 1)
        # Our older requests that leave a sliding window raise its counter, too.
        if 0 < risen <= 1.5 * per_second * elapsed + 2 and now < before.next_expiry:
            return True
        if risen <= 0 and not others and sent - before.sent >= 2 / per_second:
            self.steady = True
        return False

    def note_idle(self, sent: float, remaining: int, number: int, next_expiry: float) -> None:
        """Note the reading after which none of our requests is in flight."""
        self.idle = Idle(sent, remaining, number, next_expiry)


def slides(remaining: int, *, limit: int, admitted: int) -> bool:
    """Return whether the counter only forgot old requests at a boundary instead of restarting.

    Args:
        remaining: The reading of the first request after the boundary.
        limit: Requests permitted per window.
        admitted: Our requests of the last period.
    """
    sliding = limit - admitted - 1
    return abs(remaining - sliding) <= 2 and sliding + 2 < limit - 1
