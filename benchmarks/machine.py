"""The machine of a measurement, with its Python, versions and commit.

This module measures nothing.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sysconfig
from pathlib import Path

import msgspec

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "aiohttp",
    "aiolimiter",
    "aiometer",
    "aiosonic",
    "anyio",
    "botocore",
    "httptools",
    "httpx",
    "katapult-async",
    "limits",
    "msgspec",
    "niquests",
    "orjson",
    "pydantic",
    "pyrate-limiter",
    "redis",
    "rich",
    "sniffio",
    "tenacity",
    "typer",
    "uvloop",
)


class Machine(msgspec.Struct, frozen=True):
    """The machine and the checkout of a measurement.

    Attributes:
        cores: The cores that this process may use.
        load: The load of the last minute when the run began.
        commit: The checkout's commit, with a `+` if files that git tracks have changed since.
    """

    cpu: str
    cores: int
    system: str
    python: str
    load: float
    commit: str
    packages: dict[str, str]

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores; {self.system}; Python {self.python}; commit {self.commit}"


def describe() -> Machine:
    """This machine, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        python=f"{platform.python_version()} ({_implementation()})",
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
        packages=_versions(),
    )


def _implementation() -> str:
    name = platform.python_implementation()
    return f"{name}, free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else name


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.platform(terse=True)


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results", ":!*.md")
    return commit + ("+" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
