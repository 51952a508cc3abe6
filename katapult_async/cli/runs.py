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

_HEADINGS = ("journal", "state", "done", "failed", "last active")


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
    rows = [_HEADINGS, *(_row(run, active_at) for run, active_at in runs)]
    widths = [max(len(row[column]) for row in rows if len(row) > 2) for column in range(len(_HEADINGS))]
    widths[0] = max(len(row[0]) for row in rows)
    for row in rows:
        if len(row) == 2:  # a damaged journal: its reason may be longer than a column
            yield f"{row[0]:<{widths[0]}}  {row[1]}"
            continue
        name, state, done, failed, active = row
        yield (
            f"{name:<{widths[0]}}  {state:<{widths[1]}}  {done:>{widths[2]}}  {failed:>{widths[3]}}  {active}"
        ).rstrip()


def _row(run: ListedRun, active_at: float | None) -> tuple[str, ...]:
    if run.problem is not None or run.state is None:
        return run.journal, f"damaged: {run.problem}"
    return (
        run.journal,
        STATE_WORDS[run.state],
        f"{count(run.done or 0)} of {count(run.lines or 0)}",
        count(run.failed or 0),
        local_time(active_at) if active_at is not None else "never",
    )
