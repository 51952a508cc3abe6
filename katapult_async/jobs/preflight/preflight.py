"""Looking before sending: every line of a journal is sorted by what the organization's disks and machines are now.

Lists are read with pages of 200, so that 20,000 disks cost some 100 requests; one by one is read only what the lists
cannot tell and is cheap. Changes nothing, on the platform or about the lines' outcomes: it fills the column `found`.
"""

from __future__ import annotations

import enum
import sqlite3
import time

import msgspec

from katapult_async.client import Client
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.logs import package_logger
from katapult_async.observer import Observer, RequestEvent

from .forecast import Pace, seconds_for
from .snapshot import compare_data_centers, examine_machines, read_lists, sort_lines, take_over

log = package_logger("jobs")


class Found(str, enum.Enum):
    """What a line is, before anything is sent."""

    TO_ASSIGN = "to_assign"
    ALREADY_THERE = "already_there"
    #: On another machine.
    CONFLICT = "assignment_conflict"
    DISK_NOT_FOUND = "disk_not_found"
    MACHINE_NOT_FOUND = "virtual_machine_not_found"
    IN_TRASH = "in_trash"
    #: The disk or the machine is in a transitional state. It is sent last.
    NOT_READY = "not_ready"
    #: The organization's lists do not show the disk or the machine, and there are too many of these to read each. It is
    #: sent last.
    NOT_LISTED = "not_listed"
    DATA_CENTERS_DIFFER = "data_centers_differ"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> Found | None:
        return cls.CONFLICT if value == "conflict" else None  # of the first version

    @property
    def is_sent(self) -> bool:
        """Whether a run sends such a line."""
        return self in (Found.TO_ASSIGN, Found.NOT_READY, Found.NOT_LISTED)

    @property
    def is_impossible(self) -> bool:
        """Whether a run settles such a line as failed without sending it."""
        return not self.is_sent and self is not Found.ALREADY_THERE


class FoundLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line as it was sorted. detail: what was seen, where that says more than the kind."""

    number: int
    disk: str
    virtual_machine: str
    found: Found
    detail: str | None = None


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would find and cost.

    counts: lines per kind, each that occurs. first: the first lines of each kind. requests: that the looking has cost.
    assign_requests: that assigning will cost, as far as nothing goes wrong. attach: lines to be attached afterwards; each
    costs one request more, and each of the `attach_machines` some for looking and waiting. total_permitted: requests
    per minute, as far as known. remaining: of these in the current minute. seconds: from now until the last request
    leaves at that rate; None while the rate is not known. not_compared: disks whose data centre was not looked at.
    not_examined: machines whose state was not looked at.
    """

    counts: dict[Found, int]
    first: dict[Found, tuple[FoundLine, ...]]
    requests: int
    assign_requests: int
    attach: int
    attach_machines: int
    total_permitted: int | None
    remaining: int | None
    seconds: float | None
    not_compared: int
    not_examined: int

    @property
    def lines(self) -> int:
        """All of them."""
        return sum(self.counts.values())


async def look(
    client: Client, writer: Writer, organization: str, *, thorough: bool = False, examples: int = 5
) -> Preflight:
    """Sort the lines that have not been sent. organization: `org_…` or its sub-domain. thorough: read each disk to be
    assigned by itself, which costs a request each and shows its data centre, and everything that the lists do not show.
    examples: lines of each kind kept.

    Raises NotFound (organization_not_found) and whatever else a list may raise.
    """
    watch = _Watch()
    with client.session.watching(watch):
        await read_lists(client, writer, organization, thorough=thorough)
        not_examined = await examine_machines(client, writer)
        await sort_lines(writer)
        not_compared = await compare_data_centers(client, writer, thorough=thorough)
    await sort_lines(writer)
    await take_over(writer)
    counts, first, attach, machines_to_attach = await writer.call(lambda db: _read_result(db, examples))
    to_send = sum(count for found, count in counts.items() if found.is_sent)
    period = client.session.gate.window.period
    limit = client.session.gate.limit
    result = Preflight(
        counts=counts,
        first=first,
        requests=watch.requests,
        assign_requests=to_send,
        attach=attach,
        attach_machines=machines_to_attach,
        total_permitted=limit,
        remaining=watch.remaining,
        # A machine with disks to attach is looked at once before and about twice while its tasks run.
        seconds=seconds_for(
            to_send + attach + 3 * machines_to_attach,
            Pace(
                limit=limit,
                remaining=watch.remaining,
                period=period,
                max_per_second=client.max_per_second,
                measured=client.concurrency * watch.requests / watch.took if watch.took else None,
            ),
            time.time(),
        ),
        not_compared=not_compared,
        not_examined=not_examined,
    )
    log.info("preflight: %s", {found.value: count for found, count in counts.items()})
    return result


class _Watch(Observer):
    """What the looking costs, and what it shows of the rate."""

    def __init__(self) -> None:
        self.requests = 0
        self.remaining: int | None = None
        self.took = 0.0

    def on_request(self, event: RequestEvent) -> None:
        self.requests += 1
        self.remaining = event.remaining
        self.took += event.ended_at - event.sent_at


def _read_result(
    db: sqlite3.Connection, examples: int
) -> tuple[dict[Found, int], dict[Found, tuple[FoundLine, ...]], int, int]:
    counted = dict(db.execute("SELECT found, count(*) FROM temp.sorted GROUP BY found").fetchall())
    counts = {found: counted[found.value] for found in Found if found.value in counted}
    first = {
        found: tuple(
            FoundLine(number=number, disk=disk, virtual_machine=machine, found=found, detail=detail)
            for number, disk, machine, detail in db.execute(
                "SELECT l.number, l.disk, l.virtual_machine, s.detail FROM temp.sorted s"
                " JOIN line l ON l.number = s.number WHERE s.found = ? ORDER BY l.number LIMIT ?",
                (found.value, examples),
            )
        )
        for found in counts
    }
    attach, machines = db.execute(
        "SELECT count(*), count(DISTINCT l.virtual_machine) FROM temp.sorted s JOIN line l ON l.number = s.number"
        " WHERE l.further AND s.found IN ('to_assign', 'not_ready', 'not_listed', 'already_there')"
    ).fetchone()
    return counts, first, attach, machines
