"""The lines of a run that are not done, as a manifest for the next run."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from typing import TextIO

from katapult_async.jobs.errors import JournalMismatch
from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.records import LineStatus, RunKind
from katapult_async.safe_text import for_terminal

from .selection import NOT_DONE, selected


def write_manifest(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = NOT_DONE) -> None:
    r"""Write each line with one of `statuses` as a manifest for another run.

    The manifest is CSV for `assign`, and JSON Lines for `run`.

    It has the columns `attach` and `note` if one of these lines has a value for them. Line breaks
    and tabs in a note are kept. Other control characters are escaped, such as `\x1b`. A cell that
    looks like a formula is kept as it was in the first manifest.

    Raises:
        JournalMismatch: The run is a rollback. It has no manifest of its own.
    """
    with journal.snapshot():
        kind = journal.info().kind
        if kind is RunKind.ACTION:
            for line in selected(journal, statuses):
                said = {**json.loads(line.item or "{}"), "note": line.note}
                # json.dumps escapes everything but ASCII, so the text cannot control a terminal.
                out.write(
                    json.dumps({name: value for name, value in said.items() if value is not None}) + "\n"
                )
            return
        if kind is not RunKind.ASSIGN:
            raise JournalMismatch(
                f"{journal.name} is a rollback and has no manifest. Run the same rollback again instead"
            )
        attach = note = False
        for line in selected(journal, statuses):
            attach, note = attach or line.attach, note or line.note is not None
        writer = csv.writer(out)
        writer.writerow(
            ["disk", "virtual_machine", *(["attach"] if attach else []), *(["note"] if note else [])]
        )
        for line in selected(journal, statuses):
            row = [for_terminal(line.disk), for_terminal(line.virtual_machine)]
            row += ["true" if line.attach else "false"] if attach else []
            row += [for_terminal(line.note or "", keep="\n\t")] if note else []
            writer.writerow(row)
