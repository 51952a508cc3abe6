"""Screenshots of the HTML report of a run, made with Chromium."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from katapult_async import Client
from katapult_async.jobs import Journal, Run, write_html
from katapult_async.testing import Counting, Faults, KatapultEmulator

#: Pixels.
_SIZE = "1280,1000"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: Values of Chromium's preferredColorScheme.
_SCHEMES = {"dark": 0, "light": 1}
_WINDOW = 6.0


def screenshots(folder: Path, to: Path) -> None:
    """Make a run on the emulator, and take pictures of its report in light and dark.

    Args:
        folder: For the run and the browser's files.
        to: Folder of the pictures.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    browser = shutil.which("chromium")
    if browser is None:
        raise FileNotFoundError("there is no chromium on PATH")
    page = folder / "report.html"
    to = to.absolute()
    before = Path.cwd()
    os.chdir(folder)  # a report has the path of its manifest as it was given
    try:
        asyncio.run(_run(Path("plan.csv"), page))
    finally:
        os.chdir(before)
    for scheme, number in _SCHEMES.items():
        subprocess.run(
            [
                *(browser, *_FLAGS, f"--window-size={_SIZE}", f"--user-data-dir={folder / scheme}"),
                f"--blink-settings=preferredColorScheme={number}",
                *(f"--screenshot={to / f'report-{scheme}.png'}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )


async def _run(plan: Path, page: Path) -> None:
    emulator = KatapultEmulator(
        disks=700,
        virtual_machines=70,
        counting=Counting(limit=150, period=_WINDOW),
        latency=(0.05, 0.15),
        faults=Faults.everywhere(0.01, seed=3, hang=1.0),
    )
    async with emulator:
        machines = emulator.virtual_machine_ids
        for number, disk in enumerate(emulator.disk_ids[:60]):  # some are there, some elsewhere
            machine = machines[(number + (number % 12 == 0)) % 70]
            emulator.world.disks[disk].virtual_machine = machine
        pairs = [(disk, machines[number % 70]) for number, disk in enumerate(emulator.disk_ids)]
        pairs.append(("disk_4nTqS8mWx0cVbY2k", machines[0]))
        _write(plan, pairs)
        with Run.open_or_create(plan) as run:
            async with Client("token", base_url=emulator.url, rate_window=_WINDOW) as client:
                await run.preflight(client, "acme")
                await run.execute(client)
    with Journal.read("plan.csv.run") as journal, page.open("w", encoding="utf-8") as out:
        write_html(out, journal)


def _write(plan: Path, pairs: list[tuple[str, str]]) -> None:
    lines = ["disk,virtual_machine", *(f"{disk},{machine}" for disk, machine in pairs)]
    plan.write_text("\n".join(lines) + "\n")
