"""The README and the other pages of the root: their form, and what they name."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [
        textwrap.dedent(text)
        for text in re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    ]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_has_the_two_commands() -> None:
    commands = blocks("sh")
    assert "katapult-async demo" in commands[0]
    assert "pytest" in commands[1]
    assert all("venv" in command for command in commands[:2])


def test_the_files_that_the_readme_names_exist() -> None:
    """tests/e2e/test_readme.py runs its Python and its commands."""
    named = set(re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", README))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_changelog_names_the_version_in_the_works() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "benchmarks/README")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prose_has_at_most_100_characters_a_line(page: Path) -> None:
    text = page.read_text("utf-8")
    prose = re.sub(
        r"^ *```.*?^ *```$|<!-- benchmark: .*?<!-- /benchmark -->", "", text, flags=re.MULTILINE | re.DOTALL
    )
    assert [line for line in prose.splitlines() if len(line) > 100 and not line.startswith("|")] == []


def test_the_modules_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert len(named) > 15
    package = ROOT / "katapult_async"
    missing = {name for name in named if not any(package.glob(f"**/{name}")) and not (ROOT / name).exists()}
    assert missing == set()


def test_width_of_lists_all_uses_of_the_width_of_a_terminal() -> None:
    """Who uses a width gets it from `width_of`, `wrapped` or `Live`."""
    from katapult_async.cli import terminal

    sources = {path.stem: path.read_text() for path in (ROOT / "katapult_async" / "cli").glob("*.py")}

    def users(name: str) -> set[str]:
        return {stem for stem, source in sources.items() if re.search(rf"(?<!def )\b{name}\(", source)}

    assert {stem for stem, source in sources.items() if re.search(r"\)\.columns\b", source)} == {"terminal"}
    assert users("width_of") == {"terminal", "live"}
    assert users("wrapped") == {"preflight"}
    listed = terminal.width_of.__doc__ or ""
    others = {"live", "program", "text"}
    assert set(re.findall(r"(\w+)\.py", listed)) == users("wrapped") | users("Live") | others
