"""Screenshots of the pages of a run and of a load test, made with Chromium."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

from katapult_async import Assignment, Client
from katapult_async.jobs import Journal, Run, write_html
from katapult_async.load import (
    AssignUnassign,
    FixedRate,
    LoadResult,
    LoadTest,
    Mix,
    OpenLoop,
    Plan,
    ReadDisk,
    write_page,
)
from katapult_async.testing import Counting, Faults, KatapultEmulator

#: Pixels.
_WIDTH, _HEIGHT = 1280, 1000
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: Values of Chromium's preferredColorScheme.
_SCHEMES = {"dark": 0, "light": 1}
_WINDOW = 6.0


def report(folder: Path, to: Path) -> None:
    """Make a run on the emulator, and take pictures of its report in light and dark.

    Args:
        folder: For the run and the browser's files.
        to: Folder of the pictures.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    page = folder / "report.html"
    to = to.absolute()
    before = Path.cwd()
    os.chdir(folder)  # a report has the path of its manifest as it was given
    try:
        asyncio.run(_run(Path("plan.csv"), page))
    finally:
        os.chdir(before)
    _screenshots(page, to, "report")


def load(folder: Path, to: Path) -> None:
    """Make a load test of an emulator that stalls, and take pictures of its page in light and dark.

    Args:
        folder: For the page and the browser's files.
        to: Folder of the pictures.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    page = folder / "load.html"
    result = asyncio.run(_load_test())
    with page.open("w", encoding="utf-8") as out:
        write_page(out, result)
    _screenshots(page, to.absolute(), "load", height=1410)


def shown(page: str) -> dict[str, object]:
    """Return what makes a picture of a page current: its style, and the words of every such page.

    Args:
        page: The HTML of the page.
    """
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    words = re.findall(r"<(?:dt|th|h2)\b[^>]*>([^<]*)<|<li><i [^>]*></i> ([^<]*)<", page)
    return {
        "style": hashlib.sha256(style[1].encode()).hexdigest()[:16] if style else "",
        "words": sorted({unescape(one or other) for one, other in words}),
    }


def _screenshots(page: Path, to: Path, name: str, *, height: int = _HEIGHT) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        raise FileNotFoundError("there is no chromium on PATH")
    for scheme, number in _SCHEMES.items():
        subprocess.run(
            [
                *(browser, *_FLAGS, f"--window-size={_WIDTH},{height}"),
                *(
                    f"--user-data-dir={page.parent / scheme}",
                    f"--blink-settings=preferredColorScheme={number}",
                ),
                *(f"--screenshot={to / f'{name}-{scheme}.png'}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
    shows = json.dumps(shown(page.read_text("utf-8")), indent=1, ensure_ascii=False)
    (to / f"{name}.json").write_text(f"{shows}\n", "utf-8")


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


async def _load_test() -> LoadResult:
    """Read and assign disks for half a minute. In the middle the emulator stalls for one second."""
    latency = (0.005, 0.03)
    async with KatapultEmulator(
        disks=400, virtual_machines=100, limit=1_000_000, latency=latency
    ) as emulator:
        machines = emulator.virtual_machine_ids
        items = [Assignment(disk, machines[number % 100]) for number, disk in enumerate(emulator.disk_ids)]
        action = Mix({ReadDisk(emulator.disk_ids): 4, AssignUnassign(items): 1})
        plan = Plan(schedule=OpenLoop(arrivals=FixedRate(100)), duration=30, warm_up=2)
        test = LoadTest(action, plan)
        stalled = False

        def stall_in_the_middle() -> None:
            nonlocal stalled
            if test.runner is not None and test.runner.elapsed >= 15 and not stalled:
                stalled = True
                emulator.stall(1.0)

        return await test.run("token", base_url=emulator.url, progress=stall_in_the_middle)


def _write(plan: Path, pairs: list[tuple[str, str]]) -> None:
    lines = ["disk,virtual_machine", *(f"{disk},{machine}" for disk, machine in pairs)]
    plan.write_text("\n".join(lines) + "\n")
