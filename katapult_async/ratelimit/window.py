"""The rate window of one token: decides whether the next request may be sent now, or not before when.

A pure state machine: no clock, no sleep, no randomness, no I/O. Times (seconds of the caller's monotonic clock)
are passed in; `take` answers with a Permit or with a Wait. Every permit ends in exactly one of `answered`, `lost`
(sent, no answer: it may have been counted) or `unused` (it never left).

What is believed about the server, from nothing to everything (scheduling, Policy):

    COLD ── first answer ──┬─ no headers ────────────► OPEN ── 429 ──► TRAILING (limit known)
                           └─ headers ─► ALIGNED ─┬─ counter does not restart ──► TRAILING
                                                  └─ counter rises by itself ───► REFILLING

OPEN       nothing limits but the concurrency of the caller.
TRAILING   in flight + answered in the last period <= limit. Right on every kind of window, alone on the token.
ALIGNED    what the server's counter certainly leaves (counter.py). When that is used up: one request at the next
           boundary of the server's clock, the rest after its answer.
REFILLING  a token bucket that shows its counter: it is refilled by limit/period a second.

Across all of them: after a 429 that the headers did not foretell the gate is closed (_Closure), and the first
request out is a single canary; when bursts are refused although the limit is not used up, `pace` says how evenly to
send (paced mode). "Solo" is the word for a request whose answer everything else waits for: the first one, the
canary, and the first one in a new window.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from .clock import ServerClock
from .counter import ServerCounter
from .evidence import Evidence
from .pace import Pace
from .permit import Permit, Role, Wait, WaitReason
from .trailing import TrailingCount

#: How long (seconds) everything waits for the answer to a solo request before another one may go.
PATIENCE = 5.0
#: The last few permits of a window are worth more as well-timed questions to the server (see `_ask_well`).
RESERVE = 3
#: The longest pause (seconds) that a job is made to take before its last permit when nothing else waits.
LONGEST_PAUSE = 2.0
#: The shortest wait (seconds) for a bucket to be refilled.
SHORTEST = 0.001
#: Answers of the API in a row without headers after which the headers have stopped.
HEADERLESS = 3
#: First wait (seconds) after a refusal whose end is not known; it doubles with each refused canary.
FIRST_WAIT = 1.0
#: A share of foreign requests (for each of ours) above which somebody else is on the token.
FOREIGN = 0.05
#: So many windows in a row may have been used up by others before the boundary is taken for a wrong belief.
MOST_BEATEN = 5


class Belief(enum.Enum):
    """What kind of limiter the server is believed to be."""

    COLD = "nothing known"
    OPEN = "no limit known"
    TRAILING = "limit known"
    ALIGNED = "windows of the server's clock"
    REFILLING = "bucket that refills"


@dataclass(slots=True)
class _Closure:
    """The gate is closed after a 429."""

    since: float
    until: float
    #: When the refused request was sent, and how many answers of its last period had arrived by the refusal.
    sent: float
    answers: int
    backoff: float = FIRST_WAIT
    #: Whether it has been found out why: by the canary's turn, those in flight at the refusal have been answered.
    judged: bool = False


@dataclass(slots=True)
class _Tally:
    """The current window as the headers show it: who used how much."""

    number: int
    highest: int
    lowest: int
    ours: int = 0


class Window:
    """The state machine. `period` is the length of a window in seconds, `limit` requests per window if the caller
    knows it.
    """

    def __init__(self, *, period: float = 60.0, limit: int | None = None) -> None:
        if period <= 0:
            raise ValueError(f"the period of a rate window must be positive, not {period!r}")
        if limit is not None and limit <= 0:
            raise ValueError(f"total_permitted must be at least 1, not {limit!r}")
        self._period = period
        self._limit = limit
        self._belief = Belief.COLD
        self._clock = ServerClock()
        self._counter = ServerCounter()
        self._answers = TrailingCount(period)
        self._admissions = TrailingCount(period)
        self._pace: Pace | None = None
        self._closure: _Closure | None = None
        self._solo: Permit | None = None
        self._in_flight = 0
        self._sends = 0
        self._refusals = 0
        # Whether the server counts refused requests, too, is unknown (katapult-api): it is believed when seen.
        self._refusals_count = False
        self._headerless = 0
        self._strikes = 0
        # ALIGNED and REFILLING: the window that the newest header belongs to, and what it says about its users.
        self._number = 0
        self._tally: _Tally | None = None
        self._foreign_share = 0.0
        # Somebody had used this window before our first request in it; windows in a row that left us nothing.
        self._others = False
        self._beaten = 0
        self._highest = 0
        # The last moment at which nothing was in flight: when the last request was sent, what it left, the number of
        # the window, and until when none of our requests gets too old to be counted.
        self._quiet: tuple[float, int, int, float] | None = None
        self._steady = False
        # The newest reading of the counter: type of request, remaining, number of the window.
        self._reading: tuple[str, int, int] | None = None

    def __repr__(self) -> str:
        parts = [f"<Window {self._belief.value}; limit={self._limit} in_flight={self._in_flight}"]
        if self._belief in (Belief.ALIGNED, Belief.REFILLING):
            parts.append(f"remaining={self._counter.lowest}")
        if self._closure is not None:
            parts.append(f"closed until {self._closure.until:.3f}")
        if self._pace is not None:
            parts.append(f"{self._pace!r}")
        return " ".join(parts) + ">"

    @property
    def limit(self) -> int | None:
        """Requests permitted per window, as far as known."""
        return self._limit

    @property
    def belief(self) -> Belief:
        return self._belief

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def refusals(self) -> int:
        """429s seen."""
        return self._refusals

    @property
    def period(self) -> float:
        """Seconds."""
        return self._period

    @property
    def _counted(self) -> TrailingCount:
        return self._answers if self._refusals_count else self._admissions

    def pace(self, now: float) -> float | None:
        """Requests per window to send evenly, or None when bursts are fine."""
        if self._pace is None or self._closure is not None:
            return None
        return self._pace.at(now)

    def know(self, limit: int) -> None:
        """Adopt the limit that a caller has given, if none is known yet.

        Raises:
            ValueError: If another limit is known, from another caller or from the server.
        """
        if self._limit is not None and self._limit != limit:
            raise ValueError(
                f"total_permitted={limit} contradicts the {self._limit} that are known for this token"
            )
        self._limit = limit
        if self._belief is Belief.OPEN:
            self._belief = Belief.TRAILING

    # -- asking ---------------------------------------------------------------------------------------------------

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        """A permit to send one request at once, or how long to wait. `waiting`: requests that want to be sent."""
        solo = self._solo
        if solo is not None and now < solo.sent + PATIENCE:
            return Wait(solo.sent + PATIENCE, WaitReason.ANSWER)
        role = Role.PLAIN
        if self._closure is not None:
            wait = self._ask_closed(self._closure, now)
            role = Role.CANARY
        elif self._belief is Belief.COLD:
            wait = None
            role = Role.FIRST
        elif self._belief is Belief.ALIGNED:
            free = self._counter.free(self._in_flight, self._foreign_share)
            if free >= 1:
                wait = self._ask_well(now, free, waiting)
            else:
                wait = self._ask_boundary(now)
                role = Role.ENTRY
        elif self._belief is Belief.REFILLING:
            wait = self._ask_refilling(now)
        else:
            wait = self._ask_trailing(now)
        if wait is not None:
            return wait
        return self._permit(now, role)

    def _permit(self, now: float, role: Role) -> Permit:
        number = None
        if self._clock.known:
            number = math.floor(self._clock.earliest_server_time(now) / self._period + 1e-9)
        permit = Permit(
            sent=now,
            window=number,
            serial=self._sends,
            alone=self._in_flight == 0,
            role=role,
            after=self._number,
            owner=self,
        )
        self._sends += 1
        self._in_flight += 1
        if permit.solo:
            self._solo = permit
        return permit

    def _ask_closed(self, closure: _Closure, now: float) -> Wait | None:
        if not closure.judged and (self._in_flight == 0 or now >= closure.until):
            closure.judged = True
            self._choose_pace(closure, now)
        until = closure.until
        if self._limit is not None:
            until = max(until, self._counted.free_at(now, self._limit, self._in_flight))
            # The answers may leave nothing for longer than the server can mean: its window has ended by then.
            until = min(until, max(closure.until, closure.since + self._period))
        return Wait(until, WaitReason.REFUSED) if now < until else None

    def _ask_trailing(self, now: float) -> Wait | None:
        if self._limit is None:
            return None
        free_at = self._counted.free_at(now, self._limit, self._in_flight)
        return Wait(free_at, WaitReason.LIMIT) if now < free_at else None

    def _ask_boundary(self, now: float) -> Wait | None:
        """The window is used up: wait until the server's clock has surely entered the next one.

        Somebody else who knows the server's clock better would be there first, each time, and leave nothing. Who has
        been beaten goes for the middle of what is uncertain: that halves it, at the price of a 429 now and then.
        """
        server = (self._number + 1) * self._period
        boundary = self._clock.latest_local_time(server)
        if self._beaten:
            boundary = (boundary + self._clock.earliest_local_time(server)) / 2
        return Wait(boundary, WaitReason.WINDOW) if now < boundary else None

    def _ask_refilling(self, now: float) -> Wait | None:
        rate = (self._limit or 1) / self._period
        free = self._counter.refilled(now, rate, self._highest + 1, self._in_flight)
        if free >= 1:
            return None
        if self._in_flight and self._in_flight >= self._highest:
            return Wait(math.inf, WaitReason.ANSWER)  # even a full bucket would not do
        # Not less than a timer can do: a moment that is no later than `now` would be asked for again and again.
        return Wait(now + max((1 - free) / rate, SHORTEST), WaitReason.REFILL)

    def _ask_well(self, now: float, free: float, waiting: int) -> Wait | None:
        """Permits are left. The last few of a window that will be used up anyway are sent one by one, at moments at
        which their answers say more: beside a change of second (the clock becomes sharp, so the next window is
        entered earlier), and after a pause (a counter that has risen meanwhile is a bucket). It costs nothing: they
        are still sent in this window, and those behind them would have had to wait for the next one anyway.
        """
        limit = self._limit or 0
        pause = 0.0 if self._steady else 3 * self._period / limit
        surplus = waiting > free or (0 < pause <= LONGEST_PAUSE and free < 2)
        if free > RESERVE or not surplus or limit < 10 * RESERVE or not (pause or self._clock.blunt):
            return None
        # Before the boundary comes, what is left must be sent, one round trip after the other.
        travel = max(0.1, 4 * self._clock.round_trip)
        too_late = self._clock.earliest_local_time((self._number + 1) * self._period) - travel
        if now >= too_late:
            return None
        if self._in_flight:
            return Wait(min(too_late, now + PATIENCE), WaitReason.ANSWER)
        if self._quiet is None:
            return None
        at = self._quiet[0] + pause
        if self._clock.blunt:
            at = self._clock.informative_time(at)
        at = min(at, too_late)
        return Wait(at, WaitReason.LIMIT) if now < at else None

    def counts_apart(self, permit: Permit, evidence: Evidence) -> bool:
        """Whether this refusal shows that the server counts types of requests apart: requests of another type, of the
        same window, still had more left than ours in flight can have used up.
        """
        if not evidence.refused or self._belief is not Belief.ALIGNED or self._reading is None:
            return False
        kind, remaining, number = self._reading
        return kind != permit.kind and number == permit.after and remaining > 2 * self._in_flight + RESERVE

    # -- hearing --------------------------------------------------------------------------------------------------

    def unused(self, permit: Permit) -> None:
        """The request never left (no connection): the server cannot have counted it."""
        self._end(permit)

    def lost(self, permit: Permit, now: float) -> None:
        """The request was sent and nothing came back: it may have been counted."""
        self._end(permit)
        self._answers.add(now)
        self._admissions.add(now)
        self._counter.missed(now)
        self._quiet = None

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        """A response arrived."""
        self._end(permit)
        self._answers.add(now)
        if evidence.date is not None:
            self._clock.observe(evidence.date, permit.sent, now)
        trusted = self._hear_headers(permit, now, evidence)
        if evidence.refused:
            self._refusals += 1
            self._hear_refusal(permit, now, evidence, trusted=trusted)
        else:
            self._admissions.add(now)
            if permit.solo:
                self._closure = None
                # Others were here before us, and the clock is not sharp: they know the boundary better. What a client
                # finds used when it begins, at any moment of a window, says nothing of that: it may be its own past.
                entered = permit.role is Role.ENTRY
                self._beaten = int(entered and self._others and self._clock.blunt)
        if self._belief is Belief.COLD and not evidence.refused and evidence.genuine:
            self._belief = Belief.OPEN if self._limit is None else Belief.TRAILING

    def _end(self, permit: Permit) -> None:
        self._in_flight -= 1
        if permit is self._solo:
            self._solo = None

    def _hear_headers(self, permit: Permit, now: float, evidence: Evidence) -> bool:
        """Take in the headers; whether they say how many requests remain, and are believed."""
        if evidence.permitted is None or evidence.remaining is None or not self._clock.known:
            self._counter.missed(now)
            self._quiet = None
            self._headerless += evidence.genuine and not evidence.refused
            if self._headerless >= HEADERLESS and self._belief in (Belief.ALIGNED, Belief.REFILLING):
                self._distrust()
            return False
        self._headerless = 0
        if self._strikes >= 2:
            self._change_limit(now, evidence.permitted)
            return False
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            if self._strikes or evidence.date is None:
                self._change_limit(now, evidence.permitted)
                return False
            self._belief = Belief.ALIGNED
            self._pace = None
        self._change_limit(now, evidence.permitted)
        if evidence.date is not None:
            self._note(permit, now, evidence.remaining, evidence.date, refused=evidence.refused)
        return self._strikes < 2

    def _note(self, permit: Permit, now: float, remaining: int, date: float, *, refused: bool) -> None:
        """One more reading of the server's counter."""
        number = math.floor(date / self._period)
        straddles = permit.window is not None and permit.window < number
        if straddles and self._belongs_before(permit, remaining):
            # Sent before the boundary, answered after it, and counted before it.
            number -= 1
            if self._number > number and self._counter.lowest is not None:
                self._counter.missed(now)
                return
        if permit.role is Role.ENTRY and not refused and self._slides(now, remaining):
            self._distrust()
        self._counter.saw(permit.sent, now, remaining)
        self._highest = max(self._highest, remaining)
        self._reading = (permit.kind, remaining, number)
        self._number = max(self._number, number)
        self._count_users(permit, number, remaining, refused=refused)
        certain = permit.window is None or permit.window == math.floor(date / self._period)
        self._compare(permit, now, remaining, number if certain and not refused else None)

    def _belongs_before(self, permit: Permit, remaining: int) -> bool:
        """Whether a reading from around a boundary goes on with the old window's counter instead of a new one's."""
        lowest = self._counter.lowest
        if lowest is None:
            return remaining * 2 < (self._limit or 0)
        out_of_order = self._sends - permit.serial + self._in_flight
        return remaining < lowest + out_of_order

    def _slides(self, now: float, remaining: int) -> bool:
        """Whether the counter has not restarted at the boundary but has only forgotten what is older than a period."""
        if self._others or self._foreign_share > FOREIGN:
            return False  # what is missing from a full window may have gone to them
        limit = self._limit or 0
        sliding = limit - self._admissions.count(now) - 1
        return abs(remaining - sliding) <= 2 and sliding + 2 < limit - 1

    def _count_users(self, permit: Permit, number: int, remaining: int, *, refused: bool) -> None:
        tally = self._tally
        if tally is None or tally.number != number:
            self._tally = _Tally(number, remaining, remaining)
            # A refused entry may also mean that there is no boundary: it is no evidence of others.
            if permit.solo and permit.alone and (not refused or permit.role is Role.FIRST):
                self._others = remaining < (self._limit or 0) - 1
            return
        tally.ours += 1
        tally.highest = max(tally.highest, remaining)
        tally.lowest = min(tally.lowest, remaining)
        if tally.ours >= 8:
            foreign = tally.highest - tally.lowest - tally.ours - self._in_flight
            self._foreign_share = min(10.0, max(0, foreign) / tally.ours)

    def _compare(self, permit: Permit, now: float, remaining: int, number: int | None) -> None:
        """Two readings of one window with nothing of ours between them show whether the counter rises by itself."""
        before = self._quiet
        self._quiet = None
        if number is None:
            return  # it was refused, or a boundary may have been between the request and its answer
        alone = permit.alone and self._sends == permit.serial + 1
        if alone and before is not None and before[2] == number and self._foreign_share <= FOREIGN:
            sent, previous, _, unchanged_until = before
            elapsed = now - sent
            per_second = (self._limit or 1) / self._period
            risen = remaining - (previous - 1)
            # Older requests of ours that leave a sliding window let its counter rise, too.
            if 0 < risen <= 1.5 * per_second * elapsed + 2 and now < unchanged_until:
                self._belief = Belief.REFILLING
            elif risen <= 0 and permit.sent - sent >= 2 / per_second:
                self._steady = True
        if self._in_flight == 0:
            # A server that counts by the log forgets a request up to a round trip before we do.
            unchanged_until = self._answers.unchanged_until(now) - 2 * (now - permit.sent)
            self._quiet = (permit.sent, remaining, number, unchanged_until)

    def _change_limit(self, now: float, limit: int) -> None:
        if limit == self._limit:
            return
        self._limit = limit
        if self._pace is not None:
            self._pace.limit(now, limit)

    def _distrust(self) -> None:
        """The headers stopped, contradicted themselves, or the counter did not restart where it should."""
        self._strikes = 2
        self._belief = Belief.OPEN if self._limit is None else Belief.TRAILING

    # -- refusals -------------------------------------------------------------------------------------------------

    def _hear_refusal(self, permit: Permit, now: float, evidence: Evidence, *, trusted: bool) -> None:
        named = evidence.total_permitted
        if named is not None:
            if trusted and evidence.permitted is not None and named < evidence.permitted:
                self._distrust()  # never trust a header into sending more than a 429 has allowed
                trusted = False
            self._change_limit(now, named)
        if self._belief is Belief.COLD and not trusted:
            self._belief = Belief.OPEN if self._limit is None else Belief.TRAILING
        if self._belief is Belief.OPEN and self._limit is not None:
            self._belief = Belief.TRAILING
        if self._belief is Belief.ALIGNED and self._foretold(permit, now, evidence):
            return
        if self._belief in (Belief.ALIGNED, Belief.REFILLING):
            self._strikes += 1
            if self._strikes >= 2 or self._belief is Belief.ALIGNED:
                self._distrust()
        self._close(permit, now, evidence)

    def _foretold(self, permit: Permit, now: float, evidence: Evidence) -> bool:
        """Whether the headers explain the refusal: the window is used up, by others or by requests in flight."""
        if permit.role is Role.ENTRY and not (evidence.remaining or 0) > 0:
            if self._number == permit.after:
                pass  # one that went for the middle and came too early
            elif (self._foreign_share > FOREIGN or self._others) and self._beaten < MOST_BEATEN:
                self._beaten += 1
            else:
                return False  # the counter did not restart at the boundary
        if evidence.remaining is None:
            # A 429 without headers is as good as Remaining: 0.
            self._counter.saw(permit.sent, now, 0)
            self._number = math.floor(self._clock.earliest_server_time(now) / self._period)
        return not (evidence.remaining or 0) > 0

    def _close(self, permit: Permit, now: float, evidence: Evidence) -> None:
        closure = self._closure
        if closure is not None and not permit.solo:
            return  # it was sent before the gate closed and tells nothing new
        if closure is not None and now < closure.since + self._period:
            # A refused canary: wait twice as long, but try once the window of the first refusal must have ended.
            closure.backoff *= 2
            closure.until = min(now + closure.backoff, max(now, closure.since + self._period))
        else:
            judged = closure is not None
            closure = _Closure(
                since=now,
                until=now + FIRST_WAIT,
                sent=permit.sent,
                answers=self._answers.count(permit.sent) - 1,
                judged=judged,
            )
            self._closure = closure
        if evidence.retry_after is not None:
            closure.until = now + evidence.retry_after
        elif self._clock.known and self._pace is not None:
            # Somebody else uses it up. If windows begin with the server's minute, be there when the next one does:
            # whoever comes later finds nothing left, in every window.
            server = (math.floor(self._clock.earliest_server_time(now) / self._period) + 1) * self._period
            closure.until = min(closure.until, self._clock.latest_local_time(server))

    def _choose_pace(self, closure: _Closure, now: float) -> None:
        """Refused: because the limit is used up by ours, or although it is not?"""
        limit = self._limit
        if limit is not None:
            admitted = self._admissions.count(closure.sent)
            if closure.answers >= limit > admitted:
                self._refusals_count = True
            elif admitted < limit:
                limit = None
            if limit is not None:
                if self._pace is not None:
                    self._pace.hold(now)
                return
        if self._pace is not None:
            self._pace.refused(now)
        else:
            value = self._limit if self._limit is not None else max(1, self._admissions.count(closure.sent))
            self._pace = Pace(now=now, period=self._period, value=value, limit=self._limit)
        if self._limit is not None:
            # Long enough for a bucket to be refilled a little, so that the pace finds some slack for its jitter.
            closure.backoff = min(max(FIRST_WAIT, 3 * self._period / self._limit), self._period / 4)
            closure.until = max(closure.until, closure.since + closure.backoff)
