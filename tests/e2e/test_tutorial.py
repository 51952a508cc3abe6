"""The tutorial works: its blocks run in order, in an empty folder, and print what it shows.

The block that installs the package is `text`, so it is not executed: the package under test is
installed already.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis_server import free_port

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
PAGES = (
    *("first-call", "first-bulk-run", "durable-run", "testing"),
    # These guides have programs that run against the same emulator.
    *("../how-to/own-bulk-action", "../how-to/endpoint-without-a-method"),
)
#: Lines that only a slow machine shows, because a run is over before the first one is due.
PROGRESS = re.compile(r"(?:preflight|assigning|unassigning): ?")
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"save this as\s+`([\w.]+)`:", re.IGNORECASE)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    port = str(free_port())
    shell = Shell(tmp_path)
    with shell.servers():
        for page in PAGES:
            text = (TUTORIAL / f"{page}.md").read_text("utf-8").replace("8080", port)
            printed = ""
            for before, language, code in blocks(text):
                if language == "python":
                    if (name := SAVED.search(before)) is not None:
                        (tmp_path / name[1]).write_text(code, "utf-8")
                    else:
                        compile(code, page, "exec")
                elif language == "sh":
                    printed = shell.run(code)
                else:
                    assert matches(code, printed), f"{page} shows\n{code}\nbut it is\n{printed}"


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Each block with its language and the paragraph before it."""
    for found in BLOCK.finditer(page):
        before = page[: found.start()].rstrip().rpartition("\n\n")[2]
        yield before, found[1], found[2]


def matches(shown: str, printed: str) -> bool:
    """Compare without numbers, times, and the width of columns. `…` stands for any lines."""
    pattern = ".*".join(re.escape(normal(part)) for part in shown.split("…\n"))
    return re.fullmatch(pattern, normal(printed), re.DOTALL) is not None


def normal(text: str) -> str:
    text = re.sub(r"\d+ min |\d+ h ", "", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "0", text)  # the ID of a run
    text = re.sub(r"\d[\d,.]*", "0", text)
    lines = (re.sub(r" +", " ", line).strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


class Shell:
    """Runs blocks of commands in a folder. Variables keep their values between blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._variables = folder / ".variables"
        self._servers: list[subprocess.Popen[str]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KATAPULT_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "XDG_RUNTIME_DIR": "",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            "COLUMNS": "80",
        }

    @contextmanager
    def servers(self) -> Iterator[None]:
        """End the servers that the blocks have started."""
        try:
            yield
        finally:
            for server in self._servers:
                server.send_signal(signal.SIGTERM)
                assert server.wait(timeout=30) == 0
                assert server.stdout is not None
                server.stdout.close()

    def run(self, code: str) -> str:
        """Run a block; what it prints. A server runs on, and prints nothing here."""
        if "katapult-async emulate" in code:
            server = subprocess.Popen(  # noqa: S603
                ["bash", "-c", f"exec {code}"],  # noqa: S607
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._servers.append(server)
            assert server.stdout is not None
            assert "listens" in server.stdout.readline()
            return ""
        done = subprocess.run(  # noqa: S603
            ["bash", "-euo", "pipefail", "-c", f"{code}\nenv -0 > {self._variables}"],  # noqa: S607
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}"
        pairs = self._variables.read_text().rstrip("\0").split("\0")
        self._environment = dict(pair.split("=", 1) for pair in pairs)
        return "".join(line for line in done.stdout.splitlines(keepends=True) if not PROGRESS.match(line))
