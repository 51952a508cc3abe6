"""Write a report to a file atomically: after an error, the file is as it was before.

A report never overwrites a file of a journal.
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
    """Yield a text file that replaces `path` when the block ends without an error.

    A device, a pipe or another special file is written directly.

    Raises:
        JournalError: If `path` belongs to `journal`.
        OSError: If the file cannot be written.
    """
    if journal is not None and _belongs_to(journal, path):
        raise JournalError(f"{path} belongs to the journal {journal}: name another file for the report")
    if _is_special(path):
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    target = Path(os.path.realpath(path))  # replace the target of a symbolic link, not the link
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
    # Include the side files and the locks of the path and of the file that it links to.
    names = {name for link in (journal, Path(os.path.realpath(journal))) for name in (link, lock_path(link))}
    names |= {name.with_name(name.name + end) for name in names for end in SIDE_FILES}
    return any(_is_same(path, name) for name in names)


def _is_same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True  # the paths are equal, even if no file exists
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _is_special(path: Path) -> bool:
    # A process has /dev/stdout or /dev/fd/3 open. Do not replace even a regular file among them,
    # because that process would not see the new file.
    folder = os.path.realpath(path.parent)
    if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
        return True
    return path.exists() and not path.is_file()
