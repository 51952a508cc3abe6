"""What the recorders of screens share: where their commands run, and what the reader sees of it."""

from __future__ import annotations

import os
import re
import socket
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of commands in a folder, without the user's settings and cache."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("KATAPULT_")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "XDG_RUNTIME_DIR": "",
    }


def readable(screen: str, folder: Path) -> str:
    """Return a screen with a home for this folder, and a name for this machine.

    The columns of tables stay in their places.
    """
    for word, instead in ((str(folder), "/home/ada"), (socket.gethostname(), "host")):
        pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)( *)")
        longer = len(instead) - len(word)
        screen = pattern.sub(partial(_in_place, instead, longer), screen)
    return screen


def _in_place(instead: str, longer: int, found: re.Match[str]) -> str:
    gap = len(found[1])
    return instead + " " * (max(gap - longer, 1) if gap > 1 else gap)
