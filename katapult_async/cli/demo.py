"""`demo`: a durable run against an emulator in this process, with a rate limit and faults."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from katapult_async import RetryPolicy, Timeout
from katapult_async.cli.execute import carry_out
from katapult_async.cli.options import Screen
from katapult_async.cli.signals import run_loop
from katapult_async.cli.words import counted, duration
from katapult_async.client import ClientSettings
from katapult_async.jobs import Manifest, Run
from katapult_async.testing import Counting, Faults, KatapultEmulator


def run_demo(
    *,
    disks: int,
    virtual_machines: int,
    limit: int,
    window: float,
    faults: float,
    seed: int,
    screen: Screen,
) -> int:
    """Assign the disks of an emulator.

    Returns:
        The exit code.
    """
    emulator = KatapultEmulator(
        disks=disks,
        virtual_machines=virtual_machines,
        counting=Counting(limit=limit, period=window),
        latency=(0.02, 0.1),
        faults=Faults.everywhere(faults, seed=seed),
    )
    print(
        f"Assigns {counted(disks, 'disk')} to {counted(virtual_machines, 'virtual machine')} of an emulator on this "
        f"machine.\nIt permits {counted(limit, 'request')} per {duration(window)}, and {faults:.0%} of them fail.",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="katapult-demo-") as folder:
        return run_loop(_demonstrate(emulator, window, Path(folder), screen))


async def _demonstrate(emulator: KatapultEmulator, window: float, folder: Path, screen: Screen) -> int:
    async with emulator:
        machines = emulator.virtual_machine_ids
        wanted = {disk: machines[number % len(machines)] for number, disk in enumerate(emulator.disk_ids)}
        settings = ClientSettings(
            base_url=emulator.url,
            rate_window=window,
            timeout=Timeout(total=1.0),
            retry=RetryPolicy(base=0.1, cap=1.0),
        )
        with (
            Manifest.from_items(wanted.items()) as manifest,
            Run.create(folder / "demo.run", manifest) as run,
        ):
            code = await carry_out(run, "token", settings, screen=screen, task_timeout=60.0, kept=False)
        twice = len(emulator.ledger.applied_more_than_once())
        there = sum(emulator.world.disks[disk].virtual_machine == machine for disk, machine in wanted.items())
    out = sys.stderr if screen.as_json else sys.stdout
    print(
        f"The emulator's ledger: {counted(there, 'disk')} on the wanted machine, {twice} assigned twice.",
        file=out,
    )
    sys.stdout.flush()
    return code
