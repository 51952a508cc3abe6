"""The pictures of the documentation are current, as far as a quick test can tell."""

from __future__ import annotations

import json
import re
from html import unescape
from itertools import pairwise
from pathlib import Path

import pytest

from docs.site.pictures import architecture
from docs.site.pictures.drawing import terminal_svg
from docs.site.pictures.pages import shown
from docs.site.pictures.terminal import Character, Terminal
from katapult_async.page import asset, head

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
SCREENS = ("plan", "assign", "status-watch", "budget-watch")


def test_the_picture_of_the_layers_is_current() -> None:
    assert (PICTURES / "architecture.svg").read_text("utf-8") == architecture.svg()


def test_the_layers_are_packages() -> None:
    layers = [*architecture.LAYERS, *(layer for _, layer in architecture.SIDES)]
    for layer in layers:
        for name in re.findall(r"[\w.]+/?", layer.package.removeprefix("or ")):
            assert (ROOT / "katapult_async" / name).exists(), name


@pytest.mark.parametrize("name", SCREENS)
def test_the_words_of_a_screen_are_those_of_the_program(name: str) -> None:
    """A changed message makes the picture old: run `python -m docs.site.pictures screens`."""
    sources = [*(ROOT / "katapult_async").rglob("*.py"), *(ROOT / "tests" / "golden").glob("*.txt")]
    said = "\n".join(path.read_text("utf-8") for path in sources)
    svg = (PICTURES / f"{name}.svg").read_text("utf-8")
    lines = [unescape(re.sub(r"<[^>]+>", "", line)) for line in re.findall(r"<text .*?</text>", svg)]
    assert len(lines) > 5
    assert lines[0].startswith("$ katapult-async ")
    phrases = {
        phrase.strip()
        for line in lines[1:]
        for phrase in re.findall(r"[A-Za-z][a-z]+(?: [a-z]+)+", re.sub(r"\S*[\d_:/.@]\S*", "\n", line))
    }
    parts = {part for phrase in phrases for part in pairs(phrase)}
    assert len(parts) > 7
    assert {part for part in parts if part not in said} == set()


def pairs(phrase: str) -> set[str]:
    """The neighbouring words of a phrase. Longer parts may have gaps in the source."""
    words = phrase.split()
    # Counted nouns and names of machines are inserted.
    inserted = {
        "requests",
        "disks",
        "lines",
        "virtual",
        "machines",
        "acme",
        "host",
        "more",
        "process",
        "seconds",
    }
    return {f"{one} {other}" for one, other in pairwise(words) if not {one, other} & inserted}


@pytest.mark.parametrize("page", ["report", "load"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_pages_are_small(page: str, scheme: str) -> None:
    data = (PICTURES / f"{page}-{scheme}.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 150_000


@pytest.mark.parametrize(("page", "folder"), [("report", "jobs/report/page"), ("load", "load/page")])
def test_pictures_of_pages_show_the_current_page(page: str, folder: str) -> None:
    """A changed page makes its pictures old: run `python -m docs.site.pictures report load`."""
    recorded = json.loads((PICTURES / f"{page}.json").read_text("utf-8"))
    assert (
        recorded["style"] == shown(head("", style=asset("katapult_async", f"{folder}/{page}.css")))["style"]
    )
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "katapult_async").rglob("*.py"))
    words = [re.split(r" \(?p?\d", word)[0] for word in recorded["words"]]
    assert len(words) > 10
    assert [word for word in words if word not in sources] == []


def test_a_terminal_interprets_what_commands_write() -> None:
    terminal = Terminal(5)
    terminal.write("one\r\ntwo\r\n\x1b[?25l\x1b[32mgo\x1b[0m\r\x1b[2A\x1b[Jabcdefg")
    assert ["".join(character.text for character in row) for row in terminal.rows] == ["abcde", "fg"]
    terminal.write("\r\x1b[K\x1b[1mx\x1b[H\x1b[0my")
    assert terminal.rows[1] == [Character("x", "bold")]
    assert terminal.last(2)[0][0] == Character("y", "")
    svg = terminal_svg(terminal.rows, 5, "a <title>")
    assert '<tspan x="16" textLength="8.4" class="bold">x</tspan>' in svg
    assert "a &lt;title&gt;" in svg


@pytest.mark.parametrize("output", ["\x1b[5B", "\x07"])
def test_a_terminal_refuses_what_it_does_not_know(output: str) -> None:
    with pytest.raises(ValueError, match="unknown"):
        Terminal(5).write(output)
