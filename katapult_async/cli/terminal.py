"""Whether whoever reads a stream sees a terminal's escape codes, or must get plain lines.

Decided here once, for rich and for typer: left to themselves they believe FORCE_COLOR, or the CI they run in, more than
the pipe that they write to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO


def is_plain(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether only plain lines may be written to `stream`."""
    if stream is None or not stream.isatty():
        return True
    return bool(environment.get("NO_COLOR")) or environment.get("TERM", "").lower() in {"dumb", "unknown"}
