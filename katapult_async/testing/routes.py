"""Which endpoint a path leads to. It refuses to know what an endpoint does.

The second part of each path may name the object itself (`/disks/disk_x`), or be any placeholder
that clients write there (`/disks/disk`, `/disks/_`, `/disks/:disk`). The framework takes it for the
object's ID unless the arguments name the object. A slash at the end is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Route(NamedTuple):
    """An endpoint that was found.

    path: as documented. thing: the object that it is about. given: what the path says in its place.
    """

    path: str
    thing: str
    given: str

    def fill_in(self, arguments: dict[str, Any]) -> None:
        """Take the object from the path if the arguments do not name it."""
        arguments.setdefault(self.thing, {"id": self.given})


class Routes:
    """The endpoints by method and path."""

    def __init__(self, endpoints: Iterable[tuple[str, str]]) -> None:
        self._documented = {_shape(method, path.split("/")[1:]): path for method, path in endpoints}

    def find(self, method: str, path: str) -> Route | None:
        """The endpoint for a path without `/core/v1`; None if there is none."""
        parts = path.lstrip("/").removesuffix("/").split("/")
        documented = self._documented.get(_shape(method, parts))
        if documented is None:
            return None
        return Route(documented, documented.split("/")[2], parts[1])


def _shape(method: str, parts: list[str]) -> tuple[str, ...]:
    return (method, *(part for number, part in enumerate(parts) if number != 1), str(len(parts)))
