"""Reads the head of a response of the plainest shape, and refuses every other one.

Most answers of the API look alike: HTTP/1.1, ASCII, one Content-Length, nothing about how the body is sent. To know
them takes one regular expression. Whatever differs in the least is not judged here: it goes, from its first byte, to
aiohttp's parser. So this module need not be lenient, and must not be: what it accepts, aiohttp's parser reads the
same way (tests/property/test_head.py compares the two).
"""

from __future__ import annotations

import re

from multidict import CIMultiDict

#: Longest head that is read here, in bytes: as much as aiohttp permits for a single field.
LONGEST_HEAD = 8190

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb"[!-~](?:[ -~]*[!-~])?"
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n(" + _TOKEN + rb": " + _VALUE + rb"(?:\r\n" + _TOKEN + rb": " + _VALUE
    # No group may be entered twice for the same text: a response that is refused is refused in linear time.
    + rb")*)\r\n\r\n"
)  # fmt: skip
_WITHOUT_BODY = frozenset({204, 205, 304})


def read_head(data: bytes) -> tuple[int, CIMultiDict[str], int, int] | None:
    """Status, headers, length of the body, and where it begins. None if aiohttp's parser must read it."""
    match = _HEAD.match(data, 0, LONGEST_HEAD)
    if match is None:
        return None
    fields = match[2].decode("ascii").split("\r\n")
    headers = CIMultiDict([(name, value) for name, _, value in [field.partition(": ") for field in fields]])
    length = headers.get("Content-Length", "")
    if not length.isdecimal() or len(length) > 9 or len(headers.getall("Content-Length")) > 1:
        return None
    if (
        "Transfer-Encoding" in headers
        or "Content-Encoding" in headers
        or "Upgrade" in headers
        or headers.get("Connection", "keep-alive").lower() != "keep-alive"
        or len(headers.getall("Connection", ())) > 1
    ):
        return None
    status = int(match[1])
    if status in _WITHOUT_BODY:
        return None
    return status, headers, int(length), match.end()
