"""The rate window of one token: decides whether the next request may be sent now, and if not, when.

A rate window is the period (one minute) for which the server permits a fixed number of requests.
This module is a pure state machine: it has no clock, no sleep, no randomness and no I/O. The caller
passes in times, in seconds of its monotonic clock. `take` returns a Permit (one request may be
sent) or a Wait. The caller ends every permit with exactly one call: `answered` (a response
arrived), `lost` (the request was sent and got no response, so the server may have counted it) or
`unused` (it was never sent). The whole state is data: msgspec can encode and decode it between any
two calls.

How it decides depends on its belief about the server (belief.py). A solo request is one whose
response all other requests wait for: the first request, the first request after a 429, and the
first request in a new window. Three mechanisms apply in every belief:

- After a 429 the gate is closed, and requests go out one at a time until one is permitted (the
  closure, closure.py and backoff.py).
- If the server refuses bursts although the limit is not used up, requests are spaced evenly (paced
  mode, pace.py).
- Headers that were wrong are ignored for a while. After that only a few requests may be in flight
  at first (caution, trust.py).

No wait for a boundary is longer than one period after the last permitted request.
docs/explanation/rate-limits.md explains all of this.
"""

from __future__ import annotations

import math

import msgspec

from .aligned import PATIENCE, AlignedWindows, Reading
from .backoff import Backoff
from .belief import ALIGNED, REFILLING, Belief
from .closure import Closure
from .evidence import Evidence
from .limit import Limit
from .permit import PLAIN, Permit, Role, Wait, WaitReason
from .trailing import BUCKETS, TrailingRule
from .trust import CONTRADICTED, NOT_ALIGNED, Trust
from .usual import read_usual

#: The longest recent round trip decays by this factor with each response.
TRIP_DECAY = 0.95


class Window(msgspec.Struct):
    """The state machine of one rate window. Create it with `Window.start`.

    Args:
        period: Length of a window, in seconds.
        sharers: Other clients, plus this one, that are known to send equally much and do not share
            this state. This client takes its share only.
    """

    period: float
    _limit: Limit
    _aligned: AlignedWindows
    _trailing: TrailingRule
    _backoff: Backoff
    _trust: Trust
    _belief: Belief = Belief.COLD
    # The serial number of the solo request in flight, and when it was sent.
    _solo: int | None = None
    _solo_sent: float = 0.0
    _in_flight: int = 0
    _sends: int = 0
    # The longest recent round trip, in seconds.
    _longest_trip: float = 0.0
    # 429s received in REFILLING.
    _strikes: int = 0
    sharers: int = 1

    @classmethod
    def start(cls, *, period: float = 60.0, limit: int | None = None, grain: int = BUCKETS) -> Window:
        """Create the state before any response.

        Args:
            period: Length of a window, in seconds.
            limit: Requests per window, if the caller knows it.
            grain: Number of parts of a period in which responses are counted. A permit comes back
                up to one part late.

        Raises:
            ValueError: If `period` or `limit` is not positive, or `period` is not finite.
        """
        if not 0 < period < math.inf:
            raise ValueError(f"period must be a positive, finite number of seconds, not {period!r}")
        if limit is not None and limit <= 0:
            raise ValueError(f"total_permitted must be at least 1, not {limit!r}")
        return cls(
            period,
            Limit(period, limit),
            AlignedWindows.start(period, grain),
            TrailingRule.start(period, grain),
            Backoff(period),
            Trust(period),
        )

    def __repr__(self) -> str:
        parts = [f"{self._belief.value}; limit={self.limit} in_flight={self._in_flight}"]
        if self._belief in (Belief.ALIGNED, Belief.REFILLING):
            parts.append(f"{self._aligned!r}")
        elif self._belief is Belief.TRAILING:
            parts.append(f"{self._trailing!r}")
        if self._backoff.refusals:
            parts.append(f"{self._backoff!r}")
        return f"<Window {' '.join(parts)}>"

    @property
    def limit(self) -> int | None:
        """Requests permitted per window; None while unknown."""
        return self._limit.value

    @property
    def belief(self) -> Belief:
        """The kind of limiter that the server seems to have."""
        return self._belief

    @property
    def in_flight(self) -> int:
        """Requests sent and not ended."""
        return self._in_flight

    @property
    def number(self) -> int:
        """The number of the newest window of the server's clock that was read; 0 if none."""
        return self._aligned.numbers.newest_read

    @property
    def remaining(self) -> int | None:
        """Requests that the server's counter certainly leaves; None if it is not used."""
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            return None
        return max(0, int(self._aligned.counter.free(self._in_flight)))

    def next_window(self) -> float | None:
        """When the next window of the server's clock may be entered; None for other limiters."""
        return self._aligned.boundary() if self._belief is Belief.ALIGNED else None

    def counted(self, now: float) -> int:
        """Requests of the last period that the server has counted, or may have."""
        return self._trailing.responses(now)

    @property
    def refusals(self) -> int:
        """Number of 429s received."""
        return self._backoff.refusals

    @property
    def kept(self) -> int:
        """Number of entries in memory. It is bounded, whatever the traffic."""
        return len(self._trailing.admissions) + len(self._trailing.refusals) + len(self._aligned.counter)

    @property
    def paced(self) -> bool:
        """Whether requests may have to be spaced evenly."""
        return self._backoff.pace is not None

    def pace(self, now: float) -> float | None:
        """Return the requests per window to send evenly at `now`, or None if bursts are allowed."""
        if self._backoff.pace is None or self._backoff.closure is not None:
            return None
        return self._backoff.pace.at(now)

    def adopt_limit(self, limit: int) -> None:
        """Adopt the limit (requests per window) that a caller has given, if none is known yet.

        Raises:
            ValueError: If another limit is known, from another caller or from the server.
        """
        self._limit.set_from_caller(limit)
        if self._belief is Belief.OPEN:
            self._belief = Belief.TRAILING

    # -- decisions ---------------------------------------------------------------------------------

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        """Return a permit to send one request now, or how long to wait.

        `waiting` requests want to be sent, this one included.
        """
        if self._solo is not None:
            patient_until = self._solo_sent + self._patience()
            if now < patient_until:
                return Wait(patient_until, WaitReason.ANSWER)
        role = PLAIN
        if self._backoff.closure is not None:
            wait, role = self._decide_closed(self._backoff.closure, now)
        elif (belief := self._belief) is ALIGNED:
            wait, role = self._aligned.decide(
                now, self._limit.value or 1, self._in_flight, waiting, self.sharers - 1
            )
        elif belief is Belief.COLD:
            wait = None
            role = Role.FIRST
        elif belief is REFILLING:
            wait = self._aligned.decide_refilling(now, self._share(), self._in_flight)
        else:
            wait = self._decide_trailing(now)
        if wait is None and self._trust.cautious and self._in_flight >= self._trust.caution(now):
            wait = Wait(math.inf, WaitReason.ANSWER)
        if wait is not None:
            return wait
        return self._permit(now, role)

    def _patience(self) -> float:
        return min(max(PATIENCE, 2 * self._longest_trip), max(PATIENCE, self.period))

    def _permit(self, now: float, role: Role) -> Permit:
        aligned, numbers = self._aligned, self._aligned.numbers
        lowest = aligned.counter.lowest
        permit = Permit(
            now, self._sends, self._in_flight == 0, role, numbers.of_request(now), numbers.newest_read, lowest
        )
        if not self._sends:
            aligned.last_response_at = now
        if role is not PLAIN:
            self._solo, self._solo_sent = self._sends, now
        self._sends += 1
        self._in_flight += 1
        return permit

    def _decide_closed(self, closure: Closure, now: float) -> tuple[Wait | None, Role]:
        if self._belief is Belief.ALIGNED and self._aligned.counter.free(self._in_flight) < 1:
            # The headers explain the 429: the window is used up.
            until = max(closure.until, self._aligned.boundary())
            return Wait(until, WaitReason.WINDOW) if now < until else None, Role.ENTRY
        if not closure.diagnosed and (self._in_flight == 0 or now >= closure.until):
            self._backoff.diagnose(closure, now, self.limit, self._trailing)
        until = closure.until
        if self.limit is not None and self._belief is not Belief.ALIGNED:
            until = max(until, self._trailing.own_free_at(now, self.limit, self._in_flight))
            # The trailing count can leave nothing for longer than one period. The window of the
            # refusal has ended by then.
            until = min(until, max(closure.until, closure.since + self.period))
        return Wait(until, WaitReason.REFUSED) if now < until else None, Role.PROBE

    def _decide_trailing(self, now: float) -> Wait | None:
        if self._limit.value is None:
            return None
        self._limit.raise_disputed(now)
        free_at = self._trailing.free_at(now, self._share(), self._in_flight)
        return Wait(free_at, WaitReason.LIMIT) if now < free_at else None

    def _share(self) -> int:
        return max(1, (self._limit.value or 1) // self.sharers)

    def counts_apart(self, permit: Permit) -> bool:
        """Return whether the 429 to this permit shows a counter per request type."""
        return self._belief is Belief.ALIGNED and self._aligned.counts_apart(permit, self._in_flight)

    # -- responses ---------------------------------------------------------------------------------

    def unused(self, permit: Permit) -> None:
        """End a permit whose request was never sent. The server cannot have counted it."""
        self._end(permit)

    def lost(self, permit: Permit, now: float) -> None:
        """End a permit whose request got no response by `now`. The server may have counted it."""
        self._end(permit)
        self._trailing.lost(now)
        self._aligned.lost(permit, now)

    def stray(self, now: float) -> None:
        """Count a request that was sent by `now` without a permit of this window."""
        self._trailing.lost(now)
        self._aligned.add_unread(now)

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        """End a permit whose request got a response with these facts at `now`."""
        self._end(permit)
        trip, longest = now - permit.sent, TRIP_DECAY * self._longest_trip
        self._longest_trip = trip if trip > longest else longest
        if self._in_flight and (self._belief is ALIGNED or self._belief is REFILLING):
            limit, in_flight = self._limit.value, self._in_flight
            if read_usual(self._aligned, permit, now, evidence, limit=limit, in_flight=in_flight):
                self._trailing.admissions.add(now)
                return
        date = evidence.date
        if date is not None:
            date = self._aligned.numbers.read_date(date, permit.sent, now)
        trusted = self._read_headers(permit, now, evidence, date)
        if evidence.refused:
            self._trailing.refusals.add(now)
            self._backoff.refusals += 1
            self._read_refusal(permit, now, evidence, trusted=trusted)
        else:
            self._aligned.last_response_at = now
            self._trailing.admissions.add(now)
            if permit.solo:
                self._backoff.permitted(permit)
                self._aligned.permitted(permit)
        if self._belief is Belief.COLD and not evidence.refused and evidence.genuine:
            self._ignore_headers()

    def _end(self, permit: Permit) -> None:
        self._in_flight -= 1
        if permit.serial == self._solo:
            self._solo = None

    def _read_headers(self, permit: Permit, now: float, evidence: Evidence, date: float | None) -> bool:
        """Read the rate limit headers. Return True if they state what remains and are trusted.

        `date` is in the numbering of the clock; None if there is none or it is set aside.
        """
        aligned = self._aligned
        permitted, remaining = evidence.permitted, evidence.remaining
        if permitted is None or remaining is None:
            aligned.add_unread(now)
            stopped = evidence.genuine and not evidence.refused and self._trust.note_missing_headers()
            if stopped and self._belief in (Belief.ALIGNED, Belief.REFILLING):
                self._belief = Belief.TRAILING  # until the headers come back
            return False
        distrusted = self._trust.is_withdrawn(now, aligned.clock.replacements)
        if distrusted or permitted != self._limit.value:
            self._limit.set_from_header(permitted, now)
            self._limit_changed(now)
        if distrusted:
            if not self._trust.contradicted:
                self._trailing.note_foreign_usage(now, permitted - remaining, self._in_flight)
                if 2 * remaining >= permitted:
                    self._backoff.pace = None  # at least half of the window is left: bursts are fine again
            return False
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            if not aligned.clock.known:
                self._trailing.note_foreign_usage(now, permitted - remaining, self._in_flight)
                return False
            self._belief = Belief.ALIGNED
            self._strikes = 0
            self._backoff.pace = None
        reading = aligned.read(
            permit,
            now,
            remaining,
            date,
            refused=evidence.refused,
            limit=self._limit.value or 1,
            in_flight=self._in_flight,
            newer=self._sends - permit.serial - 1,
            trailing=self._trailing,
        )
        if reading is Reading.SLIDES:
            self._distrust(now, NOT_ALIGNED)
            return False
        if reading is Reading.REFILLS:
            self._belief = Belief.REFILLING
        return True

    def _limit_changed(self, now: float) -> None:
        if self._backoff.pace is not None and self.limit is not None:
            self._backoff.pace.set_limit(now, self.limit)

    def _distrust(self, now: float, windows: int) -> None:
        """Ignore the headers, which contradicted a 429 or did not restart at a boundary."""
        self._trust.withdraw(now, windows, self._aligned.clock.replacements)
        self._ignore_headers()

    def _ignore_headers(self) -> None:
        """Continue without headers."""
        self._belief = Belief.OPEN if self.limit is None else Belief.TRAILING

    def _read_refusal(self, permit: Permit, now: float, evidence: Evidence, *, trusted: bool) -> None:
        """Decide what a 429 means: take its limit, judge the headers, close the gate."""
        named = evidence.total_permitted
        if named is not None:
            admitted = self._trailing.admissions.count(now)
            contradicts = self._limit.set_from_429(named, now, admitted=admitted, header=evidence.permitted)
            self._limit_changed(now)
            if contradicts:
                # The 429 allows less than its header: obey the 429.
                self._trust.start_caution(now)
            if contradicts and trusted:
                self._distrust(now, CONTRADICTED)
                trusted = False
        if (self._belief is Belief.COLD and not trusted) or self._belief is Belief.OPEN:
            self._ignore_headers()
        if self._belief is Belief.ALIGNED and not self._aligned.explains(permit, now, evidence.remaining):
            contradicted = (evidence.remaining or 0) > 0
            if contradicted:
                self._trust.start_caution(now)
            self._distrust(now, CONTRADICTED if contradicted else NOT_ALIGNED)
        elif self._belief is Belief.REFILLING:
            self._strikes += 1
            if self._strikes >= 2:
                self._distrust(now, NOT_ALIGNED)
        probe = self._backoff.closure is not None
        closing = self._backoff.refused(permit, now, self._trailing)
        if closing is None:
            return
        if probe:
            self._aligned.last_response_at = now
        if evidence.retry_after is not None:
            closing.retry_after(evidence.retry_after)
        elif self._aligned.clock.known and self.paced:
            # Another client uses up the windows. If windows start with the server's minute, send
            # the next probe when the next window starts. A client that comes later finds nothing
            # left, in every window.
            closing.allow_probe_at(self._aligned.next_begins(now))
