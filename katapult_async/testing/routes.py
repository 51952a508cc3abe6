"""Find the endpoint of a path.

The second part of a path may be the ID of the object (`/disks/disk_x`) or any placeholder
(`/disks/disk`, `/disks/_`, `/disks/:disk`). As in the framework, it is the object's ID unless the
arguments name the object. A slash at the end is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Route(NamedTuple):
    """The endpoint of a path.

    Args:
        path: The documented path.
        thing: The kind of the endpoint's object.
        given: The text of the path in its place.
    """

    path: str
    thing: str
    given: str

    def fill_in(self, arguments: dict[str, Any]) -> None:
        """Add the object of the path, unless the arguments name one."""
        arguments.setdefault(self.thing, {"id": self.given})


class Routes:
    """The endpoints by method and path."""

    def __init__(self, endpoints: Iterable[tuple[str, str]]) -> None:
        self._documented = {_shape(method, path.split("/")[1:]): path for method, path in endpoints}

    def find(self, method: str, path: str) -> Route | None:
        """Return the endpoint of a path without `/core/v1`, if any."""
        parts = path.lstrip("/").removesuffix("/").split("/")
        documented = self._documented.get(_shape(method, parts))
        if documented is None:
            return None
        return Route(documented, documented.split("/")[2], parts[1])


def _shape(method: str, parts: list[str]) -> tuple[str, ...]:
    return (method, *(part for number, part in enumerate(parts) if number != 1), str(len(parts)))
