"""`status` and `report`: what is read from the journal of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from katapult_async.cli.exit_codes import OK, bad_input
from katapult_async.jobs import (
    Journal,
    JournalError,
    LineStatus,
    RunSummary,
    Second,
    write_csv,
    write_html,
    write_json,
    write_table,
)
from katapult_async.jobs.output import written_whole
from katapult_async.jobs.report import totals

#: Seconds over which `status` takes the rate.
RECENT = 60
#: The formats of `report`.
WRITERS: dict[str, Callable[[TextIO, Journal], None]] = {
    "table": write_table,
    "csv": write_csv,
    "json": write_json,
    "html": write_html,
}


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def run_status(run_file: str) -> int:
    """Say where a run stands; the exit code."""
    try:
        with Journal.read(run_file) as journal, journal.snapshot():
            summary, recent = journal.summary(), journal.timeline()[-RECENT:]
    except JournalError as exc:
        return bad_input(str(exc))
    for sentence in _standing(run_file, summary, recent, now=time.time()):
        print(sentence)
    for name, value in totals(summary):
        print(f"{name:>20}  {value}")
    return OK


def _standing(run_file: str, summary: RunSummary, recent: list[Second], *, now: float) -> list[str]:
    info = summary.info
    done = sum(count for status, count in summary.counts.items() if status.ok)
    sentences = [f"{info.kind} of {info.manifest}: {done} of {info.lines} lines are done"]
    if summary.locked_by is not None:
        last_minute = [second for second in recent if second.at >= now - RECENT]
        rate = sum(second.requests for second in last_minute) / RECENT
        sentences.append(
            f"it is being executed by {summary.locked_by}, {rate:.1f} requests/s in the last minute"
        )
    elif info.taken_back_by is not None:
        sentences.append(f"it has been taken back: katapult-async status {info.taken_back_by}")
    elif summary.finished:
        sentences.append("it is finished" if summary.sessions else "it has not been executed")
    else:
        sentences.append(f"{_ended(summary)}: go on with: katapult-async resume {run_file}")
    if summary.counts.get(LineStatus.FAILED):
        sentences.append(f"why lines have failed: katapult-async report {run_file}")
    return sentences


def _ended(summary: RunSummary) -> str:
    """How a run that is not finished came to rest."""
    if not summary.sessions:
        return "it has not been executed"
    ended = summary.sessions[-1].ended
    if ended == "finished":
        # All was done that could be: tasks that did not end in time, and what nobody could tell, are still open.
        open_lines = summary.counts.get(LineStatus.UNKNOWN, 0) + summary.counts.get(LineStatus.WAITING, 0)
        return f"it ended with {_lines(open_lines)} open"
    if ended is None:
        return "it was killed, or could not write any more"
    return "it failed" if ended == "failed" else f"it was {ended}"


def run_report(run_file: str, *, form: str, output: Path | None) -> int:
    """Write the report of a run; the exit code."""
    if output is not None and str(output) == "-":
        output = None
    write = WRITERS[form]
    try:
        with Journal.read(run_file) as journal:
            if output is None:
                write(sys.stdout, journal)
                sys.stdout.flush()
            else:
                with written_whole(output, journal.path) as file:
                    write(file, journal)
    except JournalError as exc:
        return bad_input(str(exc))
    except BrokenPipeError:
        raise
    except OSError as exc:
        return bad_input(f"cannot write {output or 'to standard output'}: {exc.strerror}")
    return OK
