"""Text from elsewhere as it may be shown: nothing in it drives the terminal, and it holds no token and no password.

A token gets into messages when somebody pastes it into the wrong place, for example into a manifest.
"""

from __future__ import annotations

import os

from katapult_async.safe_text import for_terminal

#: A shorter text would be found in words.
_SHORTEST = 8
_hidden: set[str] = set()


def hide(secret: str) -> None:
    """Keep a token or a password out of everything that `shown` returns."""
    if len(secret) >= _SHORTEST:
        _hidden.add(secret)


def shown(text: str) -> str:
    """Return text for one line of a terminal."""
    hide(os.environ.get("KATAPULT_API_KEY", "").strip())
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "<token>")
    return for_terminal(text)
