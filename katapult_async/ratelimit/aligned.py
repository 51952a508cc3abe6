"""The server's counter and the windows of its clock: what is certainly left, and when the next window begins.

Joins what the `X-Ratelimit` headers and the dates say (clock, counter, counter_kind, other_users). It believes what it
is told: whether the headers deserve that is decided by the state machine (`window`).
"""

from __future__ import annotations

import enum
import math

import msgspec

from .clock import DRIFT, ServerClock
from .counter import ServerCounter
from .counter_kind import CounterKind, slides
from .other_users import OtherUsers
from .permit import Permit, Role, Wait, WaitReason
from .request_types import RequestTypes
from .trailing import TrailingCount, TrailingRule
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


class Reading(enum.Enum):
    """What a reading of the counter shows of the limiter."""

    CONSISTENT = "nothing that contradicts windows of the server's clock"
    SLIDES = "the counter did not restart at the boundary"
    REFILLS = "the counter rises by itself"


class AlignedWindows(msgspec.Struct):
    """The current window of the server, and the next one."""

    period: float
    numbers: WindowNumbers
    counter: ServerCounter
    kind: CounterKind
    others: OtherUsers
    types: RequestTypes
    #: When the server last permitted a request, or refused a probe (at first: when the first request was sent).
    heard_at: float = -math.inf
    # Whether a request of ours ended without a reading since the last certain one.
    _unread: bool = False
    # Entries that were lost in the window of this number.
    _lost_in: int = 0
    _lost_entries: int = 0

    @classmethod
    def start(cls, period: float, grain: int) -> AlignedWindows:
        """Begin without having seen anything."""
        return cls(
            period,
            WindowNumbers(ServerClock(period)),
            ServerCounter(TrailingCount(period, grain)),
            CounterKind(),
            OtherUsers(),
            RequestTypes(),
        )

    def __repr__(self) -> str:
        return f"<AlignedWindows {self.numbers.seen} remaining={self.counter.lowest} {self.others!r}>"

    @property
    def clock(self) -> ServerClock:
        """The server's clock."""
        return self.numbers.clock

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(
        self, now: float, limit: int, in_flight: int, waiting: int, sharers: int = 0
    ) -> tuple[Wait | None, Role]:
        """How long the next request has to wait (None: not at all), and what it is.

        Args:
            now: Local seconds.
            limit: Requests permitted per window.
            in_flight: Requests of ours in flight.
            waiting: Requests of ours that want to be sent.
            sharers: Other clients of whom it is known that they send as much.
        """
        share = self.others.share
        if sharers:
            # What they have in flight is in no reading yet: leave twice as much for each of them as this one takes.
            reserve = 2 * sharers + 1
            free = self.counter.free(in_flight, max(share, reserve)) - reserve
        else:
            free = self.counter.free(in_flight, share)
        if free >= 1:
            return self._ask_well(now, free, limit, in_flight, waiting), Role.PLAIN
        return self._ask_boundary(now, limit, in_flight)

    def _ask_boundary(self, now: float, limit: int, in_flight: int) -> tuple[Wait | None, Role]:
        """The window is used up: wait until the server's clock has surely entered the next one."""
        if in_flight >= limit:
            return Wait(math.inf, WaitReason.ANSWER), Role.ENTRY  # even a new window would not do
        if self.others.beaten and now > self.heard_at + 2 * self.period:
            self.others.beaten = 0  # it is long ago
        boundary = self.boundary()
        if self._lost_entries >= limit:
            # Each of them may have been permitted, and that is all that this window permits.
            boundary = max(boundary, self.clock.latest_local_time((self._lost_in + 1) * self.period))
        if now >= boundary:
            return None, Role.ENTRY
        doubtful = self.kind.doubtful_at(limit / self.period)
        if doubtful is not None and not in_flight and doubtful < boundary:
            if now < doubtful:
                return Wait(doubtful, WaitReason.WINDOW), Role.CANARY
            self.kind.ask()
            return None, Role.CANARY
        return Wait(boundary, WaitReason.WINDOW), Role.ENTRY

    def boundary(self) -> float:
        """When the next window may be entered.

        Another client that knows the server's clock better would be there first, each time, and leave nothing. After
        it has won a window, aim at the middle of what is uncertain: each attempt halves that, at the price of a 429
        now and then.
        """
        server = (self.numbers.seen + 1) * self.period
        boundary = self.clock.latest_local_time(server)
        if self.others.beaten:
            boundary = (boundary + self.clock.earliest_local_time(server)) / 2
        # However wrong the clock may be, what was used up then has come back by then.
        return min(boundary, self.heard_at + self.period * (1 + 2 * DRIFT))

    def next_begins(self, now: float) -> float:
        """When the next window of the server's clock has surely begun."""
        return self.clock.latest_local_time((self.numbers.at(now) + 1) * self.period)

    def ask_refilling(self, now: float, limit: int, in_flight: int) -> Wait | None:
        """How long the next request has to wait if the counter is a bucket that refills; None: not at all."""
        rate = limit / self.period
        highest = self.kind.highest
        free = self.counter.refilled(now, rate, highest + 1, in_flight)
        if free >= 1:
            return None
        if in_flight and in_flight >= highest:
            return Wait(math.inf, WaitReason.ANSWER)  # even a full bucket would not do
        # Not less than a timer can do: a moment that is no later than `now` would be asked for again and again.
        return Wait(now + max((1 - free) / rate, SHORTEST), WaitReason.REFILL)

    def _ask_well(self, now: float, free: float, limit: int, in_flight: int, waiting: int) -> Wait | None:
        """Permits are left. The last few of a window that will be used up anyway are sent one by one, at moments at
        which their answers say more: beside a change of second (the clock becomes sharp, so the next window is
        entered earlier), and after a pause (a counter that has risen meanwhile is a bucket). It costs nothing: they
        are still sent in this window, and those behind them would have had to wait for the next one anyway.
        """
        reserve = RESERVE if limit >= SMALL else 1
        if free >= reserve + 1 or limit < 2:
            return None
        pause = 0.0 if self.kind.steady else 3 * self.period / limit
        surplus = waiting > free or (0 < pause <= LONGEST_PAUSE and free < 2)
        if not surplus or not (pause or self.clock.blunt):
            return None
        # Before the boundary comes, what is left must be sent, one round trip after the other.
        travel = max(0.1, 4 * self.clock.round_trip)
        too_late = self.clock.earliest_local_time((self.numbers.seen + 1) * self.period) - travel
        if now >= too_late:
            return None
        if in_flight:
            return Wait(min(too_late, now + PATIENCE), WaitReason.ANSWER)
        quiet_since = self.kind.quiet_since
        if quiet_since is None:
            return None
        at = quiet_since + pause
        if self.clock.blunt:
            at = self.clock.informative_time(at)
        at = min(at, too_late)
        return Wait(at, WaitReason.LIMIT) if now < at else None

    def counts_apart(self, permit: Permit, in_flight: int) -> bool:
        """Whether this refusal shows that the server counts types of requests apart."""
        return self.types.explain(permit.kind, permit.sent, permit.after, spare=2 * in_flight + RESERVE)

    # -- hearing --------------------------------------------------------------------------------------------------

    def missed(self, now: float) -> None:
        """A request ended that may have been counted, without a reading of the counter."""
        self.counter.missed(now)
        self.kind.unread()
        self._unread = True

    def lost(self, permit: Permit, now: float) -> None:
        """A request got no answer."""
        self.missed(now)
        if permit.role is Role.ENTRY and permit.window is not None:
            if permit.window != self._lost_in:
                self._lost_in = permit.window
                self._lost_entries = 0
            self._lost_entries += 1

    def permitted(self, permit: Permit) -> None:
        """A solo request was permitted."""
        # Others were here before us, and the clock is not sharp: they know the boundary better. What a client finds
        # used when it begins, at any moment of a window, says nothing of that: it may be its own past.
        entered = permit.role is Role.ENTRY
        self.others.beaten = int(entered and self.others.here_first and self.clock.blunt)

    def read(
        self,
        permit: Permit,
        now: float,
        remaining: int,
        date: float | None,
        *,
        refused: bool,
        limit: int,
        in_flight: int,
        newer: int,
        trailing: TrailingRule,
    ) -> Reading:
        """Take in a reading of the server's counter.

        Args:
            permit: Of the request.
            now: When its answer arrived.
            remaining: What it says.
            date: Its date in the numbering of the clock; None if there is none that can be believed.
            refused: Whether it is a 429.
            limit: Requests permitted per window.
            in_flight: Requests of ours that are in flight now.
            newer: Requests that were sent after this one.
            trailing: What was counted of ours.
        """
        numbers = self.numbers
        oldest, newest = numbers.place(permit.window, permit.sent, now, date)
        # An entry was permitted after the old window had been used up.
        entered = permit.role is Role.ENTRY and not refused
        certain = oldest == newest or entered
        if newest < numbers.seen or (not certain and newest == numbers.seen):
            # Of an old window, or perhaps of it: what the new one has left was seen already.
            self.missed(now)
            return Reading.CONSISTENT
        if certain and newest > numbers.seen:
            self.counter.restart()
            numbers.seen = newest
            self._lost_entries = 0
        shows = Reading.CONSISTENT
        if entered:
            self.kind.begins(remaining, limit)
            # What others of ours have taken from the new window would look like a window that slides. What is missing
            # from a full window may have gone to other users.
            known = permit.alone and not self.others.present
            if known and slides(remaining, limit=limit, admitted=trailing.admissions.count(now)):
                shows = Reading.SLIDES
        elif permit.role is Role.CANARY and not refused:
            self.kind.rose()
        self.counter.saw(permit.sent, now, remaining)
        if certain:
            if newest == permit.after and permit.lowest is not None and remaining >= permit.lowest:
                self.types.too_high(permit.kind, now, remaining, newest)
        else:
            # It counts as a reading of the old window, and as a request that the new one may have counted.
            self.counter.missed(now)
            numbers.seen = max(numbers.seen, oldest)
        if remaining > self.kind.highest:
            self.kind.highest = remaining
        # A refused entry may also mean that there is no boundary: it is no evidence of others.
        # Nor is one before which a request of ours was lost: that one may have been the first.
        first = None
        if permit.solo and permit.alone and (not refused or permit.role is Role.FIRST) and not self._unread:
            first = limit - 1
        number = newest if certain else numbers.seen
        self.others.saw(number, remaining, in_flight=in_flight, first=first)
        self._unread = not certain
        if not certain or refused:
            self.kind.unread()  # a boundary may have been between the request and its answer
        elif self._refills(permit, now, remaining, newest, limit, in_flight, newer, trailing):
            shows = Reading.REFILLS
        return shows

    def _refills(
        self,
        permit: Permit,
        now: float,
        remaining: int,
        number: int,
        limit: int,
        in_flight: int,
        newer: int,
        trailing: TrailingRule,
    ) -> bool:
        """Learn from two readings with nothing of ours between them whether the counter rises by itself."""
        if in_flight and self.kind.quiet_since is None:
            return False
        refills = self.kind.refills(
            permit.sent,
            now,
            remaining,
            number,
            per_second=limit / self.period,
            alone=permit.alone and not newer and not self.others.foreign,
            others=self.others.present,
        )
        if in_flight == 0:
            # A server that counts by the log forgets a request up to a round trip before we do.
            unchanged_until = trailing.unchanged_until(now) - 2 * (now - permit.sent)
            self.kind.at_rest(permit.sent, remaining, number, unchanged_until)
        return refills

    def explains(self, permit: Permit, now: float, remaining: int | None) -> bool:
        """Whether the headers explain a refusal: the window is used up, by others or by requests in flight."""
        if remaining is None:
            # A 429 without headers is as good as Remaining: 0.
            self.counter.saw(permit.sent, now, 0)
            self.numbers.seen = max(self.numbers.seen, self.numbers.at(now))
        elif remaining > 0:
            return False
        if permit.role is Role.ENTRY and self.numbers.seen != permit.after:
            return self.others.took_the_window()  # else the counter did not restart at the boundary
        if permit.role is Role.ENTRY and not self.others.beaten:
            self.clock.too_early(now)
        return True  # an entry that aimed at the middle came too early; or a plain request, one of too many
