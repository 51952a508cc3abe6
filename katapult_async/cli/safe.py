"""Text from elsewhere as it may be shown: nothing in it drives the terminal, and it does not hold the token.

A token gets into messages when somebody pastes it into the wrong place, for example into a manifest.
"""

from __future__ import annotations

import os

from katapult_async.safe_text import for_terminal


def shown(text: str) -> str:
    """Return text for one line of a terminal."""
    token = os.environ.get("KATAPULT_API_KEY", "").strip()
    if len(token) >= 8:  # a shorter one would be found in words
        text = text.replace(token, "<token>")
    return for_terminal(text)
