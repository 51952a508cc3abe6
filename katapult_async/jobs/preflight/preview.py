"""A preflight without a run: what a manifest would find and cost."""

from __future__ import annotations

from katapult_async.client import Client
from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.new_run import from_manifest
from katapult_async.jobs.manifest import Manifest

from .preflight import Preflight, make_preflight


async def preview(
    client: Client,
    manifest: Manifest,
    organization: str,
    *,
    attach: bool = False,
    thorough: bool = False,
    examples: int = 5,
) -> Preflight:
    """Compare every line of a manifest with what is there now, and return what a run would cost.

    Changes nothing.

    Args:
        client: The client to read with.
        manifest: The disks and the virtual machines that they would be assigned to.
        organization: The organization of the disks: `org_…` or its sub-domain.
        attach: Whether the run would attach each disk, where its line does not say otherwise.
        thorough: Whether to read each disk, and everything that the organization's lists do not
            show.
        examples: Lines of each finding to return.

    Raises:
        ManifestError: The manifest has a mistake.
        NotFound: There is no such organization.
        ValueError: It is a manifest of an action.
    """
    if manifest.action is not None:
        raise ValueError(f"a run of {manifest.action} has no preflight")
    info, lines = from_manifest(manifest, attach=attach)
    with Journal.temporary(info, lines) as journal:
        async with Writer(journal) as writer:
            return await make_preflight(client, writer, organization, thorough=thorough, examples=examples)
