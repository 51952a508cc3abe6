"""Which machine a response shows."""

from __future__ import annotations

from msgspec import UNSET

from katapult_async.models import Disk


def shown_machine(disk: Disk | None) -> tuple[str, str] | None:
    """The FQDN and the ID of the machine of this disk, if the response showed both."""
    if disk is None or not (bond := disk.virtual_machine_disk):
        return None
    machine = bond.virtual_machine
    fqdn = machine.fqdn
    return (fqdn, machine.id) if fqdn is not UNSET and fqdn else None
