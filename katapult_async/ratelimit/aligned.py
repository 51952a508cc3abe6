"""Windows of the server's clock: what is certainly left, and when the next one starts.

On such a server `X-Ratelimit-Remaining` is the server's own count, other clients included. A
request may be sent while the counter certainly leaves one. When nothing is left, a solo request
called the entry is sent as soon as the server's clock has certainly reached the next window. Its
response shows what the new window has left.

This module combines readings of the counter (counter.py, counter_kind.py, other_users.py) with the
server's clock (clock.py, window_numbers.py). It takes the headers as true. `window` decides whether
to trust them.
"""

from __future__ import annotations

import enum
import math

import msgspec

from .clock import DRIFT, ServerClock
from .counter import ServerCounter
from .counter_kind import CounterKind, slides
from .other_users import OtherUsers
from .permit import PLAIN, Permit, Role, Wait, WaitReason
from .request_types import RequestTypes
from .trailing import TrailingCount, TrailingRule
from .window_numbers import WindowNumbers

#: Seconds to wait for the response to a solo request before another one may be sent. If the longest
#: round trip is more than half of it, twice that round trip.
PATIENCE = 6.0
#: Number of permits at the end of a window that are sent at informative moments
#: (`_delay_last_permits`): RESERVE, or one if the limit is below SMALL.
RESERVE, SMALL = 3, 30
#: The longest pause (seconds) before the last permit if no other request waits for it.
LONGEST_PAUSE = 2.0
#: The shortest wait (seconds) for a bucket to refill.
SHORTEST = 0.001


class Reading(enum.Enum):
    """What one reading of the counter shows about the limiter."""

    CONSISTENT = "nothing that contradicts windows of the server's clock"
    SLIDES = "the counter did not restart at the boundary"
    REFILLS = "the counter rises by itself"


class AlignedWindows(msgspec.Struct):
    """The server's current window, and the next one.

    Args:
        period: Length of a window, in seconds.
        numbers: The numbering of windows, with the server's clock.
        counter: Readings of the server's counter.
        kind: How the counter gets its permits back.
        others: Usage of other clients.
        types: Whether request types have counters of their own.
    """

    period: float
    numbers: WindowNumbers
    counter: ServerCounter
    kind: CounterKind
    others: OtherUsers
    types: RequestTypes
    #: When the server last permitted a request or refused a probe. Before that, when the first
    #: request was sent.
    last_response_at: float = -math.inf
    #: Whether a request ended without a reading since the last certain reading.
    unread: bool = False
    # Entries without a response in the window of this number.
    _lost_in: int = 0
    _lost_entries: int = 0

    @classmethod
    def start(cls, period: float, grain: int) -> AlignedWindows:
        """Create the state before any response.

        Args:
            period: Length of a window, in seconds.
            grain: Number of parts of a period in which responses are counted.
        """
        return cls(
            period,
            WindowNumbers(ServerClock(period)),
            ServerCounter(TrailingCount(period, grain)),
            CounterKind(),
            OtherUsers(),
            RequestTypes(),
        )

    def __repr__(self) -> str:
        return f"<AlignedWindows {self.numbers.newest_read} remaining={self.counter.lowest} {self.others!r}>"

    @property
    def clock(self) -> ServerClock:
        """The server's clock."""
        return self.numbers.clock

    # -- decisions ---------------------------------------------------------------------------------

    def decide(
        self, now: float, limit: int, in_flight: int, waiting: int, sharers: int = 0
    ) -> tuple[Wait | None, Role]:
        """Return how long the next request has to wait (None: send it now), and its role.

        Args:
            now: Local time, in seconds.
            limit: Requests permitted per window.
            in_flight: Our requests in flight.
            waiting: Our requests that want to be sent.
            sharers: Other clients that are known to send equally much.
        """
        share = self.others.share
        if sharers:
            # No reading includes yet what the others have in flight. Leave each of them twice as
            # much as this client takes.
            reserve = 2 * sharers + 1
            free = self.counter.free(in_flight, max(share, reserve)) - reserve
        else:
            free = self.counter.free(in_flight, share)
        if free >= 1:
            return self._delay_last_permits(now, free, limit, in_flight, waiting), PLAIN
        return self._decide_at_boundary(now, limit, in_flight)

    def _decide_at_boundary(self, now: float, limit: int, in_flight: int) -> tuple[Wait | None, Role]:
        """Wait until the server's clock has certainly reached the next window."""
        if in_flight >= limit:
            return Wait(math.inf, WaitReason.ANSWER), Role.ENTRY  # even a new window has no room
        if self.others.windows_lost and now > self.last_response_at + 2 * self.period:
            self.others.windows_lost = 0  # too long ago to matter
        boundary = self.boundary()
        if self._lost_entries >= limit:
            # The server may have permitted each lost entry, and that is all the window permits.
            boundary = max(boundary, self.clock.latest_local_time((self._lost_in + 1) * self.period))
        if now >= boundary:
            return None, Role.ENTRY
        probe_at = self.kind.probe_at(limit / self.period)
        if probe_at is not None and not in_flight and probe_at < boundary:
            if now < probe_at:
                return Wait(probe_at, WaitReason.WINDOW), Role.PROBE
            self.kind.note_probe_sent()
            return None, Role.PROBE
        return Wait(boundary, WaitReason.WINDOW), Role.ENTRY

    def boundary(self) -> float:
        """Return when the next window may be entered (local time, in seconds).

        This is when the server's clock has certainly reached the next window. Another client that
        knows the server's clock better would be there earlier in every window and leave nothing. So
        after another client wins a window, aim at the middle of the uncertainty interval. Each
        attempt halves the interval, at the cost of an occasional 429.
        """
        server = (self.numbers.newest_read + 1) * self.period
        boundary = self.clock.latest_local_time(server)
        if self.others.windows_lost:
            boundary = (boundary + self.clock.earliest_local_time(server)) / 2
        # Whatever the clock says, the window has restarted one period after the last permitted
        # request.
        return min(boundary, self.last_response_at + self.period * (1 + 2 * DRIFT))

    def next_begins(self, now: float) -> float:
        """Return when the next window of the server's clock has certainly started."""
        return self.clock.latest_local_time((self.numbers.at(now) + 1) * self.period)

    def decide_refilling(self, now: float, limit: int, in_flight: int) -> Wait | None:
        """Return how long to wait for a token bucket to refill; None: send the request now.

        Args:
            now: Local time, in seconds.
            limit: Requests per window by which the bucket refills.
            in_flight: Our requests in flight.
        """
        rate = limit / self.period
        highest = self.kind.highest
        free = self.counter.refilled(now, rate, highest + 1, in_flight)
        if free >= 1:
            return None
        if in_flight and in_flight >= highest:
            return Wait(math.inf, WaitReason.ANSWER)  # even a full bucket has no room
        # A wait shorter than a timer's resolution would make the gate ask again and again.
        return Wait(now + max((1 - free) / rate, SHORTEST), WaitReason.REFILL)

    def _delay_last_permits(
        self, now: float, free: float, limit: int, in_flight: int, waiting: int
    ) -> Wait | None:
        """Delay the last permits of a window to moments at which their responses say more.

        A request beside a change of second makes the server's clock precise, so the next window is
        entered earlier. A request after a pause shows whether the counter has risen meanwhile (a
        token bucket). The delay costs nothing: these requests are still sent in this window, and
        the requests behind them have to wait for the next window anyway.
        """
        reserve = RESERVE if limit >= SMALL else 1
        if free >= reserve + 1 or limit < 2:
            return None
        pause = 0.0 if self.kind.steady else 3 * self.period / limit
        surplus = waiting > free or (0 < pause <= LONGEST_PAUSE and free < 2)
        if not surplus or not (pause or self.clock.imprecise):
            return None
        # What is left must be sent before the boundary, one round trip after the other.
        travel = max(0.1, 4 * self.clock.round_trip)
        too_late = self.clock.earliest_local_time((self.numbers.newest_read + 1) * self.period) - travel
        if now >= too_late:
            return None
        if in_flight:
            return Wait(min(too_late, now + PATIENCE), WaitReason.ANSWER)
        idle_since = self.kind.idle_since
        if idle_since is None:
            return None
        at = idle_since + pause
        if self.clock.imprecise:
            at = self.clock.informative_time(at)
        at = min(at, too_late)
        return Wait(at, WaitReason.LIMIT) if now < at else None

    def counts_apart(self, permit: Permit, in_flight: int) -> bool:
        """Return whether this 429 shows that the server has a counter per request type.

        Args:
            permit: The permit of the refused request.
            in_flight: Our requests in flight.
        """
        return self.types.confirmed_by(permit.kind, permit.sent, permit.after, spare=2 * in_flight + RESERVE)

    # -- responses ---------------------------------------------------------------------------------

    def add_unread(self, now: float) -> None:
        """Count a request that ended without a reading: the server may have counted it."""
        self.counter.add_unread(now)
        self.kind.forget_reading()
        self.unread = True

    def lost(self, permit: Permit, now: float) -> None:
        """Count a request that got no response."""
        self.add_unread(now)
        if permit.role is Role.ENTRY and permit.window is not None:
            if permit.window != self._lost_in:
                self._lost_in = permit.window
                self._lost_entries = 0
            self._lost_entries += 1

    def permitted(self, permit: Permit) -> None:
        """Note that the server permitted a solo request."""
        # Another client entered the window earlier although the clock is imprecise: it knows the
        # boundary better. Usage that this client finds when it starts is no sign of that, because
        # it may be its own earlier usage.
        entered = permit.role is Role.ENTRY
        self.others.windows_lost = int(entered and self.others.arrived_first and self.clock.imprecise)

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
        """Process one reading of the server's counter.

        Args:
            permit: The permit of the request.
            now: When the response arrived, local time in seconds.
            remaining: The value of `X-Ratelimit-Remaining`.
            date: The date of the response in the numbering of the clock; None if there is none or
                it is set aside.
            refused: Whether the response is a 429.
            limit: Requests permitted per window.
            in_flight: Our requests in flight now.
            newer: Requests that were sent after this one.
            trailing: The count of our own requests.
        """
        numbers = self.numbers
        oldest, newest = numbers.place(permit.window, permit.sent, now, date)
        # The old window was used up, so a permitted entry was counted in the new one.
        entered = permit.role is Role.ENTRY and not refused
        certain = oldest == newest or entered
        if newest < numbers.newest_read or (not certain and newest == numbers.newest_read):
            # The reading is of an old window, or may be. The reading of the new window is already
            # known.
            self.add_unread(now)
            return Reading.CONSISTENT
        if certain and newest > numbers.newest_read:
            self.counter.restart()
            numbers.newest_read = newest
            self._lost_entries = 0
        shows = Reading.CONSISTENT
        if entered:
            self.kind.note_window_start(remaining, limit)
            # Our own requests in the new window would look like a sliding window. So would other
            # clients.
            known = permit.alone and not self.others.present
            if known and slides(remaining, limit=limit, admitted=trailing.admissions.count(now)):
                shows = Reading.SLIDES
        elif permit.role is Role.PROBE and not refused:
            self.kind.note_probe_permitted()
        self.counter.add_reading(permit.sent, now, remaining)
        if certain:
            if newest == permit.after and permit.lowest is not None and remaining >= permit.lowest:
                self.types.note_higher_reading(permit.kind, now, remaining, newest)
        else:
            # Treat it as a reading of the old window, and as a request that the new window may have
            # counted.
            self.counter.add_unread(now)
            numbers.newest_read = max(numbers.newest_read, oldest)
        if remaining > self.kind.highest:
            self.kind.highest = remaining
        # A refused entry may also mean that there is no boundary, so it is no evidence of other
        # clients. Neither is an entry after a lost request: the lost request may have been the
        # first one in the window.
        first = None
        if permit.solo and permit.alone and (not refused or permit.role is Role.FIRST) and not self.unread:
            first = limit - 1
        number = newest if certain else numbers.newest_read
        self.others.add_reading(number, remaining, in_flight=in_flight, first=first)
        self.unread = not certain
        if not certain or refused:
            self.kind.forget_reading()  # a boundary may lie between the request and its response
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
        """Return whether two readings without a request of ours between them have risen."""
        if in_flight and self.kind.idle_since is None:
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
            # A server with a sliding log forgets a request up to one round trip before we do.
            next_expiry = trailing.next_expiry(now) - 2 * (now - permit.sent)
            self.kind.note_idle(permit.sent, remaining, number, next_expiry)
        return refills

    def explains(self, permit: Permit, now: float, remaining: int | None) -> bool:
        """Return whether the headers explain a 429: the window was used up.

        Args:
            permit: The permit of the refused request.
            now: When the response arrived, local time in seconds.
            remaining: The value of `X-Ratelimit-Remaining`; None without headers.
        """
        if remaining is None:
            # A 429 without headers means the same as Remaining: 0.
            self.counter.add_reading(permit.sent, now, 0)
            self.numbers.newest_read = max(self.numbers.newest_read, self.numbers.at(now))
        elif remaining > 0:
            return False
        if permit.role is Role.ENTRY and self.numbers.newest_read != permit.after:
            return self.others.explains_refused_entry()  # or the counter did not restart
        if permit.role is Role.ENTRY and not self.others.windows_lost:
            self.clock.set_back(now)
        return True  # an entry that aimed at the middle was too early, or a plain request was one too many
