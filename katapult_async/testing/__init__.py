"""An emulator of the Katapult Core API: an HTTP server on loopback, for tests of API clients.

    async with KatapultEmulator(disks=100, virtual_machines=10) as emulator:
        client = Client("token", base_url=emulator.url)
        await client.disks.assign(emulator.disk_ids[0], emulator.virtual_machine_ids[0])
        assert emulator.ledger.applied_count(emulator.disk_ids[0]) == 1

It counts requests as Katapult does, or in one of four other ways (`make_limiter`). It fails as a
network does (`Faults`), and records requests and changes (`Ledger`). It imports nothing else of
this package, because code that client and server share would hide mistakes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from katapult_async.testing.faults import Fault, FaultKind, Faults
from katapult_async.testing.ledger import Arrival, Change, Ledger, Stall
from katapult_async.testing.limiters import (
    AlignedWindow,
    FixedWindow,
    Limiter,
    LimiterKind,
    SlidingLog,
    TokenBucket,
    Verdict,
    make_limiter,
)
from katapult_async.testing.settings import Answers, Counting

if TYPE_CHECKING:
    from katapult_async.testing.emulator import KatapultEmulator
    from katapult_async.testing.tokens import Token
    from katapult_async.testing.wire_form import WireForm
    from katapult_async.testing.world import World

__all__ = [
    "AlignedWindow",
    "Answers",
    "Arrival",
    "Change",
    "Counting",
    "Fault",
    "FaultKind",
    "Faults",
    "FixedWindow",
    "KatapultEmulator",
    "Ledger",
    "Limiter",
    "LimiterKind",
    "SlidingLog",
    "Stall",
    "Token",
    "TokenBucket",
    "Verdict",
    "WireForm",
    "World",
    "make_limiter",
]


# Imported on first use, because pytest imports this package wherever it is installed.
_LATER = {"KatapultEmulator": "emulator", "Token": "tokens", "WireForm": "wire_form", "World": "world"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
