"""The rate window of one token: decides whether the next request may be sent now, or not before when.

A pure state machine: no clock, no sleep, no randomness, no I/O. Times (seconds of the caller's monotonic clock)
are passed in; `take` answers with a Permit or with a Wait. Every permit ends in exactly one of `answered`, `lost`
(sent, no answer: it may have been counted) or `unused` (it never left). All that it knows is data: msgspec can encode
it and decode it between any two calls.

What is believed about the server, from nothing to everything (scheduling, Policy):

    COLD ── first answer ──┬─ no headers ────────────► OPEN ── 429 ──► TRAILING (limit known)
                           └─ headers ─► ALIGNED ─┬─ counter does not restart ──► TRAILING
                                                  └─ counter rises by itself ───► REFILLING

OPEN       nothing limits but the concurrency of the caller.
TRAILING   in flight + answered in the last period <= limit (trailing.py). Right on every kind of window, alone on the
           token. What the headers show of others is taken off the limit for one period.
ALIGNED    what the server's counter certainly leaves (aligned.py). When that is used up: one request at the next
           boundary of the server's clock, the rest after its answer.
REFILLING  a token bucket that shows its counter: it is refilled by limit/period a second.

Across all of them: after a 429 the gate is closed (backoff.py), and one request at a time goes out until one is
permitted. When bursts are refused although the limit is not used up, `pace` says how evenly to send (paced mode).
"Solo" is the word for a request whose answer everything else waits for: the first one, the one after a refusal, and
the first one in a new window.

The server's words are evidence. A `Date` that contradicts the others is set aside (clock.py). Headers that contradict
a 429, or a counter that does not restart where it should, are not believed for a while (trust.py); headers that stop
are believed again when they come back. No wait for a boundary is longer than one period since the last permitted
answer.
"""

from __future__ import annotations

import enum
import math

import msgspec

from .aligned import PATIENCE, AlignedWindows, Reading
from .backoff import Backoff
from .closure import Closure
from .evidence import Evidence
from .limit import Limit
from .permit import Permit, Role, Wait, WaitReason
from .trailing import BUCKETS, TrailingRule
from .trust import CONTRADICTED, NOT_ALIGNED, Trust

#: What is kept of a round trip for the next answer, in looking for the longest one of late.
FADING = 0.95


class Belief(enum.Enum):
    """What kind of limiter the server is believed to be."""

    COLD = "nothing known"
    OPEN = "no limit known"
    TRAILING = "limit known"
    ALIGNED = "windows of the server's clock"
    REFILLING = "bucket that refills"


class Window(msgspec.Struct):
    """The state machine. Make one with `Window.start`."""

    #: The length of a window in seconds.
    period: float
    _known: Limit
    _aligned: AlignedWindows
    _trailing: TrailingRule
    _backoff: Backoff
    _trust: Trust
    _belief: Belief = Belief.COLD
    # The solo request in flight: its number, and when it was sent.
    _solo: int | None = None
    _solo_sent: float = 0.0
    _in_flight: int = 0
    _sends: int = 0
    # Round trips of late, the longest one.
    _slowest: float = 0.0
    # REFILLING: refusals.
    _strikes: int = 0
    #: Clients of whom it is known that they send as much as this one, without telling it. It takes its share only.
    sharers: int = 1

    @classmethod
    def start(cls, *, period: float = 60.0, limit: int | None = None, grain: int = BUCKETS) -> Window:
        """Begin without having seen anything.

        Args:
            period: The length of a window in seconds.
            limit: Requests per window, if the caller knows it.
            grain: Into how many parts of a period answers are counted. A permit comes back up to one part late.

        Raises:
            ValueError: If one of them makes no sense.
        """
        if not 0 < period < math.inf:
            raise ValueError(f"the period of a rate window must be positive and finite, not {period!r}")
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
        """Requests permitted per window, as far as known."""
        return self._known.value

    @property
    def belief(self) -> Belief:
        return self._belief

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def number(self) -> int:
        """The number of the newest window of the server's clock whose counter was seen; 0 if there is none."""
        return self._aligned.numbers.seen

    @property
    def remaining(self) -> int | None:
        """Requests that the server's counter certainly leaves, as far as it is believed."""
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            return None
        return max(0, int(self._aligned.counter.free(self._in_flight)))

    def next_window(self) -> float | None:
        """When the next window of the server's clock may be entered; None unless the server has such windows."""
        return self._aligned.boundary() if self._belief is Belief.ALIGNED else None

    def counted(self, now: float) -> int:
        """Requests that were answered in the last period, or that may have been counted without an answer."""
        return self._trailing.answers(now)

    @property
    def refusals(self) -> int:
        """429s seen."""
        return self._backoff.refusals

    @property
    def kept(self) -> int:
        """Entries in memory: bounded, whatever the traffic."""
        return len(self._trailing.admissions) + len(self._trailing.refusals) + len(self._aligned.counter)

    @property
    def paced(self) -> bool:
        """Whether requests may have to be sent evenly."""
        return self._backoff.pace is not None

    def pace(self, now: float) -> float | None:
        """Requests per window to send evenly, or None when bursts are fine."""
        if self._backoff.pace is None or self._backoff.closure is not None:
            return None
        return self._backoff.pace.at(now)

    def know(self, limit: int) -> None:
        """Adopt the limit that a caller has given, if none is known yet.

        Raises:
            ValueError: If another limit is known, from another caller or from the server.
        """
        known = self._known.value
        if known is not None and known != limit:
            raise ValueError(f"total_permitted={limit} contradicts the {known} that are known for this token")
        self._known.value = limit
        if self._belief is Belief.OPEN:
            self._belief = Belief.TRAILING

    # -- asking ---------------------------------------------------------------------------------------------------

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        """A permit to send one request at once, or how long to wait. `waiting`: requests that want to be sent."""
        if self._solo is not None:
            patient_until = self._solo_sent + self._patience()
            if now < patient_until:
                return Wait(patient_until, WaitReason.ANSWER)
        role = Role.PLAIN
        if self._backoff.closure is not None:
            wait, role = self._ask_closed(self._backoff.closure, now)
        elif self._belief is Belief.COLD:
            wait = None
            role = Role.FIRST
        elif self._belief is Belief.ALIGNED:
            wait, role = self._aligned.ask(
                now, self._known.value or 1, self._in_flight, waiting, self.sharers - 1
            )
        elif self._belief is Belief.REFILLING:
            wait = self._aligned.ask_refilling(now, self._share(), self._in_flight)
        else:
            wait = self._ask_trailing(now)
        if wait is None and self._trust.cautious and self._in_flight >= self._trust.caution(now):
            wait = Wait(math.inf, WaitReason.ANSWER)
        if wait is not None:
            return wait
        return self._permit(now, role)

    def _patience(self) -> float:
        return min(max(PATIENCE, 2 * self._slowest), max(PATIENCE, self.period))

    def _permit(self, now: float, role: Role) -> Permit:
        aligned = self._aligned
        permit = Permit(
            now,
            self._sends,
            self._in_flight == 0,
            role,
            aligned.numbers.of_request(now),
            aligned.numbers.seen,
            aligned.counter.lowest,
        )
        if not self._sends:
            aligned.heard_at = now
        if role is not Role.PLAIN:
            self._solo, self._solo_sent = self._sends, now
        self._sends += 1
        self._in_flight += 1
        return permit

    def _ask_closed(self, closure: Closure, now: float) -> tuple[Wait | None, Role]:
        if self._belief is Belief.ALIGNED and self._aligned.counter.free(self._in_flight) < 1:
            # The headers explain the refusal.
            until = max(closure.until, self._aligned.boundary())
            return Wait(until, WaitReason.WINDOW) if now < until else None, Role.ENTRY
        if not closure.judged and (self._in_flight == 0 or now >= closure.until):
            self._backoff.judge(closure, now, self.limit, self._trailing)
        until = closure.until
        if self.limit is not None and self._belief is not Belief.ALIGNED:
            until = max(until, self._trailing.free_of_ours(now, self.limit, self._in_flight))
            # The answers may leave nothing for longer than the server can mean: its window has ended by then.
            until = min(until, max(closure.until, closure.since + self.period))
        return Wait(until, WaitReason.REFUSED) if now < until else None, Role.CANARY

    def _ask_trailing(self, now: float) -> Wait | None:
        if self._known.value is None:
            return None
        self._known.grow(now)
        free_at = self._trailing.free_at(now, self._share(), self._in_flight)
        return Wait(free_at, WaitReason.LIMIT) if now < free_at else None

    def _share(self) -> int:
        return max(1, (self._known.value or 1) // self.sharers)

    def counts_apart(self, permit: Permit) -> bool:
        """Whether this refusal shows that the server counts types of requests apart."""
        return self._belief is Belief.ALIGNED and self._aligned.counts_apart(permit, self._in_flight)

    # -- hearing --------------------------------------------------------------------------------------------------

    def unused(self, permit: Permit) -> None:
        """The request never left (no connection): the server cannot have counted it."""
        self._end(permit)

    def lost(self, permit: Permit, now: float) -> None:
        """The request was sent and nothing came back: it may have been counted."""
        self._end(permit)
        self._trailing.lost(now)
        self._aligned.lost(permit, now)

    def stray(self, now: float) -> None:
        """A request was sent without a permit of this window: it may have been counted."""
        self._trailing.lost(now)
        self._aligned.missed(now)

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        """A response arrived."""
        self._end(permit)
        trip, slowest = now - permit.sent, FADING * self._slowest
        self._slowest = trip if trip > slowest else slowest
        date = evidence.date
        if date is not None:
            date = self._aligned.numbers.read_date(date, permit.sent, now)
        trusted = self._hear_headers(permit, now, evidence, date)
        if evidence.refused:
            self._trailing.refusals.add(now)
            self._backoff.refusals += 1
            self._hear_refusal(permit, now, evidence, trusted=trusted)
        else:
            self._aligned.heard_at = now
            self._trailing.admissions.add(now)
            if permit.solo:
                self._backoff.permitted(permit)
                self._aligned.permitted(permit)
        if self._belief is Belief.COLD and not evidence.refused and evidence.genuine:
            self._disbelieve()

    def _end(self, permit: Permit) -> None:
        self._in_flight -= 1
        if permit.serial == self._solo:
            self._solo = None

    def _hear_headers(self, permit: Permit, now: float, evidence: Evidence, date: float | None) -> bool:
        """Take in the headers; whether they say how many requests remain, and are believed.

        Args:
            permit: Of the request.
            now: When its answer arrived.
            evidence: What the answer says.
            date: Its date in the numbering of the clock; None if there is none that can be believed.
        """
        aligned = self._aligned
        permitted, remaining = evidence.permitted, evidence.remaining
        if permitted is None or remaining is None:
            aligned.missed(now)
            stopped = evidence.genuine and not evidence.refused and self._trust.missing()
            if stopped and self._belief in (Belief.ALIGNED, Belief.REFILLING):
                self._belief = Belief.TRAILING  # until they come back
            return False
        distrusted = self._trust.lost(now, aligned.clock.replacements)
        if distrusted or permitted != self._known.value:
            self._known.in_header(permitted, now)
            self._limit_changed(now)
        if distrusted:
            if not self._trust.contradicted:
                self._trailing.saw_used(now, permitted - remaining, self._in_flight)
                if 2 * remaining >= permitted:
                    self._backoff.pace = None  # what was refused in bursts has come back
            return False
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            if not aligned.clock.known:
                self._trailing.saw_used(now, permitted - remaining, self._in_flight)
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
            limit=self._known.value or 1,
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
            self._backoff.pace.limit(now, self.limit)

    def _distrust(self, now: float, windows: int) -> None:
        """The headers contradicted a 429, or the counter did not restart where it should."""
        self._trust.lose(now, windows, self._aligned.clock.replacements)
        self._disbelieve()

    def _disbelieve(self) -> None:
        """Go on without headers."""
        self._belief = Belief.OPEN if self.limit is None else Belief.TRAILING

    # -- refusals -------------------------------------------------------------------------------------------------

    def _hear_refusal(self, permit: Permit, now: float, evidence: Evidence, *, trusted: bool) -> None:
        named = evidence.total_permitted
        if named is not None:
            admitted = self._trailing.admissions.count(now)
            contradicts = self._known.in_429(named, now, admitted=admitted, header=evidence.permitted)
            self._limit_changed(now)
            if contradicts:
                # Never trust a header into sending more than a 429 has allowed.
                self._trust.doubt(now)
            if contradicts and trusted:
                self._distrust(now, CONTRADICTED)
                trusted = False
        if (self._belief is Belief.COLD and not trusted) or self._belief is Belief.OPEN:
            self._disbelieve()
        if self._belief is Belief.ALIGNED and not self._aligned.explains(permit, now, evidence.remaining):
            contradicted = (evidence.remaining or 0) > 0
            if contradicted:
                self._trust.doubt(now)
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
            self._aligned.heard_at = now
        if evidence.retry_after is not None:
            closing.retry_after(evidence.retry_after)
        elif self._aligned.clock.known and self.paced:
            # Somebody else uses it up. If windows begin with the server's minute, be there when the next one does:
            # whoever comes later finds nothing left, in every window.
            closing.begins_at(self._aligned.next_begins(now))
