"""The rate limit: a state machine without I/O that decides, and gates that wait.

State and decisions, no I/O: `window` is the state machine. It combines `limit`, `aligned`,
`trailing`, `backoff` and `trust`. `evidence` reads responses. `breaker` decides whether the API is
reachable at all.

Waiting: `gate`, `gate_by_type` and `breaker_gate` await. `ceiling` enforces the caller's own limit
in front of the gate.

docs/explanation/rate-limits.md explains the whole.
"""

from __future__ import annotations

from .belief import Belief
from .breaker_gate import BreakerGate, Charges
from .ceiling import Ceiling, check_max_per_second
from .evidence import Evidence, plausible_limit, read_evidence
from .gate import Evicted, Gate, Priority
from .gate_by_type import GateByType
from .permit import Permit, Wait, WaitReason
from .window import Window

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
