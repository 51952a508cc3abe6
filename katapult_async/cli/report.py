"""`report`: write the outcomes of a run to standard output or a file."""

from __future__ import annotations

import sys
from pathlib import Path

from katapult_async.cli.exit_codes import OK, bad_input
from katapult_async.jobs import Journal, JournalError
from katapult_async.jobs.report import ReportForm, write_form, write_report
from katapult_async.jobs.report.selection import EVERY_LINE, parse_statuses


def run_report(
    run_file: str,
    *,
    form: str | None = None,
    output: str | None = None,
    status: str | None = None,
    every_line: bool = False,
) -> int:
    """Write the report of a run.

    Args:
        run_file: The journal.
        form: The name of the format. None to choose it by the name of `output`, else a table.
        output: The file. None or `-` for standard output.
        status: Statuses of the lines to report, separated by commas.
        every_line: Whether to report every line.

    Returns:
        The exit code.
    """
    file = Path(output) if output is not None and output != "-" else None
    if status is not None and every_line:
        return bad_input("--status and --all exclude each other: give one of them")
    try:
        statuses = parse_statuses(status) if status is not None else EVERY_LINE if every_line else None
        wanted = ReportForm(form) if form is not None else _form_of(file)
    except ValueError as exc:
        return bad_input(str(exc))
    try:
        if file is not None:
            write_report(run_file, file, form=wanted, statuses=statuses)
        else:
            with Journal.read(run_file) as journal:
                write_form(sys.stdout, journal, wanted, statuses=statuses)
    except JournalError as exc:
        return bad_input(str(exc))
    except OSError as exc:
        if file is None:
            raise
        return bad_input(f"cannot write {file}: {exc.strerror}")
    return OK


def _form_of(output: Path | None) -> ReportForm:
    try:
        return ReportForm.of(output) if output is not None else ReportForm.TABLE
    except ValueError as exc:
        if output is not None and output.suffix:
            raise ValueError(f"{exc}, or give --format") from None
        return ReportForm.TABLE  # /dev/stdout, a named pipe
