"""Makes foreign text safe to show: without control characters, tokens and passwords.

A message may contain a token that was pasted into the wrong place, for example into a manifest.
"""

from __future__ import annotations

import os

from katapult_async.safe_text import for_terminal

#: A shorter secret may also occur in ordinary words.
_SHORTEST = 8
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Remove a token or a password from everything that `shown` returns."""
    if len(secret) >= _SHORTEST:
        _hidden.add(secret)


def shown(text: str) -> str:
    """Return safe text for one line of a terminal."""
    hide(os.environ.get("KATAPULT_API_KEY", "").strip())
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "<token>")
    return for_terminal(text)
