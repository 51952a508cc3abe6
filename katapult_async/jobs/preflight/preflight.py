"""The preflight: compare every line of a journal with the current state of the platform.

It reads lists with pages of 200, so 20,000 disks cost about 100 requests. It reads disks and
machines singly only if the lists do not show enough and few requests are needed. It changes nothing
on the platform, and no status of a line.
"""

from __future__ import annotations

import time

import msgspec

from katapult_async.client import Client
from katapult_async.jobs.journal import queries_preflight as queries
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.records import Finding, LineFinding
from katapult_async.logs import package_logger
from katapult_async.observer import Observer, RequestEvent

from .forecast import Throughput, seconds_for
from .snapshot import compare_data_centers, examine_machines, read_lists

log = package_logger("jobs")


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a preflight: findings, and the expected cost of the run.

    Attributes:
        counts: The number of lines by finding, for each finding that occurs.
        first: The first lines of each finding.
        requests: Requests that the preflight has used.
        assign_requests: Requests that the assign step needs without retries.
        attach: Lines to attach. Each needs one more request.
        attach_machines: Machines with lines to attach. Each needs some requests: to read it, and to
            poll its tasks.
        total_permitted: Requests permitted per window. None if not known.
        remaining: Requests that remain in the current window. None if not known.
        seconds: Expected seconds until the last request is sent. None if the rate is not known.
        not_compared: Disks whose data centre was not read.
        not_examined: Virtual machines whose state was not read.
    """

    counts: dict[Finding, int]
    first: dict[Finding, tuple[LineFinding, ...]]
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
        """The number of all lines."""
        return sum(self.counts.values())


async def make_preflight(
    client: Client, writer: Writer, organization: str, *, thorough: bool = False, examples: int = 5
) -> Preflight:
    """Compare the lines that were not sent with the current state, and store the findings.

    Args:
        client: Sends the requests.
        writer: Writes to the journal.
        organization: `org_…` or its sub-domain.
        thorough: Whether to read each disk to be assigned, and every disk and machine that the
            lists do not show. That costs one request each. A single read shows the data centre of
            a disk.
        examples: The number of lines to return for each finding.

    Raises:
        NotFound: The organization does not exist.
    """
    watch = _Watch()
    with client.session.watching(watch):
        await read_lists(client, writer, organization, thorough=thorough)
        not_examined = await examine_machines(client, writer)
        await writer.call(queries.sort_lines)
        not_compared = await compare_data_centers(client, writer, thorough=thorough)
    await writer.call(queries.sort_lines)
    await writer.call(queries.keep_findings, time.time())
    counts = await writer.call(queries.finding_counts)
    attach, machines_to_attach = await writer.call(queries.attach_counts)
    to_send = sum(count for found, count in counts.items() if found.is_sent)
    period = client.session.gate.window.period
    limit = client.session.gate.limit
    result = Preflight(
        counts=counts,
        first={found: await writer.call(queries.first_findings, found, examples) for found in counts},
        requests=watch.requests,
        assign_requests=to_send,
        attach=attach,
        attach_machines=machines_to_attach,
        total_permitted=limit,
        remaining=watch.remaining,
        # A machine with disks to attach is read once before, and about twice while its tasks run.
        seconds=seconds_for(
            to_send + attach + 3 * machines_to_attach,
            Throughput(
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
    """Counts the requests of a preflight, and sums up their durations."""

    def __init__(self) -> None:
        self.requests = 0
        self.remaining: int | None = None
        self.took = 0.0

    def on_request(self, event: RequestEvent) -> None:
        self.requests += 1
        self.remaining = event.remaining
        self.took += event.ended_at - event.sent_at
