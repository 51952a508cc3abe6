"""Read a write-ahead log of SQLite, and check each frame.

SQLite itself ignores a damaged frame and all frames after it.

Pure functions of the bytes of the log and of SQLite's index of the log (`-shm`). `integrity`
decides what the result means. The formats are described at
https://www.sqlite.org/fileformat2.html#the_write_ahead_log and
https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator

import msgspec

#: Bytes of the header of a log, and of the header of each frame.
HEADER, FRAME_HEADER = 32, 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_INDEX = struct.Struct("=IIIBBHII8s8s8s")


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a write-ahead log.

    Attributes:
        size: The size in bytes.
        sound: Whether the header is valid.
        salt: The ID of the current cycle of the log. Frames of earlier cycles have another one.
        committed: The number of frames up to the last complete transaction.
        broken: Whether a frame of this cycle is damaged or incomplete.
        later: Whether frames of this cycle follow after the end of a transaction with such a frame.
    """

    size: int
    sound: bool
    salt: bytes = b""
    committed: int = 0
    broken: bool = False
    later: bool = False


def read_log(content: bytes) -> Log:
    """Check each frame of the log's present cycle."""
    if len(content) < HEADER:
        return Log(size=len(content), sound=False)
    magic, _, page = struct.unpack_from(">III", content)
    big = magic == _BIG
    checked = _checksum(content[:24], (0, 0), big=big)
    if magic not in (_LITTLE, _BIG) or checked != struct.unpack_from(">II", content, 24) or not page:
        return Log(size=len(content), sound=False)
    return _read_frames(content, page, checked, big=big)


def _read_frames(content: bytes, page: int, checked: tuple[int, int], *, big: bool) -> Log:
    salt = content[16:24]
    committed = 0
    end = broken = ended = later = False
    for number, header, body in _frames(content, page):
        ours = header[8:16] == salt
        if end:
            # No later frame can be checked, because a checksum includes the frame before.
            broken = broken or ours
            later = later or (ours and ended)
        elif ours:
            checked = _checksum(header[:8] + body, checked, big=big)
            end = broken = len(body) < page or checked != struct.unpack_from(">II", header, 16)
        else:
            end = True
            broken = len(header) < FRAME_HEADER and any(header)
        if ours and _ends_transaction(header):
            ended = end
            committed = committed if end else number
    return Log(size=len(content), sound=True, salt=salt, committed=committed, broken=broken, later=later)


def _frames(content: bytes, page: int) -> Iterator[tuple[int, bytes, bytes]]:
    for number, start in enumerate(range(HEADER, len(content), FRAME_HEADER + page), start=1):
        body = start + FRAME_HEADER
        yield number, content[start:body], content[body : body + page]


def _ends_transaction(header: bytes) -> bool:
    return len(header) == FRAME_HEADER and header[4:8] != b"\0\0\0\0"


def _checksum(content: bytes, start: tuple[int, int], *, big: bool) -> tuple[int, int]:
    words = array("I", content[: len(content) // 8 * 8])
    if big != (sys.byteorder == "big"):
        words.byteswap()
    one, two = start
    pairs = iter(words)
    for first, second in zip(pairs, pairs, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def knows_more(index: bytes, log: Log) -> bool:
    """Return whether the index of a log (`-shm`) has commits that the log does not have.

    SQLite writes the index after it has synchronised the log, and never synchronises the index. So
    an index of the same cycle or of a later one is correct. After a power cut, the index may be
    from an earlier cycle, and then proves nothing. The first half of a salt counts the cycles.
    """
    if len(index) < 2 * _INDEX.size or index[: _INDEX.size] != index[_INDEX.size : 2 * _INDEX.size]:
        return False
    _, _, _, ready, _, _, committed, _, _, salt, _ = _INDEX.unpack_from(index)
    if ready != 1:
        return False
    if salt == log.salt:
        return bool(committed > log.committed)
    ahead = (int.from_bytes(salt[:4], "big") - int.from_bytes(log.salt[:4], "big")) % 2**32
    # A new cycle is in the index before its first frame is in the log.
    return committed > 0 and 0 < ahead < 2**31
