"""Responses that say nothing certain about the disk: the disk is read back, and that decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from katapult_async import (
    APIError,
    Assignment,
    AssignmentConflict,
    Client,
    Observer,
    OutcomeStatus,
    ProtocolError,
    RequestEvent,
    RetryPolicy,
)
from katapult_async.bulk import Outcomes
from katapult_async.errors import Execution
from katapult_async.models import Disk, Task
from katapult_async.resources.disks import ASSIGNING
from katapult_async.testing import Answers, Counting, FaultKind, KatapultEmulator
from katapult_async.transport import Meter, Session
from tests.raw_server import http, raw_server, read_request

#: Both wires keep every promise.
pytestmark = pytest.mark.usefixtures("way")

QUICK = RetryPolicy(base=0.001)
HTML = b"<html><h1>no</h1></html>"
ELSEWHERE = {"id": "vm_9", "fqdn": "elsewhere.example"}
# From Python 3.14 on, the size of the stack limits how deep a decoder goes. 200,000 levels fit.
NESTED = b'{"more":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b',"disk":{"id":"disk_1"}}'


class OneDisk:
    """The API with one disk.

    Reading shows where the disk is. `responses` replace the responses to the first writes.
    """

    def __init__(self, *responses: tuple[bytes, bool]) -> None:
        self.responses = list(responses)
        self.machine: dict[str, str] | None = None
        self.requests: list[str] = []

    def shown(self) -> bytes:
        bond = {"virtual_machine": self.machine} if self.machine else None
        return json.dumps({"disk": {"id": "disk_1", "virtual_machine_disk": bond}}).encode()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            method, path = request.decode().split(" ")[:2]
            self.requests.append(f"{method} {path.partition('?')[0].removeprefix('/core/v1/disks/')}")
            writes = method != "GET"
            response, applies = self.responses.pop(0) if writes and self.responses else (None, writes)
            if applies:
                assigns = path.endswith("/assign")
                self.machine = {"id": "vm_1", "fqdn": "web.example"} if assigns else None
            writer.write(response if response is not None else http(self.shown()))
            if response is not None and b"Connection: close" in response:
                await writer.drain()
                return


def refusal(status: str, code: str) -> bytes:
    return http(json.dumps({"error": {"code": code}}).encode(), "X-Api-Schema: json-error", status=status)


# -- 4xx -------------------------------------------------------------------------------------------

NOT_THE_APIS = {
    "unreadable 422": http(b'{"error":{"code":"unable_to_', status="422 Unprocessable Entity"),
    "HTML 403": http(HTML, "Content-Type: text/html", status="403 Forbidden"),
    "HTML 404": http(HTML, "Content-Type: text/html", status="404 Not Found"),
    "408 and the connection ends": http(HTML, "Connection: close", status="408 Request Timeout"),
    "408 with a code": refusal("408 Request Timeout", "disk_not_found"),
    "a code with another status": refusal("403 Forbidden", "disk_not_found"),
    "a token refused with another status": refusal("404 Not Found", "invalid_api_token"),
}


@pytest.mark.parametrize("response", NOT_THE_APIS.values(), ids=NOT_THE_APIS)
async def test_a_foreign_4xx_does_not_decide_an_outcome(response: bytes) -> None:
    server = OneDisk((http(b""), True), (response, False))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        await client.disks.assign("disk_1", "vm_1")  # from here on there is a kept connection
        server.machine = None
        server.requests.clear()
        report = await client.disks.assign_many([("disk_1", "vm_1")])
    assert report.counts == {OutcomeStatus.ASSIGNED: 1}
    assert server.requests == ["POST disk/assign", "GET disk", "POST disk/assign"]


@pytest.mark.parametrize("response", NOT_THE_APIS.values(), ids=NOT_THE_APIS)
async def test_reading_back_finds_a_disk_that_is_already_assigned(response: bytes) -> None:
    server = OneDisk((response, False))
    server.machine = {"id": "vm_1"}
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        async with client.disks.assign_each([("disk_1", "vm_1")]) as outcomes:
            (outcome,) = [outcome async for outcome in outcomes]
    assert outcome.status is OutcomeStatus.ASSIGNED
    assert not outcome.certain  # the disk may have been there before
    assert server.requests == ["POST disk/assign", "GET disk"]


async def test_reading_back_is_repeated_after_a_foreign_response() -> None:
    busy = [http(HTML, status="404 Not Found"), http(HTML, status="408 Request Timeout")]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(busy.pop(0) if busy else http(b'{"disk":{"id":"disk_1"}}'))

    async with raw_server(handler) as url, Client("token", base_url=url, retry=QUICK) as client:
        assert (await client.disks.get("disk_1")).id == "disk_1"


async def test_an_unknown_code_of_the_api_refuses_the_item() -> None:
    server = OneDisk((refusal("422 Unprocessable Entity", "brand_new"), False))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        with pytest.raises(APIError) as caught:
            await client.disks.assign("disk_1", "vm_1")
    assert (caught.value.code, caught.value.execution) == ("brand_new", Execution.REFUSED)
    assert server.requests == ["POST disk/assign"]


# -- 200 -------------------------------------------------------------------------------------------


async def test_a_deeply_nested_response_leads_to_reading_back() -> None:
    server = OneDisk((http(NESTED), True))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        report = await client.disks.assign_many([("disk_1", "vm_1")])
    assert report.counts == {OutcomeStatus.ASSIGNED: 1}
    assert server.requests == ["POST disk/assign", "GET disk"]


async def test_a_deeply_nested_response_is_a_protocol_error() -> None:
    server = OneDisk((http(NESTED), True))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        with pytest.raises(ProtocolError, match="does not have the documented form"):
            await client.disks.update("disk_1", name="new")


def disk(bond: object) -> bytes:
    return http(json.dumps({"disk": {"id": "disk_1", "virtual_machine_disk": bond}}).encode())


@pytest.mark.parametrize("machine", ["vm_1", "web.example"])
@pytest.mark.parametrize("shown", [{"virtual_machine": ELSEWHERE}, None], ids=["elsewhere", "nowhere"])
@pytest.mark.parametrize("applies", [True, False])
async def test_a_200_that_shows_another_machine_is_not_trusted(
    machine: str, shown: object, applies: bool
) -> None:
    server = OneDisk((disk(shown), applies))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        assigned = await client.disks.assign("disk_1", machine)
    assert assigned.virtual_machine_disk
    assert assigned.virtual_machine_disk.virtual_machine.id == "vm_1"
    assert server.requests[:2] == ["POST disk/assign", "GET disk"]
    assert server.requests[2:] == ([] if applies else ["POST disk/assign"])


async def test_a_disk_that_stays_on_another_machine_is_a_conflict() -> None:
    server = OneDisk((disk({"virtual_machine": ELSEWHERE}), False))
    server.machine = ELSEWHERE
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        with pytest.raises(AssignmentConflict, match="vm_9"):
            await client.disks.assign("disk_1", "vm_1")


@pytest.mark.parametrize(
    ("machine", "response"),
    [
        ("vm_1", http(b'{"disk":{"id":"disk_1"}}')),
        ("web.example", http(b'{"disk":{"id":"disk_1"}}')),
        ("web.example", disk({"virtual_machine": {"id": "vm_1"}})),
        ("WEB.example.", disk({"virtual_machine": {"id": "vm_1", "fqdn": "web.EXAMPLE"}})),
        ("vm_1", disk({"virtual_machine": {"id": "vm_1", "fqdn": "other.example"}})),
    ],
)
async def test_a_200_that_does_not_contradict_is_trusted(machine: str, response: bytes) -> None:
    server = OneDisk((response, True))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        assert (await client.disks.assign("disk_1", machine)).id == "disk_1"
    assert server.requests == ["POST disk/assign"]


@pytest.mark.parametrize("applies", [True, False])
async def test_a_200_of_unassign_that_shows_a_machine_is_not_trusted(applies: bool) -> None:
    server = OneDisk((disk({"virtual_machine": {"id": "vm_1"}}), applies))
    server.machine = {"id": "vm_1"}
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        assert (await client.disks.unassign("disk_1")).virtual_machine_disk is None
    assert server.requests[:2] == ["POST disk/unassign", "GET disk"]
    assert server.requests[2:] == ([] if applies else ["POST disk/unassign"])


async def test_a_200_of_unassign_that_shows_no_machine_is_trusted() -> None:
    server = OneDisk((http(b'{"disk":{"id":"disk_1"}}'), True))
    async with raw_server(server) as url, Client("token", base_url=url, retry=QUICK) as client:
        await client.disks.unassign("disk_1")
    assert server.requests == ["POST disk/unassign"]


# -- other errors ----------------------------------------------------------------------------------


async def test_a_lost_item_is_unknown_and_a_429_item_is_not_attempted() -> None:
    async with KatapultEmulator(
        disks=2, virtual_machines=2, counting=Counting(limit=1, period=600.0), answers=Answers(headers=False)
    ) as emulator:
        items = list(map(Assignment, emulator.disk_ids, emulator.virtual_machine_ids))
        refused = asyncio.Event()

        async def send(session: Session, item: Assignment, meter: Meter) -> tuple[Disk | None, Task | None]:
            result = await ASSIGNING.send(session, item, meter)
            await refused.wait()  # the other item now waits for the next window
            raise ZeroDivisionError(str(result))

        class Watch(Observer):
            def on_request(self, event: RequestEvent) -> None:
                if event.rate_limited:
                    refused.set()

        action = replace(ASSIGNING, send=send)
        async with Client("token", base_url=emulator.url, rate_window=600.0, observer=Watch()) as client:
            run = Outcomes(action, items, client.session, concurrency=2, per_virtual_machine=1)
            with pytest.raises(ZeroDivisionError):
                async with run as outcomes:
                    async for _ in outcomes:
                        raise AssertionError("no item is done")
        assert run.report.counts == {OutcomeStatus.UNKNOWN: 1, OutcomeStatus.NOT_ATTEMPTED: 1}
        (unknown,) = run.report.failures
        assert emulator.ledger.applied_count(unknown.assignment.disk) == 1


async def test_an_item_that_fails_before_sending_is_not_attempted() -> None:
    async def send(session: Session, item: Assignment, meter: Meter) -> tuple[Disk | None, Task | None]:
        raise ZeroDivisionError

    async with KatapultEmulator(disks=1) as emulator, Client("token", base_url=emulator.url) as client:
        run = Outcomes(
            replace(ASSIGNING, send=send),
            [("disk_1", "vm_1")],
            client.session,
            concurrency=1,
            per_virtual_machine=1,
        )
        with pytest.raises(ZeroDivisionError):
            async with run as outcomes:
                await anext(outcomes)
    assert run.report.counts == {OutcomeStatus.NOT_ATTEMPTED: 1}


# -- time ------------------------------------------------------------------------------------------


def each_disk_fails_once() -> Callable[[object], FaultKind | None]:
    seen: set[object] = set()

    def script(arrival: object) -> FaultKind | None:
        name = getattr(arrival, "disk", None)
        if name in seen:
            return None
        seen.add(name)
        return FaultKind.UNAVAILABLE

    return script


async def test_waits_for_the_rate_limit_use_no_attempts_of_an_item() -> None:
    async with KatapultEmulator(
        disks=16, virtual_machines=16, counting=Counting(limit=8, period=1.0)
    ) as emulator:
        emulator.faults.script(each_disk_fails_once())
        retry = RetryPolicy(base=0.001, total=0.5)
        async with Client("token", base_url=emulator.url, rate_window=1.0, retry=retry) as client:
            report = await client.disks.assign_many(
                zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)
            )
        assert report.counts == {OutcomeStatus.ASSIGNED: 16}, str(report)
        assert report.elapsed > 1


async def test_waits_for_the_rate_limit_use_no_attempts_of_a_call() -> None:
    async with KatapultEmulator(disks=16, counting=Counting(limit=8, period=1.0)) as emulator:
        emulator.faults.script(each_disk_fails_once())
        retry = RetryPolicy(base=0.001, total=0.5)
        async with Client("token", base_url=emulator.url, rate_window=1.0, retry=retry) as client:
            disks = await asyncio.gather(*map(client.disks.get, emulator.disk_ids))
        assert [found.id for found in disks] == list(emulator.disk_ids)


async def test_the_time_of_attempts_counts_and_is_reported() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if request.startswith(b"GET /core/v1/disks/disk HTTP"):  # a probe
                writer.write(refusal("400 Bad Request", "missing_required_argument"))
                continue
            await asyncio.sleep(0.05)
            writer.write(refusal("503 Service Unavailable", "service_unavailable"))

    retry = RetryPolicy(attempts=100, base=0.001, total=0.12)
    async with raw_server(slow) as url, Client("token", base_url=url, retry=retry) as client:
        with pytest.raises(APIError) as caught:
            await client.disks.get("disk_1")
        assert caught.value.elapsed >= 0.05
        async with client.disks.assign_each([("disk_1", "vm_1")]) as outcomes:
            (outcome,) = [outcome async for outcome in outcomes]
        assert outcome.status is OutcomeStatus.FAILED
        assert outcome.attempts <= 3
        assert outcome.error is not None
        assert outcome.error.elapsed >= 0.05
