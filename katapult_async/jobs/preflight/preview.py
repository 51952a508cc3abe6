"""A preflight of a manifest without a run."""

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
    """Compare every line of a manifest with the current state, and return the cost of a run.

    Changes nothing.

    Args:
        client: Sends the requests.
        manifest: The manifest.
        organization: The organization of the disks: `org_…` or its sub-domain.
        attach: Whether the run would attach each disk. The `attach` column of a line overrides
            this.
        thorough: Whether to read each disk, and every machine that the lists of the organization do
            not show.
        examples: The number of lines to return for each finding.

    Raises:
        ManifestError: The manifest has an error.
        NotFound: The organization does not exist.
        ValueError: The manifest is for another action than assign.
    """
    if manifest.action is not None:
        raise ValueError(f"a run of {manifest.action} has no preflight")
    info, lines = from_manifest(manifest, attach=attach)
    with Journal.temporary(info, lines) as journal:
        async with Writer(journal) as writer:
            return await make_preflight(client, writer, organization, thorough=thorough, examples=examples)
