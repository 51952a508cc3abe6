r"""Makes text from the API or a manifest safe to show: no character can control a terminal or hide.

Anybody can name a disk, a machine or a note. An escape sequence in such a name repaints a terminal,
a carriage return hides the start of a line, and a bidirectional override shows `exe.txt` for
`txt.exe`. Each such character becomes a visible escape such as `\x1b` or `\u202e`. All other text
stays as it is. Text passes one of these functions where it is printed or written. They do not
check its meaning.
"""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), directions (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
# U+2069), line and paragraph separators (U+2028, U+2029), and lone surrogates, which no encoder
# accepts.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
#: A spreadsheet treats a cell that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(text: str, *, keep: str = "") -> str:
    r"""Return `text` with each unsafe character as a visible escape.

    The result is safe in one line of a terminal, a log or a table. HTML needs `html.escape`, too.

    Args:
        text: Any text.
        keep: Unsafe characters that stay as they are, for example "\n" where lines are wanted.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _visible(found[0]), text)


def for_csv(text: str) -> str:
    """Return `text` as a cell that a spreadsheet shows and does not calculate.

    A cell that begins like a formula gets an apostrophe in front. Spreadsheets do not show it.

    Args:
        text: The cell, without the quotation marks of CSV.
    """
    safe = for_terminal(text)
    return f"'{safe}" if text.startswith(_FORMULA) else safe


def for_json(document: str) -> str:
    r"""Return a JSON document in which unsafe characters of strings are written as `\uXXXX`.

    A program that decodes the document gets the same strings as before. Line breaks between values
    stay.

    Args:
        document: Valid JSON. An encoder has escaped the characters below U+0020 in its strings
            already.
    """
    if document.isascii() and "\x7f" not in document:
        return document
    return _UNSAFE.sub(
        lambda found: found[0] if found[0] in "\n\r\t" else f"\\u{ord(found[0]):04x}", document
    )


def _visible(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
