"""Shows a load test in progress: lines that are repainted, or a plain line every few seconds."""

from __future__ import annotations

import asyncio
import sys
import time
from types import TracebackType

from katapult_async import Observer, WaitEvent
from katapult_async.cli.live import PAINT_EVERY, Line, Live, Part, fitted
from katapult_async.cli.terminal import is_plain
from katapult_async.cli.words import clock_time, count, counted, duration
from katapult_async.load import Histogram, LoadTest
from katapult_async.load.runner import Runner
from katapult_async.words import milliseconds

#: Seconds between two plain lines.
_EVERY = 5.0
#: Shortest wait in seconds that is shown.
_WORTH_TELLING = 0.25
#: Seconds after the measured time after which the display names the responses that are missing.
_OVERDUE = 1.0


class LoadProgress(Observer):
    """Shows the state of a test, as a context manager.

    Args:
        test: The test.
        shown: False shows only notes.
        timeout: Seconds after which a request without a response ends.
    """

    def __init__(self, test: LoadTest, *, shown: bool, timeout: float) -> None:
        self._test = test
        self._shown = shown
        self._timeout = timeout
        self._live: Live | None = None
        self._last = time.monotonic()
        self._wait: WaitEvent | None = None
        self._shown_until = 0.0

    def __enter__(self) -> LoadProgress:
        if self._shown and not is_plain(sys.stderr):
            self._live = Live(sys.stderr, self._lines)
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

    def note(self, text: str) -> None:
        """Write a line that stays."""
        if self._live is not None:
            self._live.print_above(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def on_wait(self, event: WaitEvent) -> None:
        """Record what requests wait for."""
        self._wait = event
        until = event.until
        if until is None or until - event.since < _EVERY or until - self._shown_until < _EVERY:
            return
        self._shown_until = until
        if self._shown and self._live is None:  # at once: no line may follow before its end
            self._print()

    async def beat(self) -> None:
        """Show the current state, until cancelled."""
        while True:
            await asyncio.sleep(PAINT_EVERY)
            if self._live is not None:
                self._live.paint()
            elif self._shown and time.monotonic() - self._last >= _EVERY:
                self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        self.note(self.sentence())

    def _lines(self, width: int) -> list[Line]:
        return fitted([Part(text) for text in self._parts()], width)

    def sentence(self) -> str:
        """Return the state of the test."""
        return ", ".join(self._parts())

    def _parts(self) -> list[str]:
        runner = self._test.runner
        if runner is None:
            return ["preparing", *self._waiting()]
        elapsed = runner.elapsed
        if elapsed < 0:
            in_flight = f"{counted(runner.in_flight, 'call')} in flight"
            return [f"starts in {duration(-elapsed)}", in_flight, *self._waiting()]
        return [*_measured(runner, elapsed), *self._waiting()]

    def _waiting(self) -> list[str]:
        """Return what the test waits for, and until when. Empty if it does not wait."""
        wait, now = self._wait, time.time()
        if wait is not None and wait.until is not None and wait.until - wait.since >= _WORTH_TELLING:
            left = wait.until - now
            if left > 0.05:
                at = clock_time(wait.until, now)
                return [f"waits {duration(max(round(left), 1))} for {wait.reason}", f"until {at}"]
        runner = self._test.runner
        if runner is None or runner.overdue < _OVERDUE or not runner.in_flight:
            return []
        left = max(self._timeout - runner.overdue, 0.0)
        return [f"waits {duration(left)} at most for {counted(runner.in_flight, 'response')}"]


def _measured(runner: Runner, elapsed: float) -> list[str]:
    recording = runner.recording
    failed = sum(number for code, number in recording.outcomes().items() if code != "ok")
    latency = Histogram(2)
    second = recording.seconds.get(int(elapsed) - 1)
    for found in second.latency.values() if second is not None else ():
        latency.add(found)
    parts = [
        duration(elapsed),
        counted(recording.offered, "call"),
        f"{count(failed)} not ok",
        f"{count(runner.in_flight)} in flight",
    ]
    if latency.total:
        parts.append(f"p99 of the last second {milliseconds(latency.percentile(99))}")
    return parts
