"""`status`: where a run stands and what leads on; once, or again and again until the run ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from katapult_async.cli.exit_codes import INTERRUPTED, OK, REFUSED, SOME_NOT, bad_input
from katapult_async.cli.terminal import has_colors, hidden_keys, is_plain
from katapult_async.jobs import Journal, JournalError
from katapult_async.jobs.latency import Latency
from katapult_async.jobs.record import RunSummary, Second
from katapult_async.jobs.report.documents import StatusDocument, encode, run_document_of
from katapult_async.jobs.report.standing import RunState, next_steps, progress, standing, state_of, title
from katapult_async.jobs.report.text import totals
from katapult_async.safe_text import for_terminal
from katapult_async.transport import DEFAULT_BASE_URL

#: Seconds over which the rate is taken.
RECENT = 60
#: Seconds between two looks of `--watch`, and between two plain lines.
EVERY, EVERY_LINE = 1.0, 5.0
#: A look may take this part of the time: reading a long journal costs the run's machine something.
SHARE = 0.1
_EXIT_CODES = {
    RunState.DONE: OK,
    RunState.ROLLED_BACK: OK,
    RunState.REFUSED: REFUSED,
    RunState.INTERRUPTED: INTERRUPTED,
}


class Seen(msgspec.Struct, frozen=True):
    """What a look at a journal has seen. rate: requests a second in the last minute, while the run is executed."""

    journal: str
    summary: RunSummary
    latency: Latency
    rate: float | None

    @property
    def running(self) -> bool:
        """Whether a process executes the run."""
        return state_of(self.summary) is RunState.RUNNING


def run_status(run_file: str, *, as_json: bool = False, watch: bool = False) -> int:
    """Say where a run stands and return the exit code: 0, or that of the run if it is watched."""
    try:
        if watch:
            return _watch(run_file, as_json=as_json)
        seen = look(run_file)
    except JournalError as exc:
        return bad_input(str(exc))
    print(document(seen) if as_json else "\n".join(sentences(seen)))
    return OK


def look(run_file: str) -> Seen:
    """Read where a run stands at this moment. Raises JournalError."""
    with Journal.read(run_file) as journal, journal.snapshot():
        summary = journal.summary()
        recent = journal.timeline()[-RECENT:]
        rate = rate_of(summary, recent, now=time.time()) if summary.locked_by is not None else None
        return Seen(run_file, summary, journal.latency(), rate)


def rate_of(summary: RunSummary, recent: list[Second], *, now: float) -> float:
    """Return the requests a second in the last minute, or since the run began if that is less."""
    began = summary.sessions[-1].started_at if summary.sessions else summary.info.created_at
    over = min(max(now - began, 1.0), RECENT)
    return sum(second.requests for second in recent if second.at >= now - over) / over


def document(seen: Seen) -> str:
    """Return the status for a program, as JSON in one line."""
    steps = _next_steps(seen)
    return encode(
        StatusDocument(
            journal=for_terminal(seen.journal),
            run=run_document_of(seen.summary, seen.latency),
            rate=None if seen.rate is None else round(seen.rate, 2),
            next=[command for _, command in steps],
        )
    )


def sentences(seen: Seen) -> list[str]:
    """Return the status for a person, in lines."""
    lines = [title(seen.summary), progress(seen.summary), _standing(seen)]
    steps = _next_steps(seen)
    width = max((len(purpose) for purpose, _ in steps), default=0) + 1
    lines += [f"{purpose + ':':<{width}} {command}" for purpose, command in steps]
    rows = totals(seen.summary, latency=seen.latency)
    return [*lines, "", *(f"{name:>28}  {value}" for name, value in rows)]


def _next_steps(seen: Seen) -> list[tuple[str, str]]:
    named = os.environ.get("KATAPULT_BASE_URL") or DEFAULT_BASE_URL
    return next_steps(seen.summary, seen.journal, base_url=named)


def _standing(seen: Seen) -> str:
    text = standing(seen.summary)
    return text if seen.rate is None else f"{text} {seen.rate:.1f} requests/s in the last minute."


# -- watching --------------------------------------------------------------------------------------------------------


def _watch(run_file: str, *, as_json: bool) -> int:
    try:
        if as_json or is_plain(sys.stdout):
            last = _watch_in_lines(run_file, as_json=as_json)
        else:
            last = _watch_on_terminal(run_file)
    except KeyboardInterrupt:
        return INTERRUPTED  # of the watching: the run goes on
    if not as_json:
        print("\n".join(sentences(last)))
    return _EXIT_CODES.get(state_of(last.summary), SOME_NOT)


def _looks(run_file: str) -> Iterator[Seen]:
    """Look again and again, until the run is not executed any more."""
    while True:
        began = time.monotonic()
        seen = look(run_file)
        took = time.monotonic() - began
        yield seen
        if not seen.running:
            return
        time.sleep(max(EVERY, took / SHARE))


def _watch_in_lines(run_file: str, *, as_json: bool) -> Seen:
    shown, due_at = "", 0.0
    last: Seen | None = None
    for last in _looks(run_file):
        line = document(last) if as_json else f"{progress(last.summary)} {_standing(last)}"
        if as_json or (last.running and line != shown and time.monotonic() >= due_at):
            shown, due_at = line, time.monotonic() + EVERY_LINE
            print(line, flush=True)
    assert last is not None  # noqa: S101 - there is always a first look
    return last


def _watch_on_terminal(run_file: str) -> Seen:
    last: Seen | None = None
    console = Console(file=sys.stdout, highlight=False, no_color=not has_colors(sys.stdout))
    with (
        hidden_keys(sys.stdout),
        Live(console=console, transient=True, auto_refresh=False, redirect_stdout=False) as live,
    ):
        for last in _looks(run_file):
            live.update(_picture(last), refresh=True)
    assert last is not None  # noqa: S101 - there is always a first look
    return last


def _picture(seen: Seen) -> Group:
    summary = seen.summary
    through = sum(number for status, number in summary.counts.items() if status.value != "waiting")
    return Group(
        Text(title(summary)),
        ProgressBar(total=summary.info.lines or None, completed=through),
        Text(progress(summary)),
        Text(_standing(seen)),
        Text("Ctrl-C ends the watching only.", style="dim"),
    )
