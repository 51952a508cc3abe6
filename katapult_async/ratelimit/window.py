"""The rate window of one token: decides whether the next request may be sent now, or not before when.

A pure state machine: no clock, no sleep, no randomness, no I/O. Times (seconds of the caller's monotonic clock)
are passed in; `take` answers with a Permit or with a Wait. Every permit ends in exactly one of `answered`, `lost`
(sent, no answer: it may have been counted) or `unused` (it never left).

What is believed about the server, from nothing to everything (scheduling, Policy):

    COLD ── first answer ──┬─ no headers ────────────► OPEN ── 429 ──► TRAILING (limit known)
                           └─ headers ─► ALIGNED ─┬─ counter does not restart ──► TRAILING
                                                  └─ counter rises by itself ───► REFILLING

OPEN       nothing limits but the concurrency of the caller.
TRAILING   in flight + answered in the last period <= limit. Right on every kind of window, alone on the token. What
           the headers show of others is taken off the limit for one period.
ALIGNED    what the server's counter certainly leaves (counter.py). When that is used up: one request at the next
           boundary of the server's clock, the rest after its answer.
REFILLING  a token bucket that shows its counter: it is refilled by limit/period a second.

Across all of them: after a 429 the gate is closed (closure.py), and one request at a time goes out until one is
permitted. When bursts are refused although the limit is not used up, `pace` says how evenly to send (paced mode).
"Solo" is the word for a request whose answer everything else waits for: the first one, the one after a refusal, and
the first one in a new window.

The server's words are evidence. A `Date` that contradicts the others is set aside (clock.py). Headers that contradict
a 429, or a counter that does not restart where it should, are not believed for a while; headers that stop are
believed again when they come back. No wait for a boundary is longer than one period since the last permitted answer.
"""

from __future__ import annotations

import enum
import math

from .clock import DRIFT, ServerClock
from .closure import Closure
from .counter import ServerCounter
from .counter_kind import CounterKind, slides
from .evidence import Evidence
from .limit import Limit
from .other_users import OtherUsers
from .pace import Pace
from .permit import Permit, Role, Wait, WaitReason
from .request_types import RequestTypes
from .trailing import TrailingCount
from .trust import CONTRADICTED, NOT_ALIGNED, Trust
from .window_numbers import WindowNumbers

#: How long (seconds) everything waits for the answer to a solo request before another one may go, if round trips are
#: short; twice the longest round trip, if they are not.
PATIENCE = 6.0
#: The last few permits of a window are worth more as well-timed questions to the server (see `_ask_well`). Of a small
#: limit it is only the last one.
RESERVE, SMALL = 3, 30
#: The longest pause (seconds) that a job is made to take before its last permit when nothing else waits.
LONGEST_PAUSE = 2.0
#: The shortest wait (seconds) for a bucket to be refilled.
SHORTEST = 0.001
#: What is kept of a round trip for the next answer, in looking for the longest one of late.
FADING = 0.95


class Belief(enum.Enum):
    """What kind of limiter the server is believed to be."""

    COLD = "nothing known"
    OPEN = "no limit known"
    TRAILING = "limit known"
    ALIGNED = "windows of the server's clock"
    REFILLING = "bucket that refills"


class Window:
    """The state machine.

    Args:
        period: The length of a window in seconds.
        limit: Requests per window, if the caller knows it.
    """

    def __init__(self, *, period: float = 60.0, limit: int | None = None) -> None:
        if not 0 < period < math.inf:
            raise ValueError(f"the period of a rate window must be positive and finite, not {period!r}")
        if limit is not None and limit <= 0:
            raise ValueError(f"total_permitted must be at least 1, not {limit!r}")
        self._period = period
        self._known = Limit(period, limit)
        self._belief = Belief.COLD
        self._clock = ServerClock(period)
        self._numbers = WindowNumbers(self._clock, period)
        self._trust = Trust(period)
        self._counter = ServerCounter(period)
        self._kind = CounterKind()
        self._others = OtherUsers()
        self._types = RequestTypes()
        self._answers = TrailingCount(period)
        self._admissions = TrailingCount(period)
        self._pace: Pace | None = None
        self._closure: Closure | None = None
        self._solo: Permit | None = None
        self._in_flight = 0
        self._sends = 0
        self._refusals = 0
        # Round trips of late, the longest one.
        self._slowest = 0.0
        # When the server last permitted a request, or refused a probe (at first: when the first one was sent), and when
        # the request was sent that ended the last closing of the gate.
        self._heard_at = -math.inf
        self._reopened_by = -math.inf
        # Whether the server counts refused requests, too, is unknown (katapult-api): it is believed when seen.
        self._refusals_count = False
        # Whether a request of ours ended without a reading since the last certain one.
        self._unread = False
        # Entries that were lost in the window of this number.
        self._lost_in: int = 0
        self._lost_entries = 0
        # REFILLING: refusals.
        self._strikes = 0
        # TRAILING: what others had used in the last period, and when that was seen.
        self._foreign = 0
        self._foreign_at = -math.inf

    def __repr__(self) -> str:
        parts = [f"<Window {self._belief.value}; limit={self.limit} in_flight={self._in_flight}"]
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
        return self._known.value

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
    def kept(self) -> int:
        """Entries in memory: bounded, whatever the traffic."""
        return len(self._answers) + len(self._admissions) + len(self._counter)

    @property
    def _counted(self) -> TrailingCount:
        return self._answers if self._refusals_count else self._admissions

    @property
    def _patience(self) -> float:
        return min(max(PATIENCE, 2 * self._slowest), max(PATIENCE, self._period))

    @property
    def paced(self) -> bool:
        """Whether requests may have to be sent evenly."""
        return self._pace is not None

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
        known = self._known.value
        if known is not None and known != limit:
            raise ValueError(f"total_permitted={limit} contradicts the {known} that are known for this token")
        self._known.value = limit
        if self._belief is Belief.OPEN:
            self._belief = Belief.TRAILING

    # -- asking ---------------------------------------------------------------------------------------------------

    def take(self, now: float, *, waiting: int = 1) -> Permit | Wait:
        """A permit to send one request at once, or how long to wait. `waiting`: requests that want to be sent."""
        solo = self._solo
        if solo is not None and now < solo.sent + self._patience:
            return Wait(solo.sent + self._patience, WaitReason.ANSWER)
        role = Role.PLAIN
        if self._closure is not None:
            wait, role = self._ask_closed(self._closure, now)
        elif self._belief is Belief.COLD:
            wait = None
            role = Role.FIRST
        elif self._belief is Belief.ALIGNED:
            free = self._counter.free(self._in_flight, self._others.share)
            if free >= 1:
                wait = self._ask_well(now, free, waiting)
            else:
                wait, role = self._ask_boundary(now)
        elif self._belief is Belief.REFILLING:
            wait = self._ask_refilling(now)
        else:
            wait = self._ask_trailing(now)
        if wait is None and self._trust.cautious and self._in_flight >= self._trust.caution(now):
            wait = Wait(math.inf, WaitReason.ANSWER)
        if wait is not None:
            return wait
        return self._permit(now, role)

    def _permit(self, now: float, role: Role) -> Permit:
        permit = Permit(
            sent=now,
            serial=self._sends,
            alone=self._in_flight == 0,
            role=role,
            window=self._numbers.of_request(now),
            after=self._numbers.seen,
            lowest=self._counter.lowest,
            owner=self,
        )
        if not self._sends:
            self._heard_at = now
        self._sends += 1
        self._in_flight += 1
        if permit.solo:
            self._solo = permit
        return permit

    def _ask_closed(self, closure: Closure, now: float) -> tuple[Wait | None, Role]:
        if self._belief is Belief.ALIGNED and self._counter.free(self._in_flight) < 1:
            # The headers explain the refusal.
            until = max(closure.until, self._boundary())
            return Wait(until, WaitReason.WINDOW) if now < until else None, Role.ENTRY
        if not closure.judged and (self._in_flight == 0 or now >= closure.until):
            closure.judged = True
            self._choose_pace(closure, now)
        until = closure.until
        if self.limit is not None and self._belief is not Belief.ALIGNED:
            until = max(until, self._counted.free_at(now, self.limit, self._in_flight))
            # The answers may leave nothing for longer than the server can mean: its window has ended by then.
            until = min(until, max(closure.until, closure.since + self._period))
        return Wait(until, WaitReason.REFUSED) if now < until else None, Role.CANARY

    def _ask_trailing(self, now: float) -> Wait | None:
        if self.limit is None:
            return None
        self._known.grow(now)
        limit = self._known.value or 1
        if self._foreign and now < self._foreign_at + self._period:
            limit = max(1, limit - self._foreign)
        free_at = self._counted.free_at(now, limit, self._in_flight)
        if now < free_at and limit < self.limit:
            # What others have used comes back a period after it was seen, at the latest.
            whole = max(
                self._foreign_at + self._period, self._counted.free_at(now, self.limit, self._in_flight)
            )
            free_at = min(free_at, whole)
        return Wait(free_at, WaitReason.LIMIT) if now < free_at else None

    def _ask_boundary(self, now: float) -> tuple[Wait | None, Role]:
        """The window is used up: wait until the server's clock has surely entered the next one."""
        limit = self.limit or 1
        if self._in_flight >= limit:
            return Wait(math.inf, WaitReason.ANSWER), Role.ENTRY  # even a new window would not do
        if self._others.beaten and now > self._heard_at + 2 * self._period:
            self._others.beaten = 0  # it is long ago
        boundary = self._boundary()
        if self._lost_entries >= limit:
            # Each of them may have been permitted, and that is all that this window permits.
            boundary = max(boundary, self._clock.latest_local_time((self._lost_in + 1) * self._period))
        if now >= boundary:
            return None, Role.ENTRY
        doubtful = self._kind.doubtful_at(limit / self._period)
        if doubtful is not None and not self._in_flight and doubtful < boundary:
            if now < doubtful:
                return Wait(doubtful, WaitReason.WINDOW), Role.CANARY
            self._kind.ask()
            return None, Role.CANARY
        return Wait(boundary, WaitReason.WINDOW), Role.ENTRY

    def _boundary(self) -> float:
        """When the next window may be entered.

        Another client that knows the server's clock better would be there first, each time, and leave nothing. After
        it has won a window, aim at the middle of what is uncertain: each attempt halves that, at the price of a 429
        now and then.
        """
        server = (self._numbers.seen + 1) * self._period
        boundary = self._clock.latest_local_time(server)
        if self._others.beaten:
            boundary = (boundary + self._clock.earliest_local_time(server)) / 2
        # However wrong the clock may be, what was used up then has come back by then.
        return min(boundary, self._heard_at + self._period * (1 + 2 * DRIFT))

    def _ask_refilling(self, now: float) -> Wait | None:
        rate = (self.limit or 1) / self._period
        highest = self._kind.highest
        free = self._counter.refilled(now, rate, highest + 1, self._in_flight)
        if free >= 1:
            return None
        if self._in_flight and self._in_flight >= highest:
            return Wait(math.inf, WaitReason.ANSWER)  # even a full bucket would not do
        # Not less than a timer can do: a moment that is no later than `now` would be asked for again and again.
        return Wait(now + max((1 - free) / rate, SHORTEST), WaitReason.REFILL)

    def _ask_well(self, now: float, free: float, waiting: int) -> Wait | None:
        """Permits are left. The last few of a window that will be used up anyway are sent one by one, at moments at
        which their answers say more: beside a change of second (the clock becomes sharp, so the next window is
        entered earlier), and after a pause (a counter that has risen meanwhile is a bucket). It costs nothing: they
        are still sent in this window, and those behind them would have had to wait for the next one anyway.
        """
        limit = self.limit or 0
        reserve = RESERVE if limit >= SMALL else 1
        if free >= reserve + 1 or limit < 2:
            return None
        pause = 0.0 if self._kind.steady else 3 * self._period / limit
        surplus = waiting > free or (0 < pause <= LONGEST_PAUSE and free < 2)
        if not surplus or not (pause or self._clock.blunt):
            return None
        # Before the boundary comes, what is left must be sent, one round trip after the other.
        travel = max(0.1, 4 * self._clock.round_trip)
        too_late = self._clock.earliest_local_time((self._numbers.seen + 1) * self._period) - travel
        if now >= too_late:
            return None
        if self._in_flight:
            return Wait(min(too_late, now + PATIENCE), WaitReason.ANSWER)
        quiet_since = self._kind.quiet_since
        if quiet_since is None:
            return None
        at = quiet_since + pause
        if self._clock.blunt:
            at = self._clock.informative_time(at)
        at = min(at, too_late)
        return Wait(at, WaitReason.LIMIT) if now < at else None

    def counts_apart(self, permit: Permit) -> bool:
        """Whether this refusal shows that the server counts types of requests apart."""
        if self._belief is not Belief.ALIGNED:
            return False
        spare = 2 * self._in_flight + RESERVE
        return self._types.explain(permit.kind, permit.sent, permit.after, spare=spare)

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
        self._kind.unread()
        self._unread = True
        if permit.role is Role.ENTRY and permit.window is not None:
            if permit.window != self._lost_in:
                self._lost_in = permit.window
                self._lost_entries = 0
            self._lost_entries += 1

    def answered(self, permit: Permit, now: float, evidence: Evidence) -> None:
        """A response arrived."""
        self._end(permit)
        self._answers.add(now)
        trip, slowest = now - permit.sent, FADING * self._slowest
        self._slowest = trip if trip > slowest else slowest
        date = evidence.date
        if date is not None:
            date = self._numbers.read_date(date, permit.sent, now)
        trusted = self._hear_headers(permit, now, evidence, date)
        if evidence.refused:
            self._refusals += 1
            self._hear_refusal(permit, now, evidence, trusted=trusted)
        else:
            self._heard_at = now
            self._admissions.add(now)
            if permit.solo:
                self._reopen(permit)
        if self._belief is Belief.COLD and not evidence.refused and evidence.genuine:
            self._belief = Belief.OPEN if self.limit is None else Belief.TRAILING

    def _reopen(self, permit: Permit) -> None:
        """A request was permitted that everything waited for."""
        if self._closure is not None and permit.sent >= self._closure.since:
            self._closure = None
            self._reopened_by = permit.sent
        # Others were here before us, and the clock is not sharp: they know the boundary better. What a client finds
        # used when it begins, at any moment of a window, says nothing of that: it may be its own past.
        entered = permit.role is Role.ENTRY
        self._others.beaten = int(entered and self._others.here_first and self._clock.blunt)

    def _end(self, permit: Permit) -> None:
        self._in_flight -= 1
        if permit is self._solo:
            self._solo = None

    def _hear_headers(self, permit: Permit, now: float, evidence: Evidence, date: float | None) -> bool:
        """Take in the headers; whether they say how many requests remain, and are believed.

        Args:
            permit: Of the request.
            now: When its answer arrived.
            evidence: What the answer says.
            date: Its date in the numbering of the clock; None if there is none that can be believed.
        """
        if evidence.permitted is None or evidence.remaining is None:
            self._counter.missed(now)
            self._kind.unread()
            self._unread = True
            stopped = evidence.genuine and not evidence.refused and self._trust.missing()
            if stopped and self._belief in (Belief.ALIGNED, Belief.REFILLING):
                self._belief = Belief.TRAILING  # until they come back
            return False
        if self._trust.lost(now, self._clock.replacements):
            self._known.in_header(evidence.permitted, now)
            self._limit_changed(now)
            if not self._trust.contradicted:
                self._count_foreign(now, evidence.permitted - evidence.remaining)
                if 2 * evidence.remaining >= evidence.permitted:
                    self._pace = None  # what was refused in bursts has come back
            return False
        if evidence.permitted != self._known.value:
            self._known.in_header(evidence.permitted, now)
            self._limit_changed(now)
        if self._belief not in (Belief.ALIGNED, Belief.REFILLING):
            if not self._clock.known:
                self._count_foreign(now, evidence.permitted - evidence.remaining)
                return False
            self._belief = Belief.ALIGNED
            self._strikes = 0
            self._pace = None
        self._note(permit, now, evidence.remaining, date, refused=evidence.refused)
        return self._belief in (Belief.ALIGNED, Belief.REFILLING)

    def _count_foreign(self, now: float, used: int) -> None:
        """Headers without a clock: what is used and not ours is taken off the limit, until it must have come back."""
        ours = self._counted.count(now) + self._in_flight + 1
        self._foreign = max(0, used - ours)
        self._foreign_at = now

    def _note(self, permit: Permit, now: float, remaining: int, date: float | None, *, refused: bool) -> None:
        """One more reading of the server's counter."""
        numbers = self._numbers
        oldest, newest = numbers.place(permit.window, permit.sent, now, date)
        # An entry was permitted after the old window had been used up.
        entered = permit.role is Role.ENTRY and not refused
        certain = oldest == newest or entered
        if newest < numbers.seen or (not certain and newest == numbers.seen):
            # Of an old window, or perhaps of it: what the new one has left was seen already.
            self._counter.missed(now)
            self._kind.unread()
            self._unread = True
            return
        if certain and newest > numbers.seen:
            self._counter.restart()
            numbers.seen = newest
            self._lost_entries = 0
        if entered:
            self._kind.begins(remaining, self.limit or 1)
            # What others of ours have taken from the new window would look like a window that slides.
            if permit.alone and self._slides(now, remaining):
                self._distrust(now, NOT_ALIGNED)
        elif permit.role is Role.CANARY and not refused:
            self._kind.rose()
        self._counter.saw(permit.sent, now, remaining)
        if certain:
            if newest == permit.after and permit.lowest is not None and remaining >= permit.lowest:
                self._types.too_high(permit.kind, now, remaining, newest)
        else:
            # It counts as a reading of the old window, and as a request that the new one may have counted.
            self._counter.missed(now)
            numbers.seen = max(numbers.seen, oldest)
        if remaining > self._kind.highest:
            self._kind.highest = remaining
        # A refused entry may also mean that there is no boundary: it is no evidence of others.
        # Nor is one before which a request of ours was lost: that one may have been the first.
        first = None
        if permit.solo and permit.alone and (not refused or permit.role is Role.FIRST) and not self._unread:
            first = (self.limit or 0) - 1
        number = newest if certain else numbers.seen
        self._others.saw(number, remaining, in_flight=self._in_flight, first=first)
        self._unread = not certain
        self._compare(permit, now, remaining, newest if certain and not refused else None)

    def _slides(self, now: float, remaining: int) -> bool:
        if self._others.present:
            return False  # what is missing from a full window may have gone to them
        return slides(remaining, limit=self.limit or 0, admitted=self._admissions.count(now))

    def _compare(self, permit: Permit, now: float, remaining: int, number: int | None) -> None:
        """Learn from two readings with nothing of ours between them whether the counter rises by itself."""
        if number is None:
            self._kind.unread()  # it was refused, or a boundary may have been between the request and its answer
            return
        if self._in_flight and self._kind.quiet_since is None:
            return
        alone = permit.alone and self._sends == permit.serial + 1 and not self._others.foreign
        per_second = (self.limit or 1) / self._period
        if self._kind.refills(
            permit.sent,
            now,
            remaining,
            number,
            per_second=per_second,
            alone=alone,
            others=self._others.present,
        ):
            self._belief = Belief.REFILLING
        if self._in_flight == 0:
            # A server that counts by the log forgets a request up to a round trip before we do.
            unchanged_until = self._answers.unchanged_until(now) - 2 * (now - permit.sent)
            self._kind.at_rest(permit.sent, remaining, number, unchanged_until)

    def _limit_changed(self, now: float) -> None:
        if self._pace is not None and self.limit is not None:
            self._pace.limit(now, self.limit)

    def _distrust(self, now: float, windows: int) -> None:
        """The headers contradicted a 429, or the counter did not restart where it should."""
        self._trust.lose(now, windows, self._clock.replacements)
        self._belief = Belief.OPEN if self.limit is None else Belief.TRAILING

    # -- refusals -------------------------------------------------------------------------------------------------

    def _hear_refusal(self, permit: Permit, now: float, evidence: Evidence, *, trusted: bool) -> None:
        named = evidence.total_permitted
        if named is not None:
            admitted = self._admissions.count(now)
            contradicts = self._known.in_429(named, now, admitted=admitted, header=evidence.permitted)
            self._limit_changed(now)
            if contradicts:
                # Never trust a header into sending more than a 429 has allowed.
                self._trust.doubt(now)
            if contradicts and trusted:
                self._distrust(now, CONTRADICTED)
                trusted = False
        if self._belief is Belief.COLD and not trusted:
            self._belief = Belief.OPEN if self.limit is None else Belief.TRAILING
        if self._belief is Belief.OPEN and self.limit is not None:
            self._belief = Belief.TRAILING
        if self._belief is Belief.ALIGNED and not self._foretold(permit, now, evidence):
            contradicted = (evidence.remaining or 0) > 0
            if contradicted:
                self._trust.doubt(now)
            self._distrust(now, CONTRADICTED if contradicted else NOT_ALIGNED)
        elif self._belief is Belief.REFILLING:
            self._strikes += 1
            if self._strikes >= 2:
                self._distrust(now, NOT_ALIGNED)
        self._close(permit, now, evidence)

    def _foretold(self, permit: Permit, now: float, evidence: Evidence) -> bool:
        """Whether the headers explain the refusal: the window is used up, by others or by requests in flight."""
        if evidence.remaining is None:
            # A 429 without headers is as good as Remaining: 0.
            self._counter.saw(permit.sent, now, 0)
            self._numbers.seen = max(self._numbers.seen, self._numbers.at(now))
        elif evidence.remaining > 0:
            return False
        if permit.role is Role.ENTRY and self._numbers.seen != permit.after:
            return self._others.took_the_window()  # else the counter did not restart at the boundary
        if permit.role is Role.ENTRY and not self._others.beaten:
            self._clock.too_early(now)
        return True  # an entry that aimed at the middle came too early; or a plain request, one of too many

    def _close(self, permit: Permit, now: float, evidence: Evidence) -> None:
        closure = self._closure
        if closure is None:
            if permit.sent < self._reopened_by:
                return  # it was sent before the gate was closed the last time
            answers = self._answers.count(permit.sent) - 1
            closure = Closure(now, period=self._period, sent=permit.sent, answers=answers)
            self._closure = closure
        elif permit.solo and permit.sent >= closure.since:
            closure.refused_again(now)
            self._heard_at = now
        else:
            return  # it was sent before the gate closed and tells nothing new
        if evidence.retry_after is not None:
            closure.retry_after(evidence.retry_after)
        elif self._clock.known and self._pace is not None:
            # Somebody else uses it up. If windows begin with the server's minute, be there when the next one does:
            # whoever comes later finds nothing left, in every window.
            server = (self._numbers.at(now) + 1) * self._period
            closure.begins_at(self._clock.latest_local_time(server))

    def _choose_pace(self, closure: Closure, now: float) -> None:
        """Refused: because the limit is used up by ours, or although it is not?"""
        limit = self.limit
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
            value = self.limit if self.limit is not None else max(1, self._admissions.count(closure.sent))
            self._pace = Pace(now=now, period=self._period, value=value, limit=self.limit)
        if self.limit is not None:
            # Long enough for a bucket to be refilled a little, so that the pace finds some slack for its jitter.
            closure.pause_at_least(3 * self._period / self.limit)
