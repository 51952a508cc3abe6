"""Progress of a run: live lines on a terminal, otherwise a plain line every few seconds.

Keeps counts only, so the memory does not grow with the run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from katapult_async import (
    BudgetEvent,
    Observer,
    OutcomeEvent,
    OutcomeStatus,
    RequestEvent,
    RetryEvent,
    StepEvent,
    WaitEvent,
)
from katapult_async.cli.live import PAINT_EVERY, Line, Live, Part, fitted
from katapult_async.cli.meter import Meter
from katapult_async.cli.safe import shown
from katapult_async.cli.terminal import is_plain
from katapult_async.cli.words import clock_time, count, counted, duration
from katapult_async.jobs.preflight.forecast import step_requests

#: Shortest time in seconds between two plain lines.
EVERY = 5.0
#: Seconds without an event after which another plain line is written.
SILENCE = 30.0
#: Shortest wait in seconds that is shown.
WORTH_TELLING = 0.25
#: Seconds without a response after which the display shows that the run waits for responses.
QUIET = 2.0
#: The name of each step for people.
STEP_NAMES = {
    "look": "preflight",
    "assign": "assigning",
    "attach": "attaching",
    "wait": "waiting for tasks",
    "detach": "detaching",
    "unassign": "unassigning",
}
_STYLES = {"failed": "red", "unknown": "yellow", "not_attempted": "dim"}


class Progress(Observer):
    """Counts what happens and shows it.

    Args:
        stream: The stream to write to.
        step: The first step of the run.
        total: Lines of the first step.
        shown: Whether to show progress.
        verbose: Whether to show each outcome and each retry.

    Attributes:
        in_flight: Returns how many requests are in flight. Set by the caller.
        patience_left: Returns the seconds until the run gives up, or None. Set by the caller.
        attaches: Whether the run attaches each disk after it is assigned. Set by the caller.
        failed_before: Lines that failed in earlier sessions or steps. Set by the caller.
        meter: The speed of the run.
        stopping: Whether the run is being stopped.
        responded_at: When the last response arrived, in seconds of the monotonic clock.
    """

    in_flight: Callable[[], int] = staticmethod(lambda: 0)
    patience_left: Callable[[], float | None] = staticmethod(lambda: None)

    def __init__(
        self,
        stream: TextIO,
        *,
        step: str = "assign",
        total: int = 0,
        shown: bool = True,
        verbose: bool = False,
    ) -> None:
        self.stopping = self.attaches = False
        self.failed_before = 0
        self.meter = Meter()
        self._stream = stream
        self._shown = shown
        self._verbose = verbose
        self._printed = time.monotonic()
        self.responded_at = self._printed
        self._wait: WaitEvent | None = None
        self._shown_until = 0.0
        self._live: Live | None = None
        self._begin(step, total)

    def _begin(self, step: str, total: int) -> None:
        self._step = step
        self._total = total
        self._counts: dict[str, int] = {}
        self._done = 0

    def on_step(self, event: StepEvent) -> None:
        """Reset the counts for the next step. Failures stay visible."""
        self.failed_before += self._counts.get(OutcomeStatus.FAILED.value, 0)
        self._begin(event.step, event.lines)

    def on_request(self, event: RequestEvent) -> None:
        """Count a request."""
        self.responded_at = time.monotonic()
        self.meter.add(event)
        if self._step == "look":
            self._print()

    def on_wait(self, event: WaitEvent) -> None:
        """Record what requests wait for."""
        self._wait = event
        until = event.until
        # A long wait is shown once and at once, because no other event may follow until its end.
        known = until is None or until - event.since < EVERY or until - self._shown_until < EVERY
        self._shown_until = until if until is not None and not known else self._shown_until
        self._print(even_if_early=not known)

    def on_budget(self, event: BudgetEvent) -> None:
        """Record what the processes that share the rate limit have used."""
        self.meter.add_shared(event, time.time())

    def on_retry(self, event: RetryEvent) -> None:
        """Show a retry with --verbose."""
        if self._verbose:
            self.note(f"{event.operation}: retry {event.attempt} in {duration(event.delay)}: {event.reason}")

    def on_outcome(self, event: OutcomeEvent) -> None:
        """Count an outcome. A line that was not attempted counts as one still to do."""
        self._counts[event.status] = self._counts.get(event.status, 0) + 1
        self._done += event.status != OutcomeStatus.NOT_ATTEMPTED.value
        if self._verbose:
            machine = f" -> {event.virtual_machine}" if event.virtual_machine else ""
            why = f" ({event.code})" if event.code else ""
            self.note(f"{event.disk}{machine}: {event.status.replace('_', ' ')}{why}")
        self._print()

    def __enter__(self) -> Progress:
        if self._shown and not is_plain(self._stream):
            self._live = Live(self._stream, self.lines)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(exc_type, exc, traceback)
            self._live = None

    async def beat(self) -> None:
        """Repaint the live lines, or write a plain line after a silence, until cancelled."""
        while True:
            if self._live is not None:
                await asyncio.sleep(PAINT_EVERY)
                self._live.paint()
                continue
            await asyncio.sleep(EVERY)
            if time.monotonic() - self._printed >= SILENCE:
                self._print()

    def note(self, text: str) -> None:
        """Write a line now."""
        text = shown(text)
        if self._live is not None:
            self._live.print_above(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def lines(self, width: int) -> list[Line]:
        """Return the live lines.

        Args:
            width: Columns that a line may take.
        """
        now = time.time()
        return [
            self._bar(width),
            *fitted(self._outcomes(), width),
            *fitted([Part(text) for text in self.meter.words(now)], width),
            *fitted([Part(text, "bold") for text in self._ends(now)], width),
            *fitted([Part(text, "dim") for text in self.waiting(now)], width),
        ]

    def line(self) -> str:
        """Return the progress as one plain line."""
        now = time.time()
        start = STEP_NAMES.get(self._step, self._step)
        if self._step != "look":
            start += f": {count(self._done)} of {count(self._total)}"
        outcomes = [part.text for part in self._outcomes()]
        return ", ".join([start, *outcomes, *self.meter.words(now), *self._ends(now), *self.waiting(now)])

    def waiting(self, now: float) -> list[str]:
        """Return what the run waits for, and until when. Empty if the run does not wait.

        Args:
            now: Unix time in seconds.
        """
        answers = self._answers()
        if self.stopping:
            return ["stopping", answers] if answers else ["stopping"]
        patience = self.patience_left()
        if patience is not None:
            at = clock_time(now + patience, now)
            return ["the API does not answer", f"the run gives up in {duration(patience)}, at {at}"]
        wait = self._wait
        if wait is not None and wait.until is not None and wait.until - wait.since >= WORTH_TELLING:
            left = wait.until - now
            if left > 0.05:
                at = clock_time(wait.until, now)
                return [f"waits {duration(max(round(left), 1))} for {wait.reason}", f"until {at}"]
        return [answers] if answers and time.monotonic() - self.responded_at >= QUIET else []

    def _bar(self, width: int) -> Line:
        name = STEP_NAMES.get(self._step, self._step)
        if not self._total:
            return [Part(name[:width])]
        share = min(self._done / self._total, 1.0)
        numbers = f"{count(self._done)} of {count(self._total)}  {int(100 * share)} %"
        columns = min(width - len(name) - len(numbers) - 4, 60)
        if columns < 5:
            return [Part(f"{name}  {numbers}"[:width])]
        full, empty = self._characters()
        done = round(share * columns)
        bar = [Part(full * done, "green"), Part(empty * (columns - done), "dim")]
        return [Part(f"{name}  "), *bar, Part(f"  {numbers}")]

    def _characters(self) -> tuple[str, str]:
        try:
            "━─".encode(self._stream.encoding or "ascii")
        except (LookupError, UnicodeEncodeError):
            return "#", "."
        return "━", "─"

    def _outcomes(self) -> list[Part]:
        if self._step == "look":
            return [Part(counted(self.meter.requests, "request"))]
        counts = {OutcomeStatus.FAILED.value: 0, **self._counts}
        order = sorted(counts, key=lambda status: (status in _STYLES, status))
        parts = [
            Part(
                f"{count(counts[status])} {status.replace('_', ' ')}",
                _STYLES.get(status, "") if counts[status] else "",
            )
            for status in order
        ]
        if self.failed_before:
            parts.append(Part(f"{count(self.failed_before)} failed before", _STYLES["failed"]))
        return parts

    def _ends(self, now: float) -> list[str]:
        if self._step in ("look", "wait") or self.stopping or self.patience_left() is not None:
            return []
        left = max(self._total - self._done, 0)
        requests = step_requests(left, self._step)
        if self.attaches and self._step == "assign":
            requests += step_requests(self._total, "attach")
        seconds = self.meter.seconds_for(requests, now)
        # Nobody knows when the last responses arrive.
        if seconds is None or left <= self.in_flight():
            return []
        return [f"ends in about {duration(max(round(seconds), 1))}, at {clock_time(now + seconds, now)}"]

    def _answers(self) -> str:
        in_flight = self.in_flight()
        return f"waits for {counted(in_flight, 'response')}" if in_flight else ""

    def _print(self, *, even_if_early: bool = False) -> None:
        if not self._shown or self._live is not None:
            return
        if even_if_early or time.monotonic() - self._printed >= EVERY:
            self._printed = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)
