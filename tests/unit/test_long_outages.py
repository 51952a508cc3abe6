"""Bulk runs through outages of minutes, in virtual time: they cost no item and no attempt."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable

import pytest
from yarl import URL

from katapult_async import Assignment, NoAnswer, Outcome, OutcomeStatus, RetryPolicy
from katapult_async.errors import ConnectError, ConnectionLost, RequestTimeout
from katapult_async.ratelimit import GateByType, Window
from katapult_async.resources import BulkRuns, Disks
from katapult_async.transport import Reply, Session
from tests.virtual_time import run

HTML = b"<html>Bad gateway</html>"
MISSING = b'{"error":{"code":"missing_required_argument","description":"","detail":{}}}'
NOT_AVAILABLE = b'{"error":{"code":"service_unavailable","description":"","detail":{}}}'


def refused() -> Reply:
    raise ConnectError("no connection: refused")


def bad_gateway() -> Reply:
    return Reply(502, {"Content-Type": "text/html"}, HTML)


def proxy_503() -> Reply:
    return Reply(503, {"Content-Type": "text/html"}, HTML)


def not_available() -> Reply:
    return Reply(503, {"Content-Type": "application/json"}, NOT_AVAILABLE)


def lost() -> Reply:
    raise ConnectionLost("reset")


class Model:
    """A small server in place of the wire. It assigns disks, except during an outage."""

    def __init__(self, response: Callable[[], Reply] | None, begin: float, end: float) -> None:
        self.response = response
        self.begin, self.end = begin, end
        self.machines: dict[str, str] = {}
        self.applied: Counter[str] = Counter()
        #: When each request arrived.
        self.arrivals: list[float] = []
        self.seconds = 0.02
        self._rng = random.Random(1)

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        now = asyncio.get_running_loop().time
        self.arrivals.append(now())
        await asyncio.sleep(self._rng.uniform(0.5, 1.5) * self.seconds)
        if self.begin <= now() < self.end:
            if self.response is None:
                await asyncio.sleep(60)
                raise RequestTimeout("no whole response within 60 s")
            return self.response()
        if method == "POST":
            assert body is not None
            asked = json.loads(body)
            disk, machine = asked["disk"]["id"], asked["virtual_machine"]["id"]
            self.machines[disk] = machine
            self.applied[disk] += 1
        elif "disk[id]" not in url.query:
            return Reply(400, {"Content-Type": "application/json"}, MISSING)  # a probe
        else:
            disk = url.query["disk[id]"]
        where = self.machines.get(disk)
        bond = {"virtual_machine": {"id": where, "fqdn": f"{where}.example"}} if where else None
        response = {"disk": {"id": disk, "virtual_machine_disk": bond}}
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(response).encode())

    async def close(self) -> None:
        return

    def during(self) -> list[float]:
        return [at for at in self.arrivals if self.begin <= at < self.end]


async def assign(
    model: Model,
    items: list[Assignment],
    *,
    concurrency: int = 32,
    patience: float = 300.0,
    policy: RetryPolicy | None = None,
) -> tuple[list[Outcome], Disks, object]:
    gate = GateByType(Window.start(period=60, limit=100_000))
    session = Session(model, gate, base_url="http://api.test/core/v1", retry=policy or RetryPolicy())
    # One in 400 short outages ends between an item's last attempt and the probe. The run then
    # cannot tell the outage from an item that fails by itself.
    session._rng.seed(1)  # pyright: ignore[reportPrivateUsage]
    disks = Disks(
        session, BulkRuns(session, concurrency=concurrency, per_virtual_machine=1, patience=patience)
    )
    async with disks.assign_each(items) as outcomes:
        got = [outcome async for outcome in outcomes]
    assert gate.window.in_flight == 0
    return got, disks, outcomes.report.stopped_by


def items_on(machines: int, count: int = 2000) -> list[Assignment]:
    return [Assignment(f"disk_{number}", f"vm_{number % machines}") for number in range(count)]


@pytest.mark.parametrize("response", [refused, bad_gateway, proxy_503, not_available, lost, None])
@pytest.mark.parametrize(("concurrency", "machines"), [(32, 500), (32, 1), (1, 500), (3, 500)])
@pytest.mark.parametrize("seconds", [2.0, 12.0, 120.0])
def test_an_outage_costs_no_item_and_no_attempt(
    response: Callable[[], Reply] | None, concurrency: int, machines: int, seconds: float
) -> None:
    model = Model(response, 0.2, 0.2 + seconds)
    items = items_on(machines, 300)

    async def main() -> float:
        got, _, stopped_by = await assign(model, items, concurrency=concurrency)
        assert stopped_by is None
        assert Counter(outcome.status for outcome in got) == {OutcomeStatus.ASSIGNED: 300}
        return asyncio.get_running_loop().time()

    ended = run(main())
    assert max(model.applied.values()) == 1
    # A time-out that began just before the end of the outage ends after it, and a pause follows.
    step = min(seconds, 30.0) + 16.0 if response is not None else 61.0 + 31.0
    assert ended <= model.end + step + 300 * 0.03 / min(concurrency, machines)
    # One probe at a time, with pauses that double. All other requests came before it opened.
    assert len(model.during()) <= 3 * max(concurrency, 4) + 20


@pytest.mark.parametrize("attempts", [2, 3])
def test_an_outage_may_have_more_probes_than_an_item_has_attempts(attempts: int) -> None:
    """With many machines the breaker opens before any item has used two attempts."""
    model = Model(refused, 0.2, 120.2)

    async def main() -> None:
        got, _, _ = await assign(model, items_on(500, 300), policy=RetryPolicy(attempts=attempts))
        assert {outcome.status for outcome in got} == {OutcomeStatus.ASSIGNED}
        assert max(outcome.attempts for outcome in got) >= 2

    run(main())


@pytest.mark.parametrize("response", [refused, bad_gateway, not_available])
def test_a_run_gives_up_when_its_patience_ends(response: Callable[[], Reply]) -> None:
    model = Model(response, 0.2, 1e9)

    async def main() -> None:
        got, _, stopped_by = await assign(model, items_on(500), patience=100.0)
        assert 100 <= asyncio.get_running_loop().time() <= 101
        assert isinstance(stopped_by, NoAnswer)
        assert str(stopped_by).startswith("the API at http://api.test/core/v1 has not answered for 100 s; ")
        statuses = Counter(outcome.status for outcome in got)
        left = {OutcomeStatus.UNKNOWN} if response is bad_gateway else {OutcomeStatus.NOT_ATTEMPTED}
        assert set(statuses) - {OutcomeStatus.ASSIGNED} == left
        assert statuses.total() <= statuses[OutcomeStatus.ASSIGNED] + 32

    run(main())


def test_a_silent_server_ends_the_run_after_five_time_outs() -> None:
    model = Model(None, 0.0, 1e9)

    async def main() -> None:
        gate = GateByType(Window.start(period=60))
        session = Session(model, gate, base_url="http://api.test/core/v1", retry=RetryPolicy())
        disks = Disks(session, BulkRuns(session, concurrency=32, per_virtual_machine=1))
        report = await disks.assign_many(items_on(500, 40))
        # Four time-outs of 60 s, started 6 s apart, and the time-out of the probe.
        assert asyncio.get_running_loop().time() < 60 + 3 * 6 + 60 + 7
        assert isinstance(report.stopped_by, NoAnswer)
        assert report.counts[OutcomeStatus.UNKNOWN] <= 16
        assert report.requests == len(model.arrivals) <= 20

    run(main())


def test_a_wrong_address_ends_the_run() -> None:
    model = Model(lambda: Reply(200, {"Content-Type": "text/html"}, HTML), 0.0, 1e9)

    async def main() -> None:
        got, _, stopped_by = await assign(model, items_on(500))
        assert len(model.arrivals) <= 64
        assert isinstance(stopped_by, NoAnswer)
        assert " has answered none of 61 requests: check the base URL" in str(stopped_by)
        assert {outcome.status for outcome in got} <= {OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_ATTEMPTED}

    run(main())
