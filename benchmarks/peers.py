"""Import the peers that are installed.

Each peer is optional, and some have no types. A peer is imported by name, and only when it is
needed, so that no measurement of another peer includes its import.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class Missing(Exception):
    """A peer is not installed. `str` names it."""


def peer(module: str) -> ModuleType:
    """The module of a peer. Raises Missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and exc.name != module.partition(".")[0]:
            raise
        raise Missing(module.partition(".")[0]) from exc


def is_installed(module: str) -> bool:
    try:
        peer(module)
    except Missing:
        return False
    return True
