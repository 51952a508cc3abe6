"""The rate limit: a sans-I/O state machine that decides, and one gate that waits.

`evidence` reads responses, `clock` knows the server's time, `counter` and `trailing` count, `pace` paces, `window`
decides. `breaker` decides whether the API is there at all. Only `gate` and `breaker_gate` await, and `ceiling`, which
keeps the caller's own limit in front of the gate.
"""

from __future__ import annotations

from .breaker_gate import BreakerGate, Charges
from .ceiling import Ceiling, check_max_per_second
from .evidence import Evidence, plausible_limit, read_evidence
from .gate import Evicted, Gate, Priority
from .gate_by_type import GateByType
from .permit import Permit, Wait, WaitReason
from .window import Belief, Window

__all__ = [
    "Belief",
    "BreakerGate",
    "Ceiling",
    "Charges",
    "Evicted",
    "Evidence",
    "Gate",
    "GateByType",
    "Permit",
    "Priority",
    "Wait",
    "WaitReason",
    "Window",
    "check_max_per_second",
    "plausible_limit",
    "read_evidence",
]
