"""Find disks that a manifest lists twice, in a temporary SQLite file, so that memory is bounded."""

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
    """The disks of the lines so far. Use it as a context manager."""

    def __enter__(self) -> Duplicates:
        self._statements = _statements()
        self._db = sqlite3.connect("", isolation_level=None)  # SQLite removes this temporary file
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
        """Add a line. Return a complaint if an earlier line has the same disk or machine.

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
