"""Finds disks that a manifest lists twice.

Keeps them on disk where they are many, so that memory stays the same.
"""

from __future__ import annotations

import sqlite3
from importlib import resources
from types import TracebackType

from .rows import ManifestLine


def _statements() -> dict[str, str]:
    text = (resources.files("katapult_async.jobs.manifest") / "duplicates.sql").read_text("utf-8")
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name: statement for name, _, statement in parts}


class Duplicates:
    """The disks that were listed already. Use it as a context manager."""

    def __enter__(self) -> Duplicates:
        self._statements = _statements()
        self._db = sqlite3.connect("", isolation_level=None)  # a temporary file that goes away by itself
        self._db.executescript(self._statements["make"])
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()

    def complaint(self, line: ManifestLine) -> str | None:
        """Return what is wrong with a line, if its disk or machine was listed before.

        Raises:
            sqlite3.Error: The temporary folder is full.
        """
        subject = line.disk or line.virtual_machine
        values = {"disk": subject, "number": line.number, "virtual_machine": line.virtual_machine}
        if self._db.execute(self._statements["add"], values).rowcount:
            return None
        first, machine = self._db.execute(self._statements["first"], {"disk": subject}).fetchone()
        if machine == line.virtual_machine:
            return f"{subject} is listed twice, first on line {first}"
        return (
            f"{subject} is listed twice: for {machine} on line {first}, and for {line.virtual_machine} here"
        )
