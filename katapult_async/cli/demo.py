"""`demo`: a durable run against the emulator, both in this process, with a real limit and real faults."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from katapult_async import RetryPolicy, Timeout
from katapult_async.cli.bulk import carry_out, run_loop
from katapult_async.client import Settings
from katapult_async.jobs import Manifest, Run
from katapult_async.testing import Faults, KatapultEmulator


def run_demo(
    *, disks: int, virtual_machines: int, limit: int, window: float, faults: float, seed: int
) -> int:
    """The demonstration; the exit code."""
    emulator = KatapultEmulator(
        disks=disks,
        virtual_machines=virtual_machines,
        limit=limit,
        period=window,
        latency=(0.02, 0.1),
        faults=Faults.everywhere(faults, seed=seed),
    )
    print(
        f"{disks} disks onto {virtual_machines} virtual machines of an emulator: nothing leaves this machine.\n"
        f"It permits {limit} requests in {window:g} s, and {faults:.0%} of them go wrong.",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="katapult-demo-") as folder:
        return run_loop(_demonstrate(emulator, window, Path(folder)))


async def _demonstrate(emulator: KatapultEmulator, window: float, folder: Path) -> int:
    async with emulator:
        machines = emulator.virtual_machine_ids
        wanted = {disk: machines[number % len(machines)] for number, disk in enumerate(emulator.disk_ids)}
        settings = Settings(
            base_url=emulator.url,
            rate_window=window,
            timeout=Timeout(total=1.0),
            retry=RetryPolicy(base=0.1, cap=1.0),
        )
        with (
            Manifest.from_items(wanted.items()) as manifest,
            Run.create(folder / "demo.run", manifest) as run,
        ):
            code = await carry_out(run, "token", settings, as_json=False, task_timeout=60.0)
        twice = len(emulator.ledger.applied_more_than_once())
        there = sum(emulator.world.disks[disk].virtual_machine == machine for disk, machine in wanted.items())
    print(f"The emulator's own ledger: {there} disks where they were wanted, {twice} applied twice.")
    sys.stdout.flush()
    return code
