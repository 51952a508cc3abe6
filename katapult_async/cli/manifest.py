"""The manifest of a command: opened, checked whole, and refused with every reason before anything is sent."""

from __future__ import annotations

import contextlib
import sys

from katapult_async.cli.exit_codes import INTERRUPTED, refuse
from katapult_async.cli.safe import shown
from katapult_async.cli.words import counted
from katapult_async.jobs import Manifest, ManifestCheck, ManifestError


def open_checked(name: str, action: str | None = None) -> Manifest:
    """Open a manifest of assignments, or of the items of an action.

    Exits with 2 if a line is wrong, after saying what is wrong with which line.

    Raises:
        ManifestError: If it cannot be read.
    """
    if not name.strip():
        refuse("MANIFEST is empty: give the name of a file, or - for standard input")
    with contextlib.ExitStack() as stack:
        try:
            # There is no sys.stdin at all if it was closed (`<&-`).
            stdin = sys.stdin.buffer if sys.stdin is not None else None
            manifest = stack.enter_context(Manifest.open(name, action=action, stdin=stdin))
            _complain(manifest.check())
        except KeyboardInterrupt:
            print("katapult-async: interrupted while reading the manifest; nothing was sent", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        stack.pop_all()
    return manifest


def _complain(checked: ManifestCheck) -> None:
    if checked.ok:
        return
    for complaint in checked.complaints:
        print(shown(str(complaint)), file=sys.stderr)
    more = checked.complaint_count - len(checked.complaints)
    if more > 0:
        print(f"and {counted(more, 'more problem')}", file=sys.stderr)
    raise ManifestError("nothing was sent: fix the manifest and try again")
