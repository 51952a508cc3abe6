"""What the README shows runs."""

from __future__ import annotations

import re
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return [
        textwrap.dedent(text)
        for text in re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    ]


def test_the_python_in_the_readme_is_python_with_real_names() -> None:
    examples = blocks("python")
    assert len(examples) == 6
    for example in examples:
        compile(example, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        for module, names in re.findall(r"from (katapult_async[\w.]*) import (.+)", example):
            assert {name.strip() for name in names.split(",")} <= set(import_module(module).__all__)
    for name in re.findall(r"client\.disks\.(\w+)", README):
        from katapult_async.resources import Disks

        assert hasattr(Disks, name)


def test_the_readme_has_the_two_commands() -> None:
    commands = blocks("sh")
    assert "katapult-async demo" in commands[0]
    assert "pytest" in commands[1]
    assert all("venv" in command for command in commands[:2])


def test_the_commands_in_the_readme_are_there() -> None:
    from typer.main import get_command

    from katapult_async.cli.app import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = {word for line in blocks("sh") for word in re.findall(r"katapult-async (\w+)", line)}
    table = re.search(r"\| command \| what it does \|\n(.*?)\n\n", README, re.DOTALL)
    assert table is not None
    assert commands == {
        word for row in table[1].splitlines()[1:] for word in re.findall(r"`(\w+)[ `]", row.split("|")[1])
    }
    assert named <= commands


def test_the_changelog_names_the_version_in_the_works() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", ["README", "CHANGELOG", "CONTRIBUTING", "benchmarks/README"])
def test_prose_has_at_most_100_characters_a_line(page: str) -> None:
    text = (ROOT / f"{page}.md").read_text("utf-8")
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
