"""`runs`: list the journals of a folder with their state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from katapult_async.cli.exit_codes import OK, SOME_NOT, bad_input
from katapult_async.jobs.report.documents import ListedRun, RunsDocument, encode
from katapult_async.jobs.report.listing import listed_runs
from katapult_async.jobs.report.standing import STATE_WORDS
from katapult_async.safe_text import for_terminal
from katapult_async.words import count, local_time

#: Columns that are left out if all runs have a zero there.
_OPEN = ("unknown", "waiting")
#: Columns that are aligned at the right.
_NUMBERS = ("done", "failed", *_OPEN)
_HEADINGS = ("journal", "state", *_NUMBERS, "last active")
_DAMAGED = "damaged"


def run_runs(folder: str, *, as_json: bool = False) -> int:
    """List the runs of a folder.

    Returns:
        The exit code: 1 if a journal cannot be read.
    """
    try:
        runs = listed_runs(Path(folder))
    except OSError as exc:
        return bad_input(f"cannot list the folder {folder}: {exc.strerror}")
    if as_json:
        print(encode(RunsDocument(folder=for_terminal(folder), runs=[run for run, _ in runs])))
    elif not runs:
        print(f"No runs in {for_terminal(folder)}.")
    else:
        for line in _table(runs):
            print(line)
    return SOME_NOT if any(run.problem for run, _ in runs) else OK


def _table(runs: Sequence[tuple[ListedRun, float | None]]) -> Iterator[str]:
    columns = [name for name in _HEADINGS if name not in _OPEN or any(getattr(run, name) for run, _ in runs)]
    rows = [{name: name for name in columns}, *(_row(run, active_at) for run, active_at in runs)]
    widths = {name: max(len(row[name]) for row in rows if name in row) for name in columns}
    for row in rows:
        if _DAMAGED in row:  # its reason may be longer than a column
            yield f"{row['journal']:<{widths['journal']}}  {row[_DAMAGED]}"
            continue
        cells = (f"{row[name]:{'>' if name in _NUMBERS else '<'}{widths[name]}}" for name in columns)
        yield "  ".join(cells).rstrip()


def _row(run: ListedRun, active_at: float | None) -> dict[str, str]:
    if run.problem is not None or run.state is None:
        return {"journal": run.journal, _DAMAGED: f"damaged: {run.problem}"}
    return {
        "journal": run.journal,
        "state": "being rolled back" if run.rollback_running else STATE_WORDS[run.state],
        "done": f"{count(run.done or 0)} of {count(run.lines or 0)}",
        "failed": count(run.failed or 0),
        "unknown": count(run.unknown or 0),
        "waiting": count(run.waiting or 0),
        "last active": local_time(active_at) if active_at is not None else "never",
    }
