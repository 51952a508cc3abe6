"""What a person sees of a run: a live line on a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from katapult_async import BulkReport, Observer, Outcome, OutcomeStatus, RequestEvent, WaitEvent

#: Seconds between two plain lines.
EVERY = 5.0
#: Failures shown whole; further ones are counted.
MOST_FAILURES = 20


class Progress(Observer):
    """Counts what happens and shows it, at most a few times a second."""

    def __init__(self, console: Console, *, total: int) -> None:
        self.stopping = False
        self._console = console
        self._total = total
        self._ok = self._failed = self._requests = self._rate_limited = 0
        self._permitted: int | None = None
        self._began = time.monotonic()
        self._shown = self._began
        self._wait: WaitEvent | None = None
        self._live: Live | None = None

    # -- listening --------------------------------------------------------------------------------------------------

    def on_request(self, event: RequestEvent) -> None:
        """A request has ended."""
        self._requests += 1
        self._rate_limited += event.rate_limited
        self._permitted = event.permitted or self._permitted

    def on_wait(self, event: WaitEvent) -> None:
        """Requests begin to wait."""
        self._wait = event

    def outcome(self, outcome: Outcome) -> None:
        """An item is through."""
        if outcome.ok:
            self._ok += 1
        else:
            self._failed += 1
        if self._live is None and time.monotonic() - self._shown >= EVERY:
            self._shown = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    # -- showing ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True
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

    def note(self, text: str) -> None:
        """Say something now."""
        if self._live is not None:
            self._console.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _line(self) -> str:
        elapsed = max(time.monotonic() - self._began, 0.001)
        parts = [f"{self._ok} of {self._total} done", f"{self._failed} not"]
        parts.append(f"{self._requests / elapsed:.1f} requests/s")
        parts.append(f"{self._rate_limited} 429s")
        if self._permitted is not None:
            parts.append(f"{self._permitted} permitted")
        if waiting := self._waiting():
            parts.append(waiting)
        return ", ".join(parts)

    def _waiting(self) -> str:
        wait = self._wait
        if wait is None or wait.until is None or wait.until - wait.since < 0.25:
            return ""
        left = wait.until - time.time()
        if left <= 0.05:
            return ""
        at = time.strftime("%H:%M:%S", time.localtime(wait.until))
        return f"waits {left:.0f} s, until {at}, for {wait.reason}"

    def _render(self) -> Table:
        bar = ProgressBar(total=self._total, completed=self._ok + self._failed, width=None)
        table = Table.grid(expand=True)
        table.add_row(bar)
        table.add_row(Text(self._line(), no_wrap=False))
        return table


def closing(console: Console, report: BulkReport, *, never_pulled: int, interrupted: bool) -> None:
    """The closing table, and the failures with what to do about them."""
    plain = not console.is_terminal or console.is_dumb_terminal
    rows = [
        (status.value, str(count))
        for status in OutcomeStatus
        if (count := _count(report, status, never_pulled))
    ]
    rows.append(("requests", str(report.requests)))
    rows.append(("of these 429", str(report.rate_limited)))
    rows.append(("permitted", str(report.total_permitted or "not known")))
    rows.append(("seconds", f"{report.elapsed:.1f}"))
    if plain:
        for name, value in rows:
            print(f"{name:>16}  {value}", file=console.file)
    else:
        table = Table(show_header=False)
        table.add_column(justify="right")
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(name, value)
        console.print(table)

    def say(text: str) -> None:
        # Not through rich: it would break long lines and colour ids.
        print(text, file=console.file)

    for failure in report.failures[:MOST_FAILURES]:
        say(f"{failure.assignment}: {failure.status}: {failure.error or 'no answer'}")
    if (more := len(report.failures) - MOST_FAILURES) > 0:
        say(f"and {more} more that failed; --json shows all")
    if report.stopped_by is not None:
        say(f"the run was refused: {report.stopped_by}")
    if interrupted:
        say("interrupted: run the same plan again; what is done is not done twice")


def _count(report: BulkReport, status: OutcomeStatus, never_pulled: int) -> int:
    extra = never_pulled if status is OutcomeStatus.NOT_ATTEMPTED else 0
    return report.counts.get(status, 0) + extra


def as_json_line(outcome: Outcome) -> str:
    """One outcome as a line of JSON."""
    error = outcome.error
    return json.dumps(
        {
            "disk": outcome.assignment.disk,
            "virtual_machine": outcome.assignment.virtual_machine,
            "status": outcome.status.value,
            "code": getattr(error, "code", None),
            "error": str(error) if error is not None else None,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
            "started_at": outcome.started_at,
            "finished_at": outcome.finished_at,
        }
    )


def report_json(report: BulkReport, *, never_pulled: int) -> str:
    """The report as a line of JSON, under the key `report`."""
    counts = {
        status.value: count for status in OutcomeStatus if (count := _count(report, status, never_pulled))
    }
    return json.dumps(
        {
            "report": {
                "counts": counts,
                "ok": report.ok and not never_pulled,
                "requests": report.requests,
                "rate_limited": report.rate_limited,
                "total_permitted": report.total_permitted,
                "elapsed": round(report.elapsed, 3),
                "stopped_by": str(report.stopped_by) if report.stopped_by is not None else None,
            }
        }
    )
