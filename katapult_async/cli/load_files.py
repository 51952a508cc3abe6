"""Writes the results of load tests to files, and reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from katapult_async.cli.exit_codes import refuse
from katapult_async.jobs.report.atomic_file import written_whole
from katapult_async.load import (
    LoadError,
    LoadResult,
    read_result,
    result_table,
    to_json,
    write_hlog,
    write_page,
)

Write = Callable[[TextIO, LoadResult], None]


def _write_json(out: TextIO, result: LoadResult) -> None:
    out.write(to_json(result) + "\n")


def _write_table(out: TextIO, result: LoadResult) -> None:
    out.write(result_table(result) + "\n")


#: What is written, by the end of a file's name.
WRITERS: dict[str, Write] = {
    ".html": write_page,
    ".json": _write_json,
    ".hlog": write_hlog,
    ".txt": _write_table,
}


def check_writable(option: str, name: str | None) -> Path | None:
    """Return the path of a file that is written later. Exits with 2 if it cannot be written.

    A test may take hours, so this is checked before it.
    """
    if name is None:
        return None
    if not name.strip():
        refuse(f"{option} is empty: give the name of a file, or leave it out")
    path = Path(name)
    if path.is_dir():
        refuse(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        refuse(f"cannot write {path}: its folder does not exist, or permits no writing")
    return path


def writer_of(path: Path) -> Write:
    """Return what writes a file with this name. Exits with 2 if its end is unknown."""
    found = WRITERS.get(path.suffix.lower())
    if found is None:
        refuse(f"cannot tell the format from the name {path.name!r}: end it with {', '.join(WRITERS)}")
    return found


def write(path: Path, result: LoadResult, writer: Write) -> str | None:
    """Write a file, whole or not at all. Return why that failed, or None."""
    try:
        with written_whole(path, None) as file:
            writer(file, result)
    except OSError as exc:
        return f"cannot write {path}: {exc.strerror or exc}"
    return None


def read(name: str) -> LoadResult:
    """Return the result of a file. Exits with 2 if it cannot be read."""
    if not name.strip():
        refuse("RESULT is empty: give a file that `load run --output` has written")
    try:
        return read_result(name)
    except LoadError as exc:
        refuse(str(exc))
