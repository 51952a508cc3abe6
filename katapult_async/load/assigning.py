"""Assign and unassign disks of a manifest in turn, and leave every disk on no machine.

Katapult works on one disk of a machine at a time, so each machine has one request in flight. Its
calls alternate: assign a disk, unassign it, assign the next one. An unclear response retires the
machine until the end of the test, because the state of its disk is then not known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import anyio

from katapult_async.bulk import Assignment
from katapult_async.client import Client
from katapult_async.errors import Execution, KatapultError
from katapult_async.models import lookups, requests
from katapult_async.resources.disk_actions import ASSIGN, GET, UNASSIGN, UNASSIGNING_READ_FIRST, is_on
from katapult_async.words import counted

from .actions import LoadAction
from .arrivals import Part
from .call import Call, clock
from .errors import LoadError

#: Reads in flight while the disks are checked.
_READS = 16
#: Seconds after an unclear response within which the server may still execute the request.
_LATE = 2.0
_NONE_FREE = "no machine of the manifest is left: a response of each was unclear"


class NoFreeMachine(Exception):
    """Each machine of the manifest had an unclear response."""


class _Machine:
    """A virtual machine, its disks, and the disk that is assigned to it now."""

    __slots__ = ("disks", "name", "on")

    def __init__(self, name: str) -> None:
        self.name = name
        self.disks: deque[str] = deque()
        self.on: str | None = None


class AssignUnassign(LoadAction):
    """Assign a disk, unassign it, and so on with the next disk and machine.

    Only disks that are on no machine are used, so that the test can leave them as they were. The
    operations are called assign and unassign. Each is one call and one request.

    Args:
        items: Disks and machines.

    Attributes:
        left_out: Disks that are not used, because they were on a machine before.

    Raises:
        ValueError: If there are no items, or an item has no machine.
    """

    writes = True

    def __init__(self, items: Iterable[Assignment]) -> None:
        super().__init__("assign")
        self._items = list(items)
        if not self._items or any(item.virtual_machine is None for item in self._items):
            raise ValueError("assigning needs a manifest of disks with their machines")
        self.left_out: list[str] = []
        self._free: deque[_Machine] = deque()
        self._busy = 0
        self._retired: list[_Machine] = []
        self._touched: dict[str, str] = {}
        self._waiting: deque[anyio.Event] = deque()
        self._unclear_at: float | None = None

    def __str__(self) -> str:
        return "assign and unassign disks"

    async def prepare(self, client: Client, part: Part) -> None:
        """Read each disk of this process. Leave out those that are on a machine.

        Raises:
            KatapultError: If a disk cannot be read.
            LoadError: If no disk is left.
        """
        machines: dict[str, list[str]] = {}
        for item in self._items:
            machines.setdefault(item.virtual_machine or "", []).append(item.disk)
        own = {name: disks for index, (name, disks) in enumerate(machines.items()) if part.owns(index)}
        taken = await _on_a_machine(client, [disk for disks in own.values() for disk in disks])
        self.left_out = sorted(taken)
        for name, disks in own.items():
            machine = _Machine(name)
            machine.disks.extend(disk for disk in disks if disk not in taken)
            if machine.disks:
                self._free.append(machine)
        if not self._free:
            raise LoadError("no disk of the manifest is on no machine, so there is none to assign")

    async def perform(self, client: Client, call: Call) -> None:
        """Assign or unassign one disk.

        Raises:
            NoFreeMachine: If no machine can become free any more.
        """
        machine = self._take_nowait()
        if machine is None:
            machine = await self._take(call)
        try:
            if machine.on is None:
                call.operation = "assign"
                await self._assign(client, machine)
            else:
                call.operation = "unassign"
                await self._unassign(client, machine, machine.on)
        except KatapultError as error:
            self._give_back(machine, retire=error.execution is Execution.UNCLEAR)
            raise
        except BaseException:  # cancelled: the request may have been executed
            self._give_back(machine, retire=True)
            raise
        self._give_back(machine, retire=False)

    async def _assign(self, client: Client, machine: _Machine) -> None:
        disk = machine.disks[0]
        self._touched[disk] = machine.name
        body = requests.AssignDisk(lookups.disk(disk), lookups.virtual_machine(machine.name))
        try:
            await client.request(ASSIGN, body=body)
        except KatapultError:
            machine.disks.rotate(-1)  # the next one may not be refused
            raise
        machine.on = disk

    async def _unassign(self, client: Client, machine: _Machine, disk: str) -> None:
        await client.request(UNASSIGN, body=requests.NameDisk(lookups.disk(disk)))
        machine.on = None
        machine.disks.rotate(-1)
        self._touched.pop(disk, None)

    def _take_nowait(self) -> _Machine | None:
        if not self._free:
            return None
        self._busy += 1
        return self._free.popleft()

    async def _take(self, call: Call) -> _Machine:
        """Wait for a machine. The time counts as the client's own."""
        began, call.held = clock(), True
        try:
            while (machine := self._take_nowait()) is None:
                if not self._busy:
                    raise NoFreeMachine(_NONE_FREE)
                event = anyio.Event()
                self._waiting.append(event)
                try:
                    await event.wait()
                except BaseException:
                    self._wake()  # another one gets the machine that this one was woken for
                    raise
            return machine
        finally:
            call.queued += clock() - began
            call.held = False

    def _give_back(self, machine: _Machine, *, retire: bool) -> None:
        self._busy -= 1
        if retire:
            self._unclear_at = clock()
        (self._retired if retire else self._free).append(machine)
        self._wake()
        if not self._busy and not self._free:
            while self._waiting:
                self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()

    async def restore(self, client: Client) -> list[str]:
        """Unassign every disk that may still be on the machine of the test. Read each first.

        After an unclear response, first waits two seconds, because the server may still execute the
        request. One that it executes even later leaves its disk assigned.
        """
        if self._unclear_at is not None:
            await anyio.sleep(max(self._unclear_at + _LATE - clock(), 0.0))
        items = [Assignment(disk, machine) for disk, machine in self._touched.items()]
        if not items:
            return []
        left: list[str] = []
        async with client.bulk_each(UNASSIGNING_READ_FIRST, items) as outcomes:
            async for outcome in outcomes:
                if outcome.ok:
                    self._touched.pop(outcome.item.disk, None)
        for disk, machine in self._touched.items():
            left.append(f"{disk} may still be on {machine}")
        return left

    def notes(self) -> list[str]:
        """Return how many disks are not used."""
        if not self.left_out:
            return []
        return [f"{counted(len(self.left_out), 'disk')} on a machine before the test: left out."]


async def _on_a_machine(client: Client, disks: list[str]) -> set[str]:
    """Return the disks that are assigned, or attached, to any machine.

    Raises:
        KatapultError: If a disk cannot be read.
    """
    found: set[str] = set()
    failed: list[KatapultError] = []
    rest = iter(disks)

    async def read() -> None:
        for disk in rest:
            try:
                response = await client.request(GET, query=[lookups.disk(disk).query("disk")])
            except KatapultError as error:
                failed.append(error)
                return
            if is_on(response.disk, None):
                found.add(disk)
            if failed:
                return

    async with anyio.create_task_group() as tasks:
        for _ in range(min(_READS, len(disks))):
            tasks.start_soon(read)
    if failed:
        raise failed[0]
    return found
