"""The structs that commands without a journal encode as JSON.

These are `plan`, `run --dry-run`, `budget` and `config`.

`documents` has the rules of all JSON documents.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from katapult_async.jobs.journal.records import Finding

from .documents import Timestamp


class SettingDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting with its value and its source."""

    name: Annotated[str, Meta(description="Key in a profile. The option has the same name.")]
    value: Annotated[str | int | float | None, Meta(description="Passwords in URLs are left out.")]
    level: Literal["option", "variable", "profile", "default"]
    source: Annotated[str | None, Meta(description="Option, variable, or line of a profile.")]


class TokenDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the API token comes from. The token itself is never shown."""

    set: Annotated[bool, Meta(description="Whether a source of the token is named.")]
    kind: Annotated[Literal["variable", "file", "command"] | None, Meta(description="What is read.")]
    source: Annotated[str | None, Meta(description="Option, variable, or line of a profile.")]


class PlanLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the first lines with a finding."""

    line: Annotated[int, Meta(description="Line of the manifest, or position from 1.")]
    disk: str
    virtual_machine: Annotated[str, Meta(description="ID or FQDN, as in the manifest.")]
    detail: Annotated[str | None, Meta(description="More about the finding, in words.")]


class PlanDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/plan/1",
):
    """What assigning a manifest would find and cost: `katapult-async plan --json`."""

    counts: Annotated[dict[Finding, int], Meta(description="Lines by finding, each that occurs.")]
    first: Annotated[dict[Finding, list[PlanLine]], Meta(description="The first lines of each finding.")]
    requests: Annotated[int, Meta(description="Requests that the preflight has used.")]
    assign_requests: Annotated[int, Meta(description="Requests to assign, without retries.")]
    attach: Annotated[int, Meta(description="Lines to attach. Each needs one more request.")]
    total_permitted: Annotated[
        int | None, Meta(description="Requests permitted per window. None if not known.")
    ]
    seconds: Annotated[float | None, Meta(description="Until the last is sent. None if no limit is known.")]
    not_compared: Annotated[int, Meta(description="Disks whose data center was not read.")]
    not_examined: Annotated[int, Meta(description="Virtual machines whose state was not read.")]


class CostDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/cost/1",
):
    """The cost of a run of an action: `katapult-async run ACTION MANIFEST --dry-run --json`."""

    action: str
    lines: int
    requests: Annotated[int, Meta(description="Requests at least.")]
    seconds: Annotated[float | None, Meta(description="Until the last is sent. None if no limit is known.")]


class ConfigDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/config/1",
):
    """The settings of commands: `katapult-async config --json`."""

    path: Annotated[str, Meta(description="File with the profiles.")]
    exists: bool
    profile: Annotated[str | None, Meta(description="The profile that applies.")]
    token: TokenDocument
    settings: list[SettingDocument]


class BudgetMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process that shares the budget."""

    host: str | None
    process: Annotated[int | None, Meta(description="Process ID on its host.")]
    run: Annotated[str | None, Meta(description="ID of the run that it executes.")]
    seen_at: Annotated[Timestamp, Meta(description="When it looked at the budget last.")]
    in_flight: int
    waiting: Annotated[int, Meta(description="Requests that wait for a permit.")]
    sent: Annotated[int, Meta(description="Requests that it has sent since it joined.")]
    sent_in_window: Annotated[
        int | None, Meta(description="Those of this window, if windows are those of the server's clock.")
    ]


class BudgetState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The budget of one token."""

    key: Annotated[str, Meta(description="Name of the token's budget. The token cannot be read from it.")]
    problem: Annotated[str | None, Meta(description="Why the budget cannot be read.")] = None
    limiter: Annotated[str | None, Meta(description="The kind of limiter that the server seems to have.")] = (
        None
    )
    period: Annotated[float | None, Meta(description="Length of a window in seconds.")] = None
    limit: Annotated[int | None, Meta(description="Requests permitted per window, if known.")] = None
    remaining: Annotated[int | None, Meta(description="Requests that are certainly left, if known.")] = None
    used: Annotated[int, Meta(description="Requests in this window, or in the last period.")] = 0
    in_flight: int = 0
    waiting: int = 0
    next_window_at: Annotated[Timestamp | None, Meta(description="When the next window begins.")] = None
    members: list[BudgetMember] = []


class BudgetDocument(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="katapult-async/budget/1",
):
    """Who shares a rate limit: `katapult-async budget --json`."""

    place: Annotated[str, Meta(description="Where the budget is kept: a folder, or a server.")]
    budgets: list[BudgetState]


#: The documents by the name of their file in docs/schemas.
COMMAND_DOCUMENTS: dict[str, type[msgspec.Struct]] = {
    "budget": BudgetDocument,
    "config": ConfigDocument,
    "cost": CostDocument,
    "plan": PlanDocument,
}
