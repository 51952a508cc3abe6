"""Names of virtual machines: an ID and an FQDN can name the same machine.

A session remembers the pairs that responses have shown. Bulk runs use them to limit the requests
per machine. This module looks nothing up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

#: Number of pairs that a session remembers. The oldest pair is removed first, so that a run over a
#: million machines needs constant memory.
MOST_PAIRS = 16_384


# Called twice for each item. Most items share their machine with others.
@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Return the name in the form in which names are compared."""
    return name if name.startswith("vm_") else name.lower().rstrip(".")


class MachineNames:
    """The known pairs of FQDN and ID.

    Attributes:
        ids: The ID of each machine by its canonical FQDN.
        listeners: Called with FQDN and ID of each new pair.
    """

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        self.listeners: list[Callable[[str, str], None]] = []

    def __repr__(self) -> str:
        return f"<MachineNames {len(self.ids)} pairs>"

    def id_of(self, name: str) -> str | None:
        """Return the ID of the machine with this canonical FQDN; None if unknown."""
        return self.ids.get(name)

    def learn(self, fqdn: str, machine: str) -> None:
        """Remember that these two names belong to one machine. Cheap if the pair is known."""
        name = canonical(fqdn)
        if self.ids.get(name) == machine:
            return
        if len(self.ids) >= MOST_PAIRS:
            del self.ids[next(iter(self.ids))]
        self.ids[name] = machine
        for listener in self.listeners:
            listener(name, machine)
