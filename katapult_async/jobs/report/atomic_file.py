"""The file that a report is written to: whole, or left as it was.

It is never one of the run's own files.

Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from katapult_async.jobs.errors import JournalError
from katapult_async.jobs.journal.file import SIDE_FILES
from katapult_async.jobs.journal.lock import lock_path


@contextlib.contextmanager
def written_whole(path: Path, journal: Path | None) -> Iterator[TextIO]:
    """Yield a text file that takes the place of `path` when the block ends without an error.

    A device, a pipe or another special file is written to as it stands. Raises JournalError for a
    file that belongs to `journal`, OSError.
    """
    if journal is not None and _belongs_to(journal, path):
        raise JournalError(f"{path} belongs to the journal {journal}: name another file for the report")
    if _is_special(path):
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    target = Path(os.path.realpath(path))  # a link stays one
    draft = target.with_name(f".report-{uuid.uuid4().hex[:8]}.new")
    try:
        with draft.open("x", encoding="utf-8", newline="") as file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(target, draft)
        draft.replace(target)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _belongs_to(journal: Path, path: Path) -> bool:
    # SQLite's files lie beside the journal itself, the lock beside the name by which it was opened.
    names = {name for link in (journal, Path(os.path.realpath(journal))) for name in (link, lock_path(link))}
    names |= {name.with_name(name.name + end) for name in names for end in SIDE_FILES}
    return any(_is_same(path, name) for name in names)


def _is_same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True  # also when it is not there (yet)
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _is_special(path: Path) -> bool:
    # /dev/stdout and /dev/fd/3 are files that somebody has open. A regular one among them is not to
    # be replaced either: what is written would not reach the one who has it open.
    folder = os.path.realpath(path.parent)
    if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
        return True
    return path.exists() and not path.is_file()
