"""A look ahead without a run: what a manifest would find and cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from katapult_async.client import Client
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.journal import Journal, NewLine, new_info
from katapult_async.jobs.journal.records import RunInfo, RunKind
from katapult_async.jobs.manifest.manifest import Digest, Manifest, ManifestError
from katapult_async.jobs.steps.transitions import Step

from .preflight import Preflight, look

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


class Asked(TypedDict, total=False):
    """What a run was asked to do, as RunInfo has it."""

    base_url: str | None
    preflight: bool
    thorough: bool
    organization: str | None
    confirmed_at: float | None


class Options(TypedDict, total=False):
    """Keyword arguments of Run.create."""

    base_url: str | None
    preflight: bool
    thorough: bool
    organization: str | None
    confirmed: bool


async def preview(
    client: Client,
    manifest: Manifest,
    organization: str,
    *,
    attach: bool = False,
    thorough: bool = False,
    examples: int = 5,
) -> Preflight:
    """Sort every line of a manifest by what is there now, and say what a run would cost. Sends nothing that changes
    anything. organization: `org_…` or its sub-domain; attach: as for Run.create; thorough, examples: see Preflight.

    Raises ManifestError for a manifest that is not right, NotFound (organization_not_found).
    """
    info, lines = from_manifest(manifest, attach=attach)
    with Journal.temporary(info, lines) as journal:
        async with Writer(journal) as writer:
            return await look(client, writer, organization, thorough=thorough, examples=examples)


def from_manifest(
    manifest: Manifest, *, attach: bool, **asked: Unpack[Asked]
) -> tuple[RunInfo, Iterator[NewLine]]:
    """What a journal of a manifest begins with. asked: further fields of RunInfo.

    Raises ManifestError for one that is not right, also while its lines are read, if it is changed meanwhile.
    """
    check = manifest.check()
    if not check.ok:
        raise ManifestError(f"the manifest has a mistake: {check.complaints[0]}")
    info = new_info(RunKind.ASSIGN, manifest.name, check.digest, check.lines, attach=attach, **asked)
    return info, _lines(manifest, check.digest, attach=attach)


def _lines(manifest: Manifest, expected: str, *, attach: bool) -> Iterator[NewLine]:
    digest = Digest()
    for line in manifest:
        digest.add(line)
        yield NewLine(
            number=line.number,
            disk=line.disk,
            virtual_machine=line.virtual_machine,
            step=Step.ASSIGN.value,
            further=attach if line.attach is None else line.attach,
            note=line.note,
        )
    if str(digest) != expected:
        raise ManifestError(f"{manifest.name} was changed while it was read. Try again")
