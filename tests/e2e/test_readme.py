"""The Python and the commands of the README do what they say, against the emulator."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from katapult_async.testing import KatapultEmulator

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def block(section: str, language: str) -> str:
    text = README.partition(f"\n## {section}\n")[2].partition(f"```{language}\n")[2]
    return text.partition("```")[0]


async def run(emulator: KatapultEmulator, folder: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "KATAPULT_API_KEY": "token",
        "KATAPULT_BASE_URL": emulator.url,
        "XDG_CACHE_HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_python(tmp_path: Path) -> None:
    async with KatapultEmulator(disks=2, virtual_machines=2) as emulator:
        one, other = emulator.disk_ids
        machine, named = emulator.virtual_machine_ids
        code = block("In Python", "python")
        code = code.replace("disk_…", one, 1).replace("disk_…", other).replace("vm_…", machine)
        code = code.replace("web.example.com", emulator.world.virtual_machines[named].fqdn)
        assert await run(emulator, tmp_path, sys.executable, "-c", code) == ""
        disks = emulator.world.disks
        assert [disks[one].virtual_machine, disks[other].virtual_machine] == [machine, named]
        assert emulator.ledger.applied_total["assign"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
async def test_the_commands(tmp_path: Path) -> None:
    commands = block("On the command line", "sh")
    assert re.findall(r"katapult-async (\w+)", commands) == ["plan", "assign", "rollback"]
    async with KatapultEmulator(disks=20, virtual_machines=20) as emulator:
        pairs = zip(emulator.disk_ids, emulator.virtual_machine_ids, strict=True)
        rows = "".join(f"{disk},{machine}\n" for disk, machine in pairs)
        (tmp_path / "plan.csv").write_text(f"disk,virtual_machine\n{rows}")
        commands = commands.replace("KATAPULT_API_KEY=… ", "")
        # Without a terminal nobody can answer the questions.
        commands = re.sub(r"(assign|rollback) (\S+)", r"\1 \2 --yes", commands)
        output = await run(emulator, tmp_path, "bash", "-euc", commands)
        assert "20  to assign" in output
        assert "Assigned 20 of 20 disks" in output
        assert "Unassigned 20 of 20 disks" in output
        assert {disk.virtual_machine for disk in emulator.world.disks.values()} == {None}
