"""Select the lines that a report shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.records import LineRecord, LineStatus

EVERY_LINE: frozenset[LineStatus] = frozenset(LineStatus)
#: The lines in reports for people.
FAILURES: frozenset[LineStatus] = frozenset({LineStatus.FAILED, LineStatus.UNKNOWN})
#: The lines that another run has to do.
NOT_DONE: frozenset[LineStatus] = FAILURES | {LineStatus.WAITING}


def selected(journal: Journal, statuses: Collection[LineStatus]) -> Iterator[LineRecord]:
    """Stream the lines with one of these statuses, in the order of the manifest."""
    lines = journal.lines(problems_only=NOT_DONE.issuperset(statuses))
    return (line for line in lines if line.status in statuses)


def parse_statuses(text: str) -> frozenset[LineStatus]:
    """Read a list such as `failed,unknown`.

    Args:
        text: Statuses, separated by commas.

    Raises:
        ValueError: One of them does not exist, or there is none.
    """
    names = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in text.split(",")]
    names = [name for name in names if name]
    known = ", ".join(status.value for status in LineStatus)
    if not names:
        raise ValueError(f"no status is given. Statuses: {known}")
    for name in names:
        if name not in LineStatus._value2member_map_:
            raise ValueError(f"{name[:40]!r} is not a status. Statuses: {known}")
    return frozenset(LineStatus(name) for name in names)
