"""The content of a new journal: the run, and its lines from a manifest."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import msgspec

from katapult_async.jobs.manifest import Digest, Manifest, ManifestError

from .records import RunInfo, RunKind, Step

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


class Asked(TypedDict, total=False):
    """The options of a run, as fields of RunInfo."""

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


class NewLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new line of a journal.

    Attributes:
        number: The line of the manifest.
        disk: The ID of the disk.
        virtual_machine: The virtual machine, as the manifest names it.
        step: The first step.
        machine_id: The ID of the virtual machine, if it is known and `virtual_machine` is a name.
        second_step: Whether the line also needs the second step of the run: attach after assign, or
            unassign after detach.
        note: The note of the manifest.
        item: The item of the run's action, as JSON.
    """

    number: int
    disk: str
    virtual_machine: str
    step: str
    machine_id: str | None = None
    second_step: bool = False
    note: str | None = None
    item: str | None = None


def new_info(kind: RunKind, manifest: str, digest: str, lines: int, **more: object) -> RunInfo:
    """Return a new run, created now, with a new ID."""
    known = {"run_id": uuid.uuid4().hex[:12], "kind": kind, "created_at": time.time()}
    return msgspec.convert({**known, "manifest": manifest, "digest": digest, "lines": lines, **more}, RunInfo)


def from_manifest(
    manifest: Manifest, *, attach: bool, **asked: Unpack[Asked]
) -> tuple[RunInfo, Iterator[NewLine]]:
    """Return the run and the lines of a manifest, for a new journal.

    Args:
        manifest: The manifest. Iterating the lines reads it again.
        attach: Whether disks are attached if their lines do not say otherwise.
        **asked: Further fields of RunInfo.

    Raises:
        ManifestError: The manifest has an error, or changes while its lines are read.
        ValueError: The manifest is for another action than assign, and `attach`, `preflight` or
            `thorough` is given.
    """
    action = manifest.action
    if action is not None and (attach or asked.get("preflight") or asked.get("thorough")):
        raise ValueError(f"a run of {action} has no preflight and attaches nothing")
    check = manifest.check()
    if not check.ok:
        raise ManifestError(f"the manifest has a mistake: {check.complaints[0]}")
    kind = RunKind.ASSIGN if action is None else RunKind.ACTION
    info = new_info(kind, manifest.name, check.digest, check.lines, attach=attach, action=action, **asked)
    return info, _lines(manifest, check.digest, attach=attach)


def _lines(manifest: Manifest, expected: str, *, attach: bool) -> Iterator[NewLine]:
    digest = Digest(manifest.action)
    step = Step.ASSIGN if manifest.action is None else Step.ACTION
    for line in manifest:
        digest.add(line)
        yield NewLine(
            number=line.number,
            disk=line.disk,
            virtual_machine=line.virtual_machine,
            step=step.value,
            second_step=attach if line.attach is None else line.attach,
            note=line.note,
            item=line.item,
        )
    if str(digest) != expected:
        raise ManifestError(f"{manifest.name} was changed while it was read. Try again")
