"""Text that anybody may have named shows itself, and does nothing else."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katapult_async.safe_text import for_csv, for_json, for_terminal

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("web-1.example.com", "web-1.example.com"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("over\rwritten", r"over\rwritten"),
        ("two\nlines\tand", r"two\nlines\tand"),
        ("nul\x00del\x7fc1\x9b", r"nul\x00del\x7fc1\x9b"),
        ("txt\u202eexe", r"txt\u202eexe"),
        ("a\u2066b\u2069c\u200ed\u061ce", r"a\u2066b\u2069c\u200ed\u061ce"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("byte\udcff", r"byte\udcff"),
    ],
)
def test_unsafe_characters_become_visible(text: str, shown: str) -> None:
    assert for_terminal(text) == shown
    assert for_terminal(shown) == shown  # a second time changes nothing


@given(ANY_TEXT)
def test_nothing_unsafe_is_left_in_any_text(text: str) -> None:
    safe = for_terminal(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in safe)
    assert not any(unicodedata.bidirectional(c) in BIDI for c in safe)
    safe.encode()


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_characters_can_be_kept() -> None:
    assert for_terminal("a\nb\rc", keep="\n") == "a\nb\\rc"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\t=1"),
        ("\r=1", r"'\r=1"),
        ("1-1", "1-1"),
        ("", ""),
    ],
)
def test_a_cell_is_no_formula(text: str, cell: str) -> None:
    assert for_csv(text) == cell


@given(ANY_TEXT)
def test_json_is_safe_and_means_the_same(text: str) -> None:
    document = json.dumps({"a": text}, ensure_ascii=False, indent=1)
    safe = for_json(document)
    assert json.loads(safe) == {"a": text}
    assert for_terminal(safe, keep="\n") == safe
