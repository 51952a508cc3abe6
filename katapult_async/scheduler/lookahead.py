"""Which item may be sent next: at most so many at a time on one machine, in the order they came.

A pure data structure. Items for a busy machine are parked, in a bounded number, so that they do not block the others.
"""

from __future__ import annotations

from collections import deque

from .outcome import Assignment


class LookAhead:
    """Items pulled from the input and not yet started, and how busy each machine is."""

    __slots__ = ("_bound", "_busy", "_parked", "_parked_count", "_per_machine", "_ready")

    def __init__(self, *, per_machine: int, bound: int) -> None:
        self._per_machine = per_machine
        self._bound = bound
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[Assignment]] = {}
        self._parked_count = 0
        self._ready: deque[Assignment] = deque()

    def __repr__(self) -> str:
        return f"<LookAhead busy={len(self._busy)} parked={self._parked_count} ready={len(self._ready)}>"

    @property
    def full(self) -> bool:
        """Whether no further item may be pulled until a machine gets free."""
        return self._parked_count >= self._bound

    @property
    def parked(self) -> int:
        """Items that wait for their machine."""
        return self._parked_count

    def offer(self, item: Assignment) -> bool:
        """Take in an item from the input. True: start it now. False: parked until its machine is free."""
        machine = item.virtual_machine
        if machine is None:
            return True
        busy = self._busy.get(machine, 0)
        if busy < self._per_machine:
            self._busy[machine] = busy + 1
            return True
        self._parked.setdefault(machine, deque()).append(item)
        self._parked_count += 1
        return False

    def next_ready(self) -> Assignment | None:
        """A parked item whose machine has become free; its place on the machine is already taken."""
        return self._ready.popleft() if self._ready else None

    def finished(self, item: Assignment) -> bool:
        """An item started earlier is done with its machine. True: another one has become ready."""
        machine = item.virtual_machine
        if machine is None:
            return False
        waiting = self._parked.get(machine)
        if waiting:
            self._ready.append(waiting.popleft())
            self._parked_count -= 1
            if not waiting:
                del self._parked[machine]
            return True
        self._leave(machine)
        return False

    def _leave(self, machine: str) -> None:
        busy = self._busy[machine] - 1
        if busy:
            self._busy[machine] = busy
        else:
            del self._busy[machine]

    def drain(self) -> list[Assignment]:
        """Take out everything that has not been started."""
        for item in self._ready:
            if item.virtual_machine is not None:
                self._leave(item.virtual_machine)  # its place was taken for it already
        left = [*self._ready, *(item for items in self._parked.values() for item in items)]
        self._ready.clear()
        self._parked.clear()
        self._parked_count = 0
        return left
