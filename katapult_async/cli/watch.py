"""`status --watch`: follow a run of another process to its end. Only reads the journal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from katapult_async.cli.exit_codes import INTERRUPTED, OK, REFUSED, SOME_NOT
from katapult_async.cli.live import PAINT_EVERY, Line, Live, Part, cut, fitted
from katapult_async.cli.safe import shown
from katapult_async.cli.status import Seen, document, rate_and_end, read_status, sentences
from katapult_async.cli.terminal import is_plain
from katapult_async.cli.words import count
from katapult_async.jobs import LineStatus, RunState, RunSummary
from katapult_async.jobs.report.standing import progress, standing, title

#: Seconds between two reads of the journal, and between two plain lines.
EVERY, EVERY_LINE = 1.0, 5.0
#: Largest part of the time for reading, because reading a long journal slows down the run.
SHARE = 0.1
#: The widest bar, in columns.
_WIDEST = 60


def watch_run(run_file: str, *, as_json: bool) -> int:
    """Follow a run until no process executes it.

    Returns:
        The exit code of the run.

    Raises:
        JournalError: If the journal cannot be read.
    """
    try:
        if as_json or is_plain(sys.stdout):
            last = _in_lines(run_file, as_json=as_json)
        else:
            last = _on_terminal(run_file)
    except KeyboardInterrupt:
        return INTERRUPTED  # only --watch ends, and the run continues
    if not as_json:
        print("\n".join(sentences(last)))
    if last.summary.state is RunState.KILLED:
        print(
            f"katapult-async: {shown(run_file)} is not done: its process was killed or crashed",
            file=sys.stderr,
        )
    return exit_code(last.summary)


def exit_code(summary: RunSummary) -> int:
    """Return the exit code of the command that executed a run. 1 if its process was killed."""
    state = summary.state
    if state in (RunState.DONE, RunState.ROLLED_BACK):
        return OK
    if state in (RunState.REFUSED, RunState.NO_ANSWER):
        return REFUSED
    if state is RunState.INTERRUPTED:
        return INTERRUPTED
    return SOME_NOT


def _states(run_file: str, pause: Callable[[float], None]) -> Iterator[Seen]:
    """Read the state of a run repeatedly, until no process executes it."""
    while True:
        began = time.monotonic()
        seen = read_status(run_file)
        took = time.monotonic() - began
        yield seen
        if not seen.running:
            return
        pause(max(EVERY, took / SHARE))


def _in_lines(run_file: str, *, as_json: bool) -> Seen:
    written, due_at = "", 0.0
    states = _states(run_file, time.sleep)
    for seen in states:
        if as_json:
            print(document(seen), flush=True)
        if not seen.running:
            return seen
        line = " ".join([progress(seen.summary), standing(seen.summary), *rate_and_end(seen)])
        if not as_json and line != written and time.monotonic() >= due_at:
            written, due_at = line, time.monotonic() + EVERY_LINE
            print(line, flush=True)
    raise AssertionError("the loop ends with a run that is not executed")


def _on_terminal(run_file: str) -> Seen:
    seen = read_status(run_file)
    if not seen.running:
        return seen

    def pause(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            live.paint()
            time.sleep(PAINT_EVERY)

    with Live(sys.stdout, lambda width: _lines(seen, width)) as live:
        for seen in _states(run_file, pause):  # noqa: B007 - the lambda paints it
            pass
    return seen


def _lines(seen: Seen, width: int) -> list[Line]:
    # One sentence, if it fits into one line.
    words = [standing(seen.summary), *(text[0].lower() + text[1:] for text in rate_and_end(seen))]
    return [
        [Part(cut(title(seen.summary), width), "bold")],
        _bar(seen, width),
        [Part(progress(seen.summary)[:width])],
        *fitted([Part(text.rstrip(".")) for text in words], width),
        [Part("Ctrl-C ends the watching only."[:width], "dim")],
    ]


def _bar(seen: Seen, width: int) -> Line:
    total = seen.summary.info.lines
    through = total - seen.summary.counts.get(LineStatus.WAITING, 0)
    share = through / total if total else 1.0
    numbers = f"{count(through)} of {count(total)}  {int(100 * share)} %"
    columns = min(width - len(numbers) - 2, _WIDEST)
    if columns < 5:
        return [Part(numbers[:width])]
    done = round(share * columns)
    full, empty = _characters()
    return [Part(full * done, "green"), Part(empty * (columns - done), "dim"), Part(f"  {numbers}")]


def _characters() -> tuple[str, str]:
    try:
        "━─".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return "#", "."
    return "━", "─"
