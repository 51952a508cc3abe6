"""`python -m docs.site.run_screens`: record the screens of docs/how-to/plan-to-rollback.md.

It executes the page: the two blocks of shell commands, then the command of each screen. A screen
follows a comment such as `<!-- screen: plan -->`. With `--write`, the program replaces the screens
of the page, without it, it prints them. It takes seven minutes, because windows last a minute.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docs.site.shell import ROOT, environment, readable

PAGE = ROOT / "docs" / "how-to" / "plan-to-rollback.md"
#: The changes after which the run is killed: in its second minute.
KILLED_AFTER = 1100
#: Lines of progress that a screen keeps.
PROGRESS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"replace the screens in {PAGE.name}")
    write = bool(parser.parse_args().write)
    page = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="screens-") as folder:
        screens = record(page, Path(folder))
    if write:
        PAGE.write_text(replaced(page, screens), "utf-8")
    else:
        for name, text in screens.items():
            print(f"-- {name}\n{text}")
    return 0


def record(page: str, folder: Path) -> dict[str, str]:
    """Do what the page says; what was typed and shown, by the name of the screen."""
    serve, prepare = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shell = Shell(folder, dict(re.findall(r"<!-- screen: (\w+) -->\n```console\n\$ (.*)\n", page)))
    with shell.starts(serve.replace("8080", "0")) as emulator:
        url = heading(emulator).partition("listens on ")[2].split()[0]
        shell.prepare(re.sub(r"http://\S*", url, prepare))
        screens = {"plan": shell.screen("plan")}
        with shell.starts(shell.commands["assign"]) as run:
            while assigned(url) < KILLED_AFTER:
                time.sleep(0.1)
            screens["status"] = shell.screen("status")
            run.kill()
            output, _ = run.communicate()
        screens["assign"] = shell.shown("assign", output, cut=True)
        for name in ("killed", "resume", "again", "rollback"):
            screens[name] = shell.screen(name)
    return screens


class Shell:
    """Types commands into a folder.

    Args:
        folder: The folder.
        commands: The commands by the names of their screens.
    """

    def __init__(self, folder: Path, commands: dict[str, str]) -> None:
        self.commands = commands
        self._folder = folder
        self._environment = environment(folder)

    def prepare(self, block: str) -> None:
        """Execute a block of commands. Its variables are there for later commands."""
        done = self._run(f"set -e\n{block}\nenv -0 > .variables")
        if done.returncode:
            raise SystemExit(f"{block}{done.stdout}")
        pairs = (self._folder / ".variables").read_text("utf-8").rstrip("\0").split("\0")
        self._environment = dict(pair.split("=", 1) for pair in pairs)

    def screen(self, name: str) -> str:
        """Execute the command of a screen; what it shows."""
        return self.shown(name, self._run(self.commands[name]).stdout)

    def shown(self, name: str, output: str, *, cut: bool = False) -> str:
        """A screen with its first lines of progress only. cut: it ends in the middle."""
        lines = [f"$ {self.commands[name]}"]
        progress = 0
        for line in readable(output, self._folder).splitlines():
            is_progress = re.match(r"(assigning|unassigning|preflight)\b", line) is not None
            progress += is_progress
            if not is_progress or progress <= PROGRESS:
                lines.append(line.rstrip())
            elif progress == PROGRESS + 1:
                lines.append("…")
        if cut and lines[-1] != "…":
            lines.append("…")
        return "\n".join(lines).strip() + "\n"

    @contextmanager
    def starts(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command. It has ended when the block is left."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def heading(emulator: subprocess.Popen[str]) -> str:
    """The first line that the emulator prints."""
    if emulator.stdout is None:
        raise SystemExit("the emulator has no output")
    return emulator.stdout.readline()


def assigned(url: str) -> int:
    """The number of assignments, from the emulator's ledger."""
    with urllib.request.urlopen(url.removesuffix("/core/v1") + "/_emulator/ledger") as response:  # noqa: S310 - on this machine
        return sum(json.load(response)["changes"].get("assign", {}).values())


def replaced(page: str, screens: dict[str, str]) -> str:
    """The page with these screens."""
    for name, text in screens.items():
        pattern = re.compile(rf"(<!-- screen: {name} -->\n```console\n).*?(^```$)", re.DOTALL | re.MULTILINE)
        found = pattern.search(page)
        if found is None:
            raise SystemExit(f"{PAGE.name} has no screen {name!r}")
        page = page[: found.end(1)] + text + page[found.start(2) :]
    return page


if __name__ == "__main__":
    sys.exit(main())
