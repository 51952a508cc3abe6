"""What a person sees while a run is under way: a live line on a terminal, a plain line now and then elsewhere.

Keeps counts only, so that a run of any length needs the same memory.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from katapult_async import Observer, OutcomeEvent, OutcomeStatus, RequestEvent, StepEvent, WaitEvent

#: Seconds between two plain lines.
EVERY = 5.0
#: Seconds after which a plain line says that it is still at work although nothing happens.
SILENCE = 30.0
#: Seconds of waiting that are worth a word.
WORTH_TELLING = 0.25
#: Seconds without an answer after which it is said that answers are waited for.
QUIET = 2.0
#: What is being done in each step of a run.
STEPS = {
    "look": "looking at what is there",
    "assign": "assigning",
    "attach": "attaching",
    "wait": "waiting for tasks",
    "detach": "detaching",
    "unassign": "unassigning",
}
_UNDONE = (OutcomeStatus.FAILED.value, OutcomeStatus.UNKNOWN.value, OutcomeStatus.NOT_ATTEMPTED.value)


class Progress(Observer):
    """Counts what happens and shows it, at most a few times a second. total: lines of the first step. in_flight: how many
    requests are under way, set by the one who knows. heard: when an answer came last (the monotonic clock).
    """

    in_flight: Callable[[], int] = staticmethod(lambda: 0)

    def __init__(self, console: Console, *, step: str = "assign", total: int = 0) -> None:
        self.stopping = False
        self._console = console
        self._requests = self._rate_limited = 0
        self._began = time.monotonic()
        self._shown = self.heard = self._began
        self._wait: WaitEvent | None = None
        self._told = 0.0
        self._live: Live | None = None
        self._begin(step, total)

    def _begin(self, step: str, total: int) -> None:
        self._step = step
        self._total = total
        self._done = 0
        self._undone: dict[str, int] = dict.fromkeys(_UNDONE, 0)

    # -- listening --------------------------------------------------------------------------------------------------

    def on_step(self, event: StepEvent) -> None:
        """Another step of the run begins."""
        self._begin(event.step, event.lines)

    def on_request(self, event: RequestEvent) -> None:
        """A request has ended."""
        self._requests += 1
        self.heard = time.monotonic()
        self._rate_limited += event.rate_limited
        if self._step == "look":
            self._print()

    def on_wait(self, event: WaitEvent) -> None:
        """Requests begin to wait."""
        self._wait = event
        until = event.until
        # A long wait is told at once, and once: until it is over there may be nothing else to tell.
        told = until is None or until - event.since < EVERY or until - self._told < EVERY
        self._told = until if until is not None and not told else self._told
        self._print(even_if_early=not told)

    def on_outcome(self, event: OutcomeEvent) -> None:
        """An item is through."""
        if event.ok:
            self._done += 1
        else:
            self._undone[event.status] = self._undone.get(event.status, 0) + 1
        self._print()

    # -- showing ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            # Nothing is redirected: results on standard output must stay there when this is on standard error.
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=8,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
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
        """Say now and then, in plain lines, that nothing happens; until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            if time.monotonic() - self._shown >= SILENCE:
                self._print()

    def note(self, text: str) -> None:
        """Say something now."""
        if self._live is not None:
            self._console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def line(self) -> str:
        """How far it is, in one line."""
        elapsed = max(time.monotonic() - self._began, 0.001)
        parts = [STEPS.get(self._step, self._step)]
        if self._step != "look":
            parts[0] += f": {self._done} of {self._total} done"
            parts.append(f"{self._undone[OutcomeStatus.FAILED.value]} failed")
            parts += [
                f"{count} {status.replace('_', ' ')}"
                for status, count in self._undone.items()
                if count and status != OutcomeStatus.FAILED.value
            ]
        parts += [f"{self._requests / elapsed:.1f} requests/s", f"{self._rate_limited} 429s"]
        return ", ".join(parts)

    def waiting(self, now: float) -> str:
        """What it waits for and until when; empty if for nothing. now: unix time (seconds)."""
        answers = self._answers()
        if self.stopping:
            return f"stopping, {answers}" if answers else "stopping"
        wait = self._wait
        if wait is not None and wait.until is not None and wait.until - wait.since >= WORTH_TELLING:
            left = wait.until - now
            if left > 0.05:
                at = time.strftime("%H:%M:%S", time.localtime(wait.until))
                return f"waits {max(left, 1):.0f} s, until {at}, for {wait.reason}"
        return answers if time.monotonic() - self.heard >= QUIET else ""

    def _answers(self) -> str:
        count = self.in_flight()
        return f"waits for {count} answer{'' if count == 1 else 's'}" if count else ""

    def _print(self, *, even_if_early: bool = False) -> None:
        if self._live is None and (even_if_early or time.monotonic() - self._shown >= EVERY):
            self._shown = time.monotonic()
            now = time.time()
            parts = [self.line(), self.waiting(now)]
            print(", ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def _render(self) -> Group:
        through = self._done + sum(self._undone.values())
        bar = Table.grid(expand=True)  # ends the bar's line, which the bar itself does not
        bar.add_row(ProgressBar(total=self._total or None, completed=through))
        # Text is not filled up to the edge: the terminal's own ^C after a full line would break the display.
        return Group(
            bar,
            Text(self.line()),
            Text(self.waiting(time.time())),
        )
