"""Names of virtual machines: the ID and the FQDN of one machine are the same machine.

A session keeps the pairs that responses have shown. Bulk runs use them to keep their bound of requests per machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

#: Pairs that a session remembers. The oldest pair goes first: a run in constant memory must not remember a million.
MOST_PAIRS = 16_384


# Asked twice for each item, and most items share their machine with others.
@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The name in the form in which names are compared: hosts in lower case, without the final dot."""
    return name if name.startswith("vm_") else name.lower().rstrip(".")


class MachineNames:
    """The pairs of FQDN and ID that are known. `listeners` are called with each new pair."""

    def __init__(self) -> None:
        #: The ID of each machine by its canonical FQDN.
        self.ids: dict[str, str] = {}
        self.listeners: list[Callable[[str, str], None]] = []

    def __repr__(self) -> str:
        return f"<MachineNames {len(self.ids)} pairs>"

    def id_of(self, name: str) -> str | None:
        """The ID of the machine with this canonical FQDN, if a response has shown it."""
        return self.ids.get(name)

    def learn(self, fqdn: str, machine: str) -> None:
        """Remember that these two name one machine. Cheap when the pair is known."""
        name = canonical(fqdn)
        if self.ids.get(name) == machine:
            return
        if len(self.ids) >= MOST_PAIRS:
            del self.ids[next(iter(self.ids))]
        self.ids[name] = machine
        for listener in self.listeners:
            listener(name, machine)
