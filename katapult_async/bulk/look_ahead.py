"""Choose the next item: a limited number per machine at a time, in the order of the input.

A pure data structure. It parks a bounded number of items for busy machines, so that they do not
block the items for other machines.
"""

from __future__ import annotations

import itertools
from collections import deque
from heapq import merge
from typing import Generic

from katapult_async.transport import MachineNames, canonical

from .item import ItemT


def _number(parked: tuple[int, object]) -> int:
    return parked[0]


def machine_of(item: object) -> str | None:
    """Return the virtual machine that an item names, if any."""
    machine: str | None = getattr(item, "virtual_machine", None)
    return machine


class LookAhead(Generic[ItemT]):
    """Items that were read and not started, and the number of items in progress for each machine.

    A machine has one entry for all of its names that `names` knows. `same` merges the entries of
    two names of one machine. If the machine then has more than `per_machine` items in progress, no
    new item starts on it until some have finished.

    Args:
        per_machine: The most items in progress for one machine.
        bound: The most items to park.
        names: The known names of machines.
    """

    __slots__ = (
        "_aliases",
        "_arrivals",
        "_bound",
        "_busy",
        "_names",
        "_other_names",
        "_parked",
        "_parked_count",
        "_per_machine",
        "_ready",
    )

    def __init__(self, *, per_machine: int, bound: int, names: MachineNames | None = None) -> None:
        self._per_machine = per_machine
        self._bound = bound
        self._names = names or MachineNames()
        self._busy: dict[str, int] = {}
        # Items for busy machines in input order, each with its number.
        self._parked: dict[str, deque[tuple[int, ItemT]]] = {}
        self._parked_count = 0
        self._arrivals = itertools.count()
        self._ready: deque[ItemT] = deque()
        # Other names of busy machines -> the name of their entry; and the reverse.
        self._aliases: dict[str, str] = {}
        self._other_names: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        counts = f"busy={len(self._busy)} parked={self._parked_count} ready={len(self._ready)}"
        return f"<LookAhead {counts} aliases={len(self._aliases)}>"

    @property
    def full(self) -> bool:
        """Whether no more items may be read until a machine is free."""
        return self._parked_count >= self._bound

    @property
    def parked(self) -> int:
        """Number of items that wait for their machine."""
        return self._parked_count

    def offer(self, item: ItemT) -> bool:
        """Take an item. Return True to start it now, False if it waits for its machine."""
        machine: str | None = getattr(item, "virtual_machine", None)
        if machine is None:
            return True
        if self._aliases or not machine.startswith("vm_"):
            machine = self._entry(machine)
            if (known := self._names.id_of(machine)) is not None:
                self._unite(machine, known)
                machine = self._entry(known)
        busy = self._busy.get(machine, 0)
        if busy < self._per_machine:
            self._busy[machine] = busy + 1
            return True
        self._parked.setdefault(machine, deque()).append((next(self._arrivals), item))
        self._parked_count += 1
        return False

    def next_ready(self) -> ItemT | None:
        """Return a parked item whose machine is now free. It already counts as in progress."""
        return self._ready.popleft() if self._ready else None

    def put_back(self, item: ItemT) -> None:
        """Take back an item that was not started after all. It still counts as in progress."""
        self._ready.appendleft(item)

    def finished(self, item: ItemT) -> bool:
        """Free the machine of a finished item. Return whether another item is now ready."""
        machine: str | None = getattr(item, "virtual_machine", None)
        if machine is None:
            return False
        if self._aliases or not machine.startswith("vm_"):
            machine = self._entry(machine)
        waiting = self._parked.get(machine)
        if waiting and self._busy[machine] <= self._per_machine:
            self._ready.append(waiting.popleft()[1])
            self._parked_count -= 1
            if not waiting:
                del self._parked[machine]
            return True
        self._leave(machine)
        return False

    def same(self, one: str, other: str) -> None:
        """Merge the entries of two canonical names of one machine."""
        if self._entry(one) in self._busy:
            self._unite(one, other)

    def _entry(self, name: str) -> str:
        name = canonical(name)
        aliases = self._aliases
        while aliases and name in aliases:
            name = aliases[name]
        return name

    def _unite(self, one: str, other: str) -> None:
        one, other = self._entry(one), self._entry(other)
        if one == other:
            return
        self._aliases[one] = other
        self._other_names.setdefault(other, []).extend((one, *self._other_names.pop(one, ())))
        if one in self._busy:
            self._busy[other] = self._busy.get(other, 0) + self._busy.pop(one)
        if one in self._parked:
            both = merge(self._parked.pop(one), self._parked.get(other, ()), key=_number)
            self._parked[other] = deque(both)

    def _leave(self, machine: str) -> None:
        busy = self._busy[machine] - 1
        if busy:
            self._busy[machine] = busy
            return
        del self._busy[machine]
        for name in self._other_names.pop(machine, ()):
            del self._aliases[name]

    def drain(self) -> list[ItemT]:
        """Remove and return all items that were not started."""
        ready, self._ready = self._ready, deque()
        parked, self._parked = self._parked, {}
        self._parked_count = 0
        for item in ready:
            if (machine := machine_of(item)) is not None:
                self._leave(self._entry(machine))  # it already counted as in progress
        return [*ready, *(item for waiting in parked.values() for _, item in waiting)]
