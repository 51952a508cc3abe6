"""Opens the manifest of a command, checks all of it, and reports every problem."""

from __future__ import annotations

import contextlib
import sys

from katapult_async.cli.exit_codes import INTERRUPTED, refuse
from katapult_async.cli.safe import shown
from katapult_async.cli.words import counted
from katapult_async.jobs import Manifest, ManifestCheck, ManifestError


def open_checked(name: str, action: str | None = None) -> Manifest:
    """Open a manifest of assignments, or of the items of an action.

    Args:
        name: The file, or `-` for standard input.
        action: The action of `run`. None for assignments.

    Raises:
        ManifestError: If the manifest cannot be read, or has wrong lines, which are all shown.
    """
    if not name.strip():
        refuse("MANIFEST is empty: give the name of a file, or - for standard input")
    with contextlib.ExitStack() as stack:
        try:
            # sys.stdin is None if it was closed (`<&-`).
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
