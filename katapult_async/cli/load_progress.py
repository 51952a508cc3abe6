"""Shows a load test in progress: one line that is repainted, or a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from katapult_async.cli.live import PAINT_EVERY, Line, Live, Part, cut
from katapult_async.cli.terminal import is_plain
from katapult_async.cli.words import count, counted, duration
from katapult_async.load import Histogram, LoadTest
from katapult_async.words import milliseconds

#: Seconds between two plain lines.
_EVERY = 5.0


class LoadProgress:
    """Shows the state of a test, as a context manager.

    Args:
        test: The test.
        shown: False shows only notes.
    """

    def __init__(self, test: LoadTest, *, shown: bool) -> None:
        self._test = test
        self._shown = shown
        self._live: Live | None = None
        self._last = time.monotonic()

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

    def update(self) -> None:
        """Show the current state, if it is time."""
        now = time.monotonic()
        if not self._shown or now - self._last < (_EVERY if self._live is None else PAINT_EVERY):
            return
        self._last = now
        if self._live is not None:
            self._live.paint()
        else:
            self.note(self.sentence())

    def _lines(self, width: int) -> list[Line]:
        return [[Part(cut(self.sentence(), width))]]

    def sentence(self) -> str:
        """Return the state of the test."""
        runner = self._test.runner
        if runner is None:
            return "preparing"
        elapsed = runner.elapsed
        if elapsed < 0:
            return f"starts in {duration(-elapsed)}, {counted(runner.in_flight, 'call')} in flight"
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
        return ", ".join(parts)
