"""What a load test does at each arrival: reads, a mix, or a function of the user.

Writes that leave no trace are in `assigning`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from katapult_async.client import Client
from katapult_async.errors import KatapultError
from katapult_async.models import lookups
from katapult_async.resources.disk_actions import GET
from katapult_async.resources.disk_creation import LIST

from .arrivals import Part
from .call import Call
from .errors import LoadError

#: Disks of an organization that are read if none are named: one page of the list.
_SAMPLE = 200


class LoadAction:
    """The base class of actions: override `perform`, and what else is needed.

    Args:
        name: What the result calls its operation.
    """

    #: Whether the action changes something at the API.
    writes = False

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    async def prepare(self, client: Client, part: Part) -> None:
        """Read what the action needs, before the first arrival.

        Args:
            client: Sends requests within the rate limit. They are not measured.
            part: The share of this process.

        Raises:
            KatapultError: If a request failed.
            LoadError: If the action cannot be carried out.
        """

    async def perform(self, client: Client, call: Call) -> None:
        """Carry out one call. An exception is its outcome.

        Args:
            client: Sends the measured requests. It repeats none, except after a 429 within the
                rate limit.
            call: The call. Set `call.operation` if the action has several operations.
        """
        raise NotImplementedError

    async def restore(self, client: Client) -> list[str]:
        """Undo what the calls changed. Also called after an interruption and after an error.

        Args:
            client: Sends requests within the rate limit, with retries.

        Returns:
            What could not be restored, in words.
        """
        del client
        return []

    def notes(self) -> list[str]:
        """Return remarks for the result, in sentences."""
        return []


class ReadDisk(LoadAction):
    """Read one disk after the other (GET /disks/disk).

    Args:
        disks: IDs of disks. Empty to use disks of the organization.
        organization: ID or sub-domain, for a test that names no disks.

    Raises:
        ValueError: If neither is given.
    """

    def __init__(self, disks: Sequence[str] = (), *, organization: str | None = None) -> None:
        super().__init__("disk")
        if not disks and organization is None:
            raise ValueError("reading disks needs a manifest of disks, or an organization")
        self._organization = organization
        self._disks = list(disks)
        self._next = itertools.cycle(self._disks)

    def __str__(self) -> str:
        return "read disks"

    async def prepare(self, client: Client, part: Part) -> None:
        """Read the first disk, or one page of the organization's disks if none are named."""
        del part
        if self._disks:
            await client.request(GET, query=[lookups.disk(self._disks[0]).query("disk")])
        if not self._disks and self._organization is not None:
            where = lookups.organization(self._organization).query("organization")
            page = await client.request(LIST, query=[where, ("per_page", str(_SAMPLE))])
            self._disks = [disk.id for disk in page.items]
            if not self._disks:
                raise LoadError(f"the organization {self._organization} has no disk to read")
        self._next = itertools.cycle(self._disks)

    async def perform(self, client: Client, call: Call) -> None:
        """Read the next disk."""
        del call
        await client.request(GET, query=[lookups.disk(next(self._next)).query("disk")])


class ListDisks(LoadAction):
    """Read the first page of an organization's disks (GET /organizations/organization/disks).

    Args:
        organization: ID or sub-domain.
        per_page: Disks per page.
    """

    def __init__(self, organization: str, *, per_page: int = 30) -> None:
        super().__init__("list")
        self._query = [
            lookups.organization(organization).query("organization"),
            ("page", "1"),
            ("per_page", str(per_page)),
        ]

    def __str__(self) -> str:
        return "list disks"

    async def prepare(self, client: Client, part: Part) -> None:
        """Read the page once."""
        del part
        await client.request(LIST, query=self._query)

    async def perform(self, client: Client, call: Call) -> None:
        """Read the page."""
        del call
        await client.request(LIST, query=self._query)


class OwnAction(LoadAction):
    """A function of your own as an action.

    Args:
        name: What the result calls it.
        function: Carries out one call with a client. An exception is the call's outcome. Without
            `restore`, it must undo its own changes.
        restore: Called once after the test, with a client.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Client], Awaitable[object]],
        *,
        restore: Callable[[Client], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(name)
        self._function = function
        self._restore = restore

    async def perform(self, client: Client, call: Call) -> None:
        """Call the function."""
        del call
        await self._function(client)

    async def restore(self, client: Client) -> list[str]:
        """Call the function that restores."""
        if self._restore is not None:
            await self._restore(client)
        return []


class Mix(LoadAction):
    """Several actions, each with a share of the calls.

    Args:
        weights: The actions with their weights, which need not add up to anything.
        seed: The same seed gives the same order.

    Raises:
        ValueError: If there is no action, or a weight is not above 0.
    """

    def __init__(self, weights: Mapping[LoadAction, float], *, seed: int = 0) -> None:
        super().__init__("mix")
        if not weights or not all(weight > 0 for weight in weights.values()):
            raise ValueError("a mix needs actions with weights above 0")
        self._actions = list(weights)
        self._cumulative = list(itertools.accumulate(weights.values()))
        self._rng = random.Random(seed)  # noqa: S311 - an order keeps no secret

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """Whether one of the actions changes something."""
        return any(action.writes for action in self._actions)

    def __str__(self) -> str:
        total = self._cumulative[-1]
        before = [0.0, *self._cumulative]
        shares = (
            f"{(end - start) / total:.0%} {action}"
            for action, start, end in zip(self._actions, before, self._cumulative, strict=False)
        )
        return ", ".join(shares)

    async def prepare(self, client: Client, part: Part) -> None:
        """Prepare all actions."""
        for action in self._actions:
            await action.prepare(client, part)

    async def perform(self, client: Client, call: Call) -> None:
        """Carry out one of the actions, drawn by weight."""
        action = self._rng.choices(self._actions, cum_weights=self._cumulative)[0]
        call.operation = action.name
        await action.perform(client, call)

    async def restore(self, client: Client) -> list[str]:
        """Restore what each action changed. An error of one does not keep another from it."""
        left: list[str] = []
        for action in self._actions:
            try:
                left += await action.restore(client)
            except KatapultError as error:  # noqa: PERF203 - a handful of actions
                left.append(f"{action}: {error}")
        return left

    def notes(self) -> list[str]:
        """Return the remarks of all actions."""
        return [note for action in self._actions for note in action.notes()]
